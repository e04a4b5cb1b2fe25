"""age_losses: the loss functions of a training, of (batch, 101) logits over years of age and (batch, 1) true ages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from models.serving.age_distribution import YEARS_OF_AGE

Tensor = Any

LABEL_SPREAD_YEARS = 2.0
EXPECTATION_LOSS_WEIGHT = 0.2
MEAN_LOSS_WEIGHT = 0.2
VARIANCE_LOSS_WEIGHT = 0.05


def mae(ages: Tensor, logits: Tensor) -> Tensor:
    """Return the absolute error of the expected age, per photo, in years."""
    # With a teacher, the embedding follows the logits.
    return keras.ops.abs(_expected_years(_probabilities(logits[:, :YEARS_OF_AGE])) - _column(ages))


def cross_entropy(ages: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy to the year of the true age (Rothe et al. 2018, "Deep Expectation of Real and Apparent Age")."""
    target = keras.ops.one_hot(keras.ops.cast(_column(ages), "int32"), YEARS_OF_AGE)
    return _cross_entropy_to(target, logits)


def label_distribution(ages: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy to a narrow Gaussian around the true age, plus the error of the expected age.

    Source: Gao et al. 2018, "Age Estimation Using Expectation of Label Distribution Learning" (DLDL-v2).
    """
    return _cross_entropy_to(_around(ages), logits) + EXPECTATION_LOSS_WEIGHT * mae(ages, logits)


def taught(teacher_share: float, embedding_weight: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss: `label_distribution` with the teacher's ages mixed in, plus the error of the teacher's embedding.

    It takes (batch, 1 + 101 + d) ages and targets of `teacher_targets`, and (batch, 101 + d) logits and embedding.
    """

    def loss(targets: Tensor, outputs: Tensor) -> Tensor:
        ages, teachers = targets[:, :1], keras.ops.cast(targets[:, 1:], "float32")
        logits, embedding = outputs[:, :YEARS_OF_AGE], outputs[:, YEARS_OF_AGE:]
        target = (1 - teacher_share) * _around(ages) + teacher_share * teachers[:, :YEARS_OF_AGE]
        of_embedding = keras.ops.mean((embedding - teachers[:, YEARS_OF_AGE:]) ** 2, axis=-1)
        of_ages = _cross_entropy_to(target, logits) + EXPECTATION_LOSS_WEIGHT * mae(ages, logits)
        return of_ages + embedding_weight * of_embedding

    return loss


def mean_variance(ages: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy, plus the squared error of the expected age, plus the variance of the distribution.

    Source: Pan et al. 2018, "Mean-Variance Loss for Deep Age Estimation From a Face".
    """
    probabilities = _probabilities(logits)
    expected = _expected_years(probabilities)
    variance = keras.ops.sum(probabilities * (_years() - expected[:, None]) ** 2, axis=-1)
    mean_loss = (expected - _column(ages)) ** 2 / 2
    return cross_entropy(ages, logits) + MEAN_LOSS_WEIGHT * mean_loss + VARIANCE_LOSS_WEIGHT * variance


def ordinal(ages: Tensor, logits: Tensor) -> Tensor:
    """Squared distance of the cumulative distributions, in years, plus the cross-entropy.

    A wrong year costs more the further away it is.
    Source: Hou et al. 2016, "Squared Earth Mover's Distance-based Loss".
    """
    up_to_year = keras.ops.cumsum(_probabilities(logits), axis=-1)
    is_reached = keras.ops.cast(_years() >= _column(ages)[:, None], "float32")
    return keras.ops.sum((up_to_year - is_reached) ** 2, axis=-1) + cross_entropy(ages, logits)


LOSSES = {
    "cross_entropy": cross_entropy,
    "label_distribution": label_distribution,
    "mean_variance": mean_variance,
    "ordinal": ordinal,
}


def _around(ages: Tensor) -> Tensor:
    return keras.ops.softmax(-0.5 * ((_years() - _column(ages)[:, None]) / LABEL_SPREAD_YEARS) ** 2)


def _probabilities(logits: Tensor) -> Tensor:
    # Layers may compute in bfloat16, which has 8 significant bits, too coarse for 101 probabilities.
    return keras.ops.softmax(keras.ops.cast(logits, "float32"))


def _expected_years(probabilities: Tensor) -> Tensor:
    return keras.ops.sum(probabilities * _years(), axis=-1)


def _cross_entropy_to(target: Tensor, logits: Tensor) -> Tensor:
    return keras.ops.categorical_crossentropy(target, keras.ops.cast(logits, "float32"), from_logits=True)


def _years() -> Tensor:
    return keras.ops.arange(YEARS_OF_AGE, dtype="float32")


def _column(ages: Tensor) -> Tensor:
    return keras.ops.cast(ages, "float32")[:, 0]
