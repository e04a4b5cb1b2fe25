"""age_share_choices: how the shift calibration of a version was chosen, on photos of split `valid` only.

    python -m tests.benchmarks.age_share_choices --labels labels.csv --images faces

Each photo is read with a calibration that was fitted without its fifth of the photos, and drawn into days of shops of
six kinds. The table has the mean distance to the realised shares of age groups, in parts of that of counts by point
estimate, for other forms of the calibration and of what is expected of a mix.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs.ages.age_group_estimates import group_sums
from jobs.ages.age_mix_estimation import Replicate, likelihoods
from jobs.ages.age_mix_fit import SHOP_LOG_SPREAD, YEARS, Floats, Integers, UsualMix, fit_mix
from jobs.operations.sample_day.sample_receipts import BUYER_AGE_SHARES
from models.faces.face_labels import ages_years, read_face_labels
from models.serving.model_versions import MODEL_VERSIONS
from models.training.fit_shift_calibration import SMOOTHING_YEARS, TRUSTED_TRANSACTIONS, USUAL_WEIGHT, fit, usual_mix
from models.training.predictions import distributions_of_split
from models.training.trained_version import load_trained_version
from tests.given.simulated_buyers import (
    BOUNDS,
    SHOP_AGES,
    distance,
    draw_ages,
    mix_of,
    nearest_faces,
    shares_of,
    smooth,
)

SHOPS = {
    "usual": mix_of(SHOP_AGES),
    "usual, smooth": smooth(mix_of(SHOP_AGES)),
    "students": mix_of({**SHOP_AGES, (18, 24): 0.42, (25, 34): 0.3}),
    "pensioners": mix_of({**SHOP_AGES, (55, 64): 0.3, (65, 85): 0.5}),
    "families": mix_of({**BUYER_AGE_SHARES, (4, 17): 0.13, (35, 44): 0.4}),
    "middle-aged": mix_of({**SHOP_AGES, (45, 54): 0.4, (55, 64): 0.08}),
}
DAY_SIZES = (450, 3000)
DAYS = 5
FOLDS = 5
USUAL_WEIGHTS = (0.0, 0.5, USUAL_WEIGHT)
SEED = 2026


@dataclass(frozen=True)
class Form:
    """A way to estimate: (n, 101) likelihoods of the photos, and the expected mix of ages."""

    likelihoods: Floats
    smoothing_years: float = SMOOTHING_YEARS
    log_spread: float = SHOP_LOG_SPREAD
    trusted_transactions: float = TRUSTED_TRANSACTIONS

    def shares(self, photos: Integers) -> Floats:
        """Return the (groups,) estimated shares of buyers with these photos."""
        rows = self.likelihoods[photos]
        trusted = np.full(len(rows), 1 / (1 + len(rows) / self.trusted_transactions))
        mix = fit_mix(rows, trusted, self.smoothing_years, UsualMix(usual_mix(), log_spread=self.log_spread))
        return group_sums((rows * mix / (rows @ mix)[:, None]).mean(axis=0), BOUNDS)


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name, real_age")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    arguments = parser.parse_args()
    faces = read_face_labels(arguments.labels, arguments.images)
    estimator = load_trained_version(MODEL_VERSIONS[-1])
    photos, distributions = distributions_of_split(estimator, faces, arguments.images, "valid")
    Console().print(measured(distributions, ages_years(photos), photos["group"].to_numpy("str")))


def measured(distributions: Floats, ages: Integers, groups: NDArray[np.str_]) -> Table:
    """Return the table of all forms."""
    table = Table("form", *(f"{count} a day" for count in DAY_SIZES))
    days = {
        count: [_day(mix, count, ages, day) for mix in SHOPS.values() for day in range(DAYS)] for count in DAY_SIZES
    }
    points = {count: _distances(days[count], ages, lambda day: shares_of(distributions[day] @ YEARS)) for count in days}
    for name, form in _forms(distributions, ages, groups).items():
        parts = (_distances(days[count], ages, form.shares).mean() / points[count].mean() for count in DAY_SIZES)
        table.add_row(name, *(f"{part:.3f}" for part in parts))
    return table


def _forms(distributions: Floats, ages: Integers, groups: NDArray[np.str_]) -> dict[str, Form]:
    calibrated = {weight: _read_by_others(distributions, ages, groups, weight) for weight in USUAL_WEIGHTS}
    chosen = Form(calibrated[USUAL_WEIGHT])
    training = Replicate(1.0, np.zeros(len(YEARS)), smooth(np.bincount(ages, minlength=len(YEARS)) / len(ages)))
    forms = {"chosen": chosen, "no calibration": replace(chosen, likelihoods=likelihoods(distributions, training))}
    forms |= {f"photos weighted by {weight}": replace(chosen, likelihoods=rows) for weight, rows in calibrated.items()}
    forms |= {f"smoothing {years:.0f} years": replace(chosen, smoothing_years=years) for years in (10.0, 40.0)}
    forms |= {f"log spread {spread}": replace(chosen, log_spread=spread) for spread in (0.8, 1.0, 1.5, 2.0)}
    trusted = (250.0, 1000.0, 1e9)
    return forms | {f"trusted {most:.0f}": replace(chosen, trusted_transactions=most) for most in trusted}


def _read_by_others(distributions: Floats, ages: Integers, groups: NDArray[np.str_], usual_weight: float) -> Floats:
    """Return (n, 101) likelihoods of photos, each from a calibration that was fitted without its fold of groups."""
    names, group = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(SEED).integers(FOLDS, size=len(names))[group]
    rows = np.empty_like(distributions)
    for number in range(FOLDS):
        fitted = fit(distributions, ages, (fold != number).astype(np.float64), usual_weight)
        calibration = Replicate(fitted.exponent, np.array(fitted.bias), np.array(fitted.prior))
        rows[fold == number] = likelihoods(distributions[fold == number], calibration)
    return rows


def _day(mix: Floats, count: int, ages: Integers, day: int) -> Integers:
    """Return the photos of a day's buyers."""
    random = np.random.default_rng([SEED, count, day])
    return nearest_faces(draw_ages(mix, count, random), ages, random)


def _distances(days: list[Integers], ages: Integers, shares: Callable[[Integers], Floats]) -> Floats:
    return np.array([distance(shares(day), shares_of(ages[day])) for day in days])


if __name__ == "__main__":
    main()
