from dataclasses import fields, replace

import numpy as np
import pytest

from models.cli import Loss, Variation
from models.errors import ModelInputError
from models.serving.age_distribution import YEARS_OF_AGE
from models.training.photo_augmentation import ALL_VARIATIONS, NO_VARIATIONS, Augmentation
from models.training.training_recipe import SEED_RECIPE, TrainingRecipe, age_weights, effective_age_prior, recipe_of

PLAIN = TrainingRecipe(balance_power=0, audited_ages_weight=1)
CROWD = np.repeat([5, 20, 30, 70], [10, 20, 60, 10])


def test_a_recipe_without_balance_takes_the_ages_as_they_are() -> None:
    assert age_weights(CROWD, PLAIN).tolist() == [1.0] * YEARS_OF_AGE
    assert effective_age_prior(CROWD, PLAIN)[[5, 20, 30, 70]].tolist() == [0.1, 0.2, 0.6, 0.1]


def test_full_balance_makes_rare_ages_count_as_much_as_common_ones() -> None:
    prior = effective_age_prior(CROWD, replace(PLAIN, balance_power=1))
    assert prior[[5, 20, 30, 70]] == pytest.approx([0.25] * 4, abs=0.03)


def test_ages_that_the_audit_decides_on_weigh_more() -> None:
    weights = age_weights(CROWD, replace(PLAIN, audited_ages_weight=2))
    assert weights[20] / weights[30] == pytest.approx(2)
    assert weights[CROWD].mean() == pytest.approx(1)


def test_an_age_that_no_photo_has_weighs_a_finite_amount() -> None:
    assert np.isfinite(age_weights(CROWD, TrainingRecipe())).all()


def test_small_photos_come_first() -> None:
    assert TrainingRecipe(image_size=112, epochs=12).stages() == [(96, 6), (112, 12)]
    assert SEED_RECIPE.stages() == [(112, 10)]
    assert TrainingRecipe(epochs=1).stages() == [(112, 1)]


def test_options_replace_the_choices_of_a_recipe_and_absent_ones_leave_them() -> None:
    recipe = recipe_of("default", image_size=64, epochs=None, loss="ordinal", without=["blur", "flip"])
    assert recipe == TrainingRecipe(
        image_size=64, loss="ordinal", augmentation=replace(ALL_VARIATIONS, blur=False, flip=False)
    )


def test_the_seed_recipe_is_the_notebooks_own() -> None:
    recipe = recipe_of("seed")
    assert (recipe.head, recipe.epochs, recipe.augmentation) == ("age", 10, NO_VARIATIONS)
    with pytest.raises(ModelInputError, match="leave out --loss and --without"):
        recipe_of("seed", loss="ordinal")


def test_the_command_offers_each_variation_and_loss() -> None:
    from models.training.age_losses import LOSSES

    assert [variation.name for variation in Variation] == [field.name for field in fields(Augmentation)]
    assert set(Loss.__args__) == set(LOSSES)
