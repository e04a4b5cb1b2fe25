"""age_mix_fit: fits the most probable mix of ages of a group of buyers by Newton's method. numpy only, no Spark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

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
NUMBERS_TOGETHER = 2_000_000
"""Versions are fitted together up to so many likelihoods, which bounds the memory: 16 MB for each copy of them."""


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
) -> Floats:
    """Fit the most probable mix of ages of buyers, (101,) shares, as `fit_mixes` does for several versions."""
    fitted: Floats = fit_mixes(likelihoods_by_cell[None], counts, smoothing_years, [usual or UsualMix()])[0]
    return fitted


def fit_mixes(
    likelihoods_by_cell: Floats,
    counts: Floats,
    smoothing_years: float,
    usual: Sequence[UsualMix],
    random: np.random.Generator | None = None,
) -> Floats:
    """Fit the mix of ages of buyers under v versions of a calibration: (v, 101) shares.

    `likelihoods_by_cell` is (v, k, 101), `counts` are the (k,) counts of the cells, `usual` are the v usual mixes, of
    one log_spread. A result is the most probable mix, if the logarithm of its ratio to the usual mix is a random walk
    over ages that forgets after `smoothing_years`. Without buyers it is the usual mix. With `random`, all results but
    the first are drawn from the normal approximation to all probable mixes. All versions take their steps together,
    which is several times as fast as one after the other.
    Sources: Saerens, Latinne & Decaestecker 2002, "Adjusting the outputs of a classifier to new a priori
    probabilities", for the likelihood; Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", for the
    Ornstein–Uhlenbeck prior and for Newton's method on it.
    """
    together = max(1, NUMBERS_TOGETHER // max(likelihoods_by_cell[0].size, 1))
    fits = [
        _Fits(likelihoods_by_cell[at : at + together], counts, smoothing_years, usual[at : at + together])
        for at in range(0, len(usual), together)
    ]
    log_ratios = np.concatenate([each.log_ratios() for each in fits])
    if random is not None:
        # The normal approximation at the top: along each eigenvector its variance is one over the curvature.
        curvatures, eigenvectors = _principal(np.concatenate([each.curvature for each in fits])[1:])
        drawn = random.normal(size=curvatures.shape) / np.sqrt(curvatures)
        log_ratios[1:] += (eigenvectors @ drawn[:, :, None])[..., 0]
    basis = _walk_basis(smoothing_years, usual[0].log_spread)
    mixes: Floats = _mix(np.log([each.mix for each in usual]) + log_ratios @ basis.T)
    return mixes


class _Fits:
    """Newton's method for some versions at once; after `log_ratios`, the curvature at each top is known."""

    def __init__(
        self, likelihoods_by_cell: Floats, counts: Floats, smoothing_years: float, usual: Sequence[UsualMix]
    ) -> None:
        self._likelihoods, self._counts = likelihoods_by_cell, counts
        self._basis = _walk_basis(smoothing_years, usual[0].log_spread)
        self._log_usual = np.log([each.mix for each in usual])
        # The pull cancels the surplus that even a usual group has, so that such a group gets exactly the usual mix.
        self._pull = counts.sum() * (np.array([each.surplus for each in usual]) @ self._basis)
        versions, knots = self._pull.shape
        self.curvature = np.zeros((versions, knots, knots))
        """Of the log posterior, where each version took its last step from."""

    def log_ratios(self) -> Floats:
        """Return the (v, knots) walks at the top, in steps that are each normal with deviation 1."""
        walks: Floats = np.zeros(self._pull.shape)
        newton_steps: Floats = np.zeros(self._pull.shape)
        log_probabilities, step_lengths = np.full(len(walks), -np.inf), np.ones(len(walks))
        climbing = np.arange(len(walks))
        for _ in range(MOST_STEPS):
            proposed = walks[climbing] + step_lengths[climbing, None] * newton_steps[climbing]
            mixes = _mix(self._log_usual[climbing] + proposed @ self._basis.T)
            reached = self._log_probabilities(climbing, proposed, mixes)
            is_up = reached >= log_probabilities[climbing]
            step_lengths[climbing[~is_up]] /= 4  # far from the top a whole Newton step may overshoot it
            up = climbing[is_up]
            gains = reached[is_up] - log_probabilities[up]
            walks[up], log_probabilities[up], step_lengths[up] = proposed[is_up], reached[is_up], 1.0
            is_settled = gains < SETTLED
            on, on_mixes = up[~is_settled], mixes[is_up][~is_settled]
            if len(on):
                newton_steps[on] = self._newton_steps(on, walks[on], on_mixes)
            climbing = np.setdiff1d(climbing, up[is_settled])
            if not len(climbing):
                break
        return walks

    def _log_probabilities(self, versions: Integers, proposed: Floats, mixes: Floats) -> Floats:
        """Return the log likelihood of the photos, less the pull, plus the log density of the normal prior: (n,)."""
        likelihoods = (self._likelihoods[versions] @ mixes[:, :, None])[..., 0]
        walk = (self._pull[versions] * proposed).sum(axis=1) + (proposed**2).sum(axis=1) / 2
        probabilities: Floats = np.log(likelihoods) @ self._counts - walk
        return probabilities

    def _newton_steps(self, versions: Integers, walks: Floats, mixes: Floats) -> Floats:
        """Return the (n, knots) steps from where the versions are, and keep the curvature there."""
        basis, counts = self._basis, self._counts
        of_buyer = distributions_of_cells(self._likelihoods[versions], mixes[:, None, :])
        surplus = counts @ of_buyer - counts.sum() * mixes
        apart = (of_buyer - mixes[:, None, :]) @ basis
        gradient = surplus @ basis
        cross = gradient[:, :, None] * (mixes @ basis)[:, None, :]
        curvature = apart.transpose(0, 2, 1) @ (counts[:, None] * apart) + cross + cross.transpose(0, 2, 1)
        curvature += np.eye(len(basis.T)) - basis.T @ (surplus[:, :, None] * basis)
        self.curvature[versions] = curvature
        return _solved(curvature, gradient - self._pull[versions] - walks)


