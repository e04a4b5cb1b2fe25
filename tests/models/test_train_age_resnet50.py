import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from conftest import photo_bytes, smooth_photo

from models.age_distribution import YEARS_OF_AGE
from models.age_resnet50 import network_weights, write_weights
from models.calibrate_age_resnet50 import calibrate_version
from models.face_labels import read_face_labels
from models.train_age_resnet50 import (
    FaceBatches,
    TrainingRecipe,
    label_distribution_loss,
    mae,
    train,
    training_facts,
)

RECIPE = TrainingRecipe(image_size=48, epochs=2, batch_size=4)


@pytest.fixture
def faces(tmp_path):
    """Ten faces, eight to train, one each to watch and to test; the brighter the older."""
    rows = []
    for row in range(10):
        photo = smooth_photo(64, 64, row).point(lambda value, row=row: value // 4 + 18 * row)
        (tmp_path / f"{row}.jpg").write_bytes(photo_bytes(photo))
        rows.append((f"{row}.jpg", 10 * row))
    pd.DataFrame(rows, columns=["file_name", "real_age"]).to_csv(tmp_path / "labels.csv", index=False)
    return read_face_labels(tmp_path / "labels.csv")


def test_batches_hold_every_face_once_an_epoch(faces, tmp_path):
    batches = FaceBatches(faces, tmp_path, 40, batch_size=4, seed=1)
    assert len(batches) == 3
    assert [batches[batch][0].shape for batch in range(3)] == [(4, 40, 40, 3), (4, 40, 40, 3), (2, 40, 40, 3)]
    assert sorted(age for batch in range(3) for age in batches[batch][1].ravel()) == list(range(0, 100, 10))


def test_a_resumed_epoch_sees_the_faces_of_that_epoch(faces, tmp_path):
    whole, resumed = (FaceBatches(faces, tmp_path, 40, batch_size=4, seed=1) for _ in range(2))
    first_of_epoch_0, _ = whole[0]
    whole.start_epoch(1)
    resumed.start_epoch(1)
    first_of_epoch_1, _ = whole[0]
    assert np.array_equal(resumed[0][0], first_of_epoch_1)
    assert not np.array_equal(first_of_epoch_0, first_of_epoch_1)


def test_faces_to_watch_stay_in_order_and_unaltered(faces, tmp_path):
    batches = FaceBatches(faces, tmp_path, 40, batch_size=4)
    before = batches[1]
    batches.start_epoch(1)
    assert batches[1][1].ravel().tolist() == [40, 50, 60, 70]
    assert np.array_equal(batches[1][0], before[0])


def test_photos_grow_in_the_second_half():
    assert TrainingRecipe(image_size=112, epochs=5).stages() == [(80, 2), (112, 5)]


def test_the_loss_is_smallest_at_the_true_age():
    sure_of = 50.0 * np.eye(YEARS_OF_AGE, dtype="float32")
    ages = np.full((3, 1), 30)
    losses = np.asarray(label_distribution_loss(ages, sure_of[[30, 33, 60]]))
    assert losses[0] < losses[1] < losses[2]
    assert np.asarray(mae(ages, sure_of[[30, 33, 60]])).tolist() == pytest.approx([0, 3, 30], abs=1e-3)


def test_the_manifest_knows_the_ages_that_were_shown(faces):
    facts = training_facts(faces, None, "blots, nobody's", RECIPE)
    assert (facts.started_from, facts.photo_count, facts.recipe["epochs"]) == ("random weights", 8, 2)
    assert [age for age, share in enumerate(facts.age_prior) if share == 0.125] == list(range(0, 80, 10))


@pytest.fixture
def without_tracing():
    """Tracing a ResNet50 for training takes a minute, two steps without it take seconds."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
@pytest.mark.usefixtures("without_tracing")
def test_a_killed_training_goes_on_where_it_was_and_gives_a_version(faces, tmp_path, monkeypatch):
    start_epoch = FaceBatches.start_epoch

    def killed_in_the_second_epoch(self, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        start_epoch(self, epoch)

    monkeypatch.setattr(FaceBatches, "start_epoch", killed_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(faces, tmp_path, None, tmp_path, RECIPE)
    monkeypatch.undo()
    network = train(faces, tmp_path, None, tmp_path, RECIPE)
    assert pd.read_csv(tmp_path / "epochs.csv")["epoch"].tolist() == [0, 1]
    assert int(network.optimizer.iterations) == 4

    write_weights(network_weights(network), tmp_path / "weights.npz")
    (tmp_path / "training.json").write_text(json.dumps(asdict(training_facts(faces, None, "nobody", RECIPE))))
    manifest = calibrate_version(tmp_path, faces, tmp_path, [32, 48])
    assert manifest.image_size in (32, 48)
    assert manifest.interval_mass == 1.0
    assert json.loads((tmp_path / "manifest.json").read_text()) == asdict(manifest)
