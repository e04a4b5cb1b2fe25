"""training_recipe: the recipe of a training, which is all its choices. EXPERIMENTS.md lists what was tried."""

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
"""First and last of the ages around the legal and the challenge age, which the audit decides on."""


@dataclass(frozen=True)
class TrainingRecipe:
    """All choices of a training. The manifest of a version keeps the recipe with which its weights were made."""

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
    """Factors of the learning rate by beginning of a layer's name; layers with 0 keep their weights."""
    weight_decay: float = 0.02
    weight_average_momentum: float = 0.995
    balance_power: float = 0.25
    """A photo's weight is the smoothed frequency of its age to the power of minus this: with 0 all photos weigh the
    same, with 1 all ages."""
    audited_ages_weight: float = 1.5
    """Factor of the weight of photos of AUDITED_AGES."""
    augmentation: Augmentation = ALL_VARIATIONS
    small_photo_share: float = 0.5
    """Share of the epochs with photos of 6/7 of the size."""
    second_opinion_side_pixels: int | None = 160
    """Side of faces for the small face network, the second opinion; None for ResNet50 alone."""
    teacher_share: float = 0.5
    """With a teacher: its share in the target distribution of ages; the label has the rest."""
    embedding_weight: float = 1.0
    """With a teacher: the weight of the error of its embedding."""
    seed: int = 2026

    def stages(self) -> list[tuple[int, int]]:
        """Return the side of the photos and the last epoch of each stage. Small photos come first: they train faster.

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
"""The seed notebooks' recipe: average pooling, Dense(1, relu), Adam at its default rate, photos scaled to 0–1, no
augmentation."""

RECIPES = {recipe.name: recipe for recipe in (TrainingRecipe(), SEED_RECIPE)}


def recipe_of(
    name: str,
    image_size: int | None = None,
    epochs: int | None = None,
    loss: str | None = None,
    without: Sequence[str] = (),
) -> TrainingRecipe:
    """Return a named training recipe, changed by the given options. `without` lists photo variations to leave out.

    Raises ModelInputError when the seed recipe gets an option that it does not have.
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
    """Return the (101,) weights of photos by age; their mean over the (n,) photos is 1."""
    years = np.arange(YEARS_OF_AGE)
    kernel = np.exp(-0.5 * ((years[:, None] - years) / PRIOR_SMOOTHING_YEARS) ** 2)
    frequency = kernel @ np.bincount(ages_years, minlength=YEARS_OF_AGE) / kernel.sum(axis=1)
    # The floor bounds the weight of ages that hardly occur.
    weights = np.maximum(frequency, frequency.max() / 1000) ** -recipe.balance_power
    first, last = AUDITED_AGES
    weights[first : last + 1] *= recipe.audited_ages_weight
    normalised: Floats = weights / weights[ages_years].mean()  # a mean of 1 leaves the learning rate its meaning
    return normalised


def effective_age_prior(ages_years: NDArray[np.int64], recipe: TrainingRecipe) -> Floats:
    """Return the (101,) shares of ages in the training photos, each photo counted with its weight."""
    weighted = np.bincount(ages_years, minlength=YEARS_OF_AGE) * age_weights(ages_years, recipe)
    prior: Floats = weighted / weighted.sum()
    return prior