def _solved(curvature: Floats, uphill: Floats) -> Floats:
    """Return the (n, knots) Newton steps for (n, knots, knots) curvatures and the (n, knots) gradients."""
    try:
        np.linalg.cholesky(curvature)
    except np.linalg.LinAlgError:
        # Where the posterior bends upward, a step along the eigenvectors still leads up.
        values, vectors = _principal(curvature)
        along = (vectors.transpose(0, 2, 1) @ uphill[:, :, None]) / values[:, :, None]
        return np.asarray((vectors @ along)[..., 0], dtype=np.float64)
    return np.asarray(np.linalg.solve(curvature, uphill[:, :, None])[..., 0], dtype=np.float64)


def _principal(curvature: Floats) -> tuple[Floats, Floats]:
    """Return the (n, knots) curvatures along the eigenvectors, and these, in columns.

    A curvature is at least 1: the posterior is never taken as flatter than the prior.
    """
    values, vectors = np.linalg.eigh(curvature)
    floored: Floats = np.maximum(values, 1.0)
    return floored, vectors


def _mix(logs: Floats) -> Floats:
    """Turn (…, 101) logarithms of shares, given up to a common constant, into shares that add up to 1."""
    # Subtracting the maximum keeps exp from overflowing and does not change the shares.
    shares = np.exp(logs - logs.max(axis=-1, keepdims=True))
    mix: Floats = shares / shares.sum(axis=-1, keepdims=True)
    return mix


def distributions_of_cells(likelihoods_by_cell: Floats, mix: Floats) -> Floats:
    """Return the (…, k, 101) age distributions of cells, corrected for a mix of ages."""
    mass = likelihoods_by_cell * mix
    distributions: Floats = mass / mass.sum(axis=-1, keepdims=True)
    return distributions


@lru_cache  # a day needs two of them, for thousands of fits
def _walk_basis(smoothing_years: float, log_spread: float) -> Floats:
    """Return the (101, knots) matrix that turns independent normal numbers into the walk, linear between its knots."""
    distance = np.abs(MIX_KNOTS_YEARS[:, None] - MIX_KNOTS_YEARS) / smoothing_years
    # Covariance of an Ornstein–Uhlenbeck walk: it falls exponentially with the distance of ages.
    root = np.linalg.cholesky(log_spread**2 * np.exp(-distance))
    between = np.stack([np.interp(YEARS, MIX_KNOTS_YEARS, knot) for knot in np.eye(len(MIX_KNOTS_YEARS))], axis=1)
    basis: Floats = between @ root
    basis.flags.writeable = False  # all fits share it
    return basis
