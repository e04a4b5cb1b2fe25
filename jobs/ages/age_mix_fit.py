"""age_mix_fit: fits the most probable mix of ages of a group of buyers by Newton's method. numpy only, no Spark."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.serving.age_distribution import YEARS_OF_AGE

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
YEARS = np.arange(YEARS_OF_AGE)
EVEN_MIX = np.full(YEARS_OF_AGE, 1 / YEARS_OF_AGE)
NO_SURPLUS = np.zeros(YEARS_OF_AGE)
MIX_KNOTS_YEARS = np.arange(0, YEARS_OF_AGE, 4)
"""Ages at which the mix is fitted; it is interpolated between them. Fewer knots are faster and blur steep changes."""
SHOP_LOG_SPREAD, PART_LOG_SPREAD = 1.2, 1.5
"""Standard deviation of the log ratio of an age's share to the usual share: for a shop's buyers, and for a part of
them.

A product's buyers may change sharply from one age to the next; a neighbourhood's ages change less.
"""
MOST_STEPS = 60
"""Limit of Newton steps, for a fit that does not settle."""
SETTLED = 1e-4
"""A smaller gain of log probability ends the fit."""


@dataclass(frozen=True)
class UsualMix:
    """The mix of ages that a group of buyers is expected to have before its photos are used."""

    mix: Floats = field(default_factory=lambda: EVEN_MIX)
    """(101,) shares of ages, all above 0."""
    surplus: Floats = field(default_factory=lambda: NO_SURPLUS)
    """(101,) excess of the mean corrected distribution over the mix in a group where nothing is unusual."""
    log_spread: float = SHOP_LOG_SPREAD


def fit_mix(
    likelihoods_by_cell: Floats,
    counts: Floats,
    smoothing_years: float,
    usual: UsualMix | None = None,
    random: np.random.Generator | None = None,
) -> Floats:
    """Fit the mix of ages of buyers, (101,) shares, to the (k, 101) likelihoods and (k,) counts of their cells.

    The result is the most probable mix, if the logarithm of its ratio to the usual mix (without one, to equal shares)
    is a random walk over ages that forgets after `smoothing_years`. Without buyers it is the usual mix. With `random`
    it is drawn from the normal approximation to all probable mixes.
    Sources: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities", for the likelihood; Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", for the
    Ornstein–Uhlenbeck prior and for Newton's method on it.
    """
    usual = usual or UsualMix()
    basis, log_usual = _walk_basis(smoothing_years, usual.log_spread), np.log(usual.mix)
    # `pull` cancels the surplus that even a usual group has, so that such a group gets exactly the usual mix.
    pull = counts.sum() * (usual.surplus @ basis)
    log_ratio = newton_step = np.zeros(basis.shape[1])  # in steps of the walk, each normal with deviation 1
    log_probability, step_length = -np.inf, 1.0
    for _ in range(MOST_STEPS):
        proposed = log_ratio + step_length * newton_step
        mix = _mix(log_usual + basis @ proposed)
        # Log likelihood of the photos, less the pull, plus the log density of the normal prior.
        proposed_log_probability = (
            counts @ np.log(likelihoods_by_cell @ mix) - pull @ proposed - proposed @ proposed / 2
        )
        if proposed_log_probability < log_probability:
            step_length /= 4  # far from the top a whole Newton step may overshoot it
            continue
        gain = proposed_log_probability - log_probability
        log_ratio, log_probability, step_length = proposed, proposed_log_probability, 1.0
        if gain < SETTLED:
            break
        gradient, curvature, eigenvectors = _slope(likelihoods_by_cell, counts, mix, basis)
        newton_step = eigenvectors @ (eigenvectors.T @ (gradient - pull - log_ratio) / curvature)
    if random is not None:
        # The normal approximation at the top: along each eigenvector its variance is one over the curvature.
        log_ratio = log_ratio + eigenvectors @ (random.normal(size=len(log_ratio)) / np.sqrt(curvature))
    return _mix(log_usual + basis @ log_ratio)


def _mix(logs: Floats) -> Floats:
    """Turn logarithms of shares, given up to a common constant, into shares that add up to 1."""
    # Subtracting the maximum keeps exp from overflowing and does not change the shares.
    shares = np.exp(logs - logs.max())
    mix: Floats = shares / shares.sum()
    return mix


def distributions_of_cells(likelihoods_by_cell: Floats, mix: Floats) -> Floats:
    """Return the (k, 101) age distributions of the cells, corrected for a mix of ages."""
    mass = likelihoods_by_cell * mix
    distributions: Floats = mass / mass.sum(axis=1, keepdims=True)
    return distributions


def _slope(likelihoods_by_cell: Floats, counts: Floats, mix: Floats, basis: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the gradient of the log likelihood, and the curvature of the posterior with its eigenvectors, in columns.

    The curvature is at least 1 in every direction: the posterior is never taken as flatter than the prior.
    """
    of_buyer = distributions_of_cells(likelihoods_by_cell, mix)
    surplus = counts @ of_buyer - counts.sum() * mix
    apart = (of_buyer - mix) @ basis
    gradient: Floats = surplus @ basis
    cross = np.outer(gradient, mix @ basis)
    curvature = apart.T @ (counts[:, None] * apart) + cross + cross.T - basis.T @ (surplus[:, None] * basis)
    eigenvalues, eigenvectors = np.linalg.eigh(curvature + np.eye(len(gradient)))
    return gradient, np.maximum(eigenvalues, 1.0), eigenvectors


def _walk_basis(smoothing_years: float, log_spread: float) -> Floats:
    """Return the (101, knots) matrix that turns independent normal numbers into the walk, linear between its knots."""
    distance = np.abs(MIX_KNOTS_YEARS[:, None] - MIX_KNOTS_YEARS) / smoothing_years
    # Covariance of an Ornstein–Uhlenbeck walk: it falls exponentially with the distance of ages.
    root = np.linalg.cholesky(log_spread**2 * np.exp(-distance))
    between = np.stack([np.interp(YEARS, MIX_KNOTS_YEARS, knot) for knot in np.eye(len(MIX_KNOTS_YEARS))], axis=1)
    basis: Floats = between @ root
    return basis
