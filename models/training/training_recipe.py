"""training_recipe: the choices of a training run. What was tried and what it gave stands in EXPERIMENTS.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelInputError
from models.serving.age_distribution import YEARS_OF_AGE, Floats
from models.training.photo_augmentation import ALL_VARIATIONS, NO_VARIATIONS, Augmentation

PRIOR_SMOOTHING_YEARS = 2.0
AUDITED_AGES = (16, 26)
"""Ages around the legal and the challenge age, on which the audit decides: from the first to the last."""


@dataclass(frozen=True)
class TrainingRecipe:
    """What a training does; those choices that gave committed weights are kept in their manifest."""

    name: str = "default"
    head: Literal["years", "age"] = "years"
    """`years`: softmax over the ages 0–100. `age`: one number."""
    loss: str = "label_distribution"
    """A key of `age_losses.LOSSES`, or a loss of Keras."""
    image_size: int = 112
    epochs: int = 12
    batch_size: int = 64
    dropout: float = 0.2
    peak_learning_rate: float = 3e-4
    rate_factors: dict[str, float] = field(
        default_factory=lambda: {"conv1": 0.0, "conv2": 0.0, "conv3": 0.5, "conv4": 0.7}
    )
    """Factors of the learning rate by beginning of a layer's name; at 0 the layers stay as they came."""
    weight_decay: float = 0.02
    weight_average_momentum: float = 0.995
    balance_power: float = 0.25
    """Photos of an age weigh its smoothed frequency to the power of minus this: 0 leaves them, 1 levels all ages."""
    audited_ages_weight: float = 1.5
    """What photos of AUDITED_AGES weigh more."""
    augmentation: Augmentation = ALL_VARIATIONS
    small_photo_share: float = 0.5
    """Share of the epochs that see photos of 6/7 of the size."""
    second_opinion_side_pixels: int | None = 160
    """Side to which faces are scaled for the small face network, whose answer is mixed in; None for ResNet50 alone."""
    teacher_share: float = 0.5
    """Where there is a teacher: its share of the ages that training draws towards; labels have the rest."""
    embedding_weight: float = 1.0
    """Where there is a teacher: the weight of the error of its embedding."""
    seed: int = 2026

    def stages(self) -> list[tuple[int, int]]:
        """Return (side of the photos, epoch where the stage ends): smaller photos first, cheaper and regularising.

        Source: Tan & Le 2021, "EfficientNetV2: Smaller Models and Faster Training", progressive learning.
        """
        small_epochs = int(self.epochs * self.small_photo_share)
        small = [(max(32, self.image_size * 6 // 7), small_epochs)] if small_epochs else []
        return [*small, (self.image_size, self.epochs)]


SEED_RECIPE = TrainingRecipe(
    name="seed",
    head="age",
    loss="mean_squared_error",
    epochs=10,
    batch_size=32,
    dropout=0.0,
    peak_learning_rate=1e-3,
    rate_factors={},
    weight_decay=0.0,
    weight_average_momentum=0.0,
    balance_power=0.0,
    audited_ages_weight=1.0,
    augmentation=NO_VARIATIONS,
    small_photo_share=0.0,
    second_opinion_side_pixels=None,
)
"""The notebooks' own: average pooling, Dense(1, relu), Adam at its own rate, photos scaled to 0–1, no augmentation."""

RECIPES = {recipe.name: recipe for recipe in (TrainingRecipe(), SEED_RECIPE)}


def recipe_of(
    name: str,
    image_size: int | None = None,
    epochs: int | None = None,
    loss: str | None = None,
    without: Sequence[str] = (),
) -> TrainingRecipe:
    """Return a recipe with those options that are given, and without some variations of the photos.

    Raises ModelInputError when the seed recipe is asked for what is not its own.
    """
    recipe = RECIPES[name]
    if recipe.head == "age" and (loss or without):
        raise ModelInputError("recipe 'seed' has one loss and no variations of photos: leave out --loss and --without")
    options = {"image_size": image_size, "epochs": epochs, "loss": loss}
    augmentation = replace(recipe.augmentation, **dict.fromkeys(without, False))
    return replace(
        recipe,
        augmentation=augmentation,
        **{option: value for option, value in options.items() if value is not None},  # type: ignore[arg-type]
    )


def age_weights(ages_years: NDArray[np.int64], recipe: TrainingRecipe) -> Floats:
    """Return the (101,) weights of photos by age, whose mean over the (n,) photos is 1."""
    years = np.arange(YEARS_OF_AGE)
    kernel = np.exp(-0.5 * ((years[:, None] - years) / PRIOR_SMOOTHING_YEARS) ** 2)
    frequency = kernel @ np.bincount(ages_years, minlength=YEARS_OF_AGE) / kernel.sum(axis=1)
    weights = np.maximum(frequency, frequency.max() / 1000) ** -recipe.balance_power
    first, last = AUDITED_AGES
    weights[first : last + 1] *= recipe.audited_ages_weight
    normalised: Floats = weights / weights[ages_years].mean()
    return normalised


def effective_age_prior(ages_years: NDArray[np.int64], recipe: TrainingRecipe) -> Floats:
    """Return the (101,) shares of the ages that a training on (n,) photos takes for true: counts times weights."""
    weighted = np.bincount(ages_years, minlength=YEARS_OF_AGE) * age_weights(ages_years, recipe)
    prior: Floats = weighted / weighted.sum()
    return prior
