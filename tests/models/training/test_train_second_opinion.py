import keras
import numpy as np
import pandas as pd
import pytest

from models.serving.age_distribution import YEARS_OF_AGE
from models.serving.age_resnet50 import load_weights
from models.serving.face_network import DESCRIPTION_SIZE, build_head
from models.training.face_heads import HEADS, fold_of, trained_heads
from models.training.train_second_opinion import merged


def head(size: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(size, activation="gelu"), keras.layers.Dense(YEARS_OF_AGE)]
    model = keras.Sequential([keras.Input((DESCRIPTION_SIZE,)), *layers])
    model.set_weights([np.random.default_rng(seed).normal(0, 0.1, weight.shape) for weight in model.get_weights()])
    return model


def test_one_head_says_the_mean_of_what_five_say_of_standardised_descriptions() -> None:
    random = np.random.default_rng(0)
    heads = [head(6, seed) for seed in range(HEADS)]
    mean, spread = random.normal(2, 1, DESCRIPTION_SIZE), random.uniform(0.2, 2, DESCRIPTION_SIZE)
    descriptions = random.normal(2, 1, (4, DESCRIPTION_SIZE)).astype("float32")
    one = build_head(6 * HEADS)
    assert load_weights(one, merged(heads, mean.astype("float32"), spread.astype("float32"))) == []
    standard = ((descriptions - mean) / spread).astype("float32")
    expected = np.mean([each.predict_on_batch(standard) for each in heads], axis=0)
    assert one.predict_on_batch(descriptions) == pytest.approx(expected, abs=0.02)


def test_near_duplicates_are_of_one_fold() -> None:
    folds = fold_of([f"group {number % 40}" for number in range(80)])
    assert np.array_equal(folds[:40], folds[40:])
    assert set(folds) == set(range(HEADS))


def test_no_head_learns_from_a_photo_of_its_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each head is given exactly the photos of split train of the other folds whose labels agree."""
    faces = pd.DataFrame({"real_age": range(40), "split": "train", "age_conflict": 0, "group": range(40)})
    faces.loc[3, "age_conflict"], faces.loc[4, "split"] = 1, "valid"
    seen = []
    monkeypatch.setattr("models.training.face_heads._trained_head", lambda _, ages, size, seed: seen.append(set(ages)))
    trained_heads(np.zeros((40, 2, 8), "float32"), faces)
    fold = fold_of(faces["group"])
    assert seen == [{age for age in range(40) if age not in (3, 4) and fold[age] != each} for each in range(HEADS)]
