"""age_shares: how far estimated shares of age groups are from the truth, beside counts by point estimate.

    python -m tests.benchmarks.age_shares --labels labels.csv --images faces --out age_shares.json

real: labelled faces of a split stand for the buyers of real receipts whose households' age bands are known, each face
at most once a day; a day is as many trading days in a row as give 400 transactions. simulated: 5,000 buyers a day of
shops with other ages, with posteriors that are right about their own doubts. planted: a category that those of 18 to 24
buy three times as often as all do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from jobs.ages.age_group_estimates import Estimates, affinity, estimate_groups
from jobs.ages.age_mix_estimation import ShiftCalibration
from jobs.ages.age_mix_fit import YEARS, Floats, Integers
from jobs.ages.shift_calibration import shift_calibration
from jobs.operations.sample_day.sample_baskets import TRADING_YEAR, completejourney_baskets
from jobs.operations.sample_day.sample_receipts import sample_receipts
from models.faces.face_labels import ages_years, read_face_labels
from models.serving.model_versions import MODEL_VERSIONS
from models.training.predictions import distributions_of_split
from models.training.trained_version import load_trained_version
from tests.given.simulated_buyers import (
    BOUNDS,
    SHOP_AGES,
    buyer_groups_of,
    distance,
    draw_ages,
    exact_calibration,
    mix_of,
    nearest_faces,
    other_shop,
    planted,
    seen,
    shares_of,
    sums_of_one_place,
)

TIME_ZONE = "UTC"
REAL_DAYS, SIMULATED_DAYS = 60, 50
LEAST_TRANSACTIONS = 400
SIMULATED_TRANSACTIONS = 5000
PLANTED_SHARES = (0.08, 0.2)
BOOTSTRAP_SAMPLES = 10_000
SEED = 2026


@dataclass(frozen=True)
class Faces:
    """Labelled photos: (n,) ages and (n, 101) distributions."""

    ages: Integers
    distributions: Floats


@dataclass(frozen=True)
class Day:
    """The results of one day."""

    transactions: int
    point_distance: float
    corrected_distance: float
    held_groups: int
    """Number of intervals that contain the realised share."""


@dataclass(frozen=True)
class Summary:
    """Means over days."""

    days: int
    transactions: float
    point_distance: float
    corrected_distance: float
    reduction: float
    difference_interval_95: tuple[float, float]
    """Interval of corrected minus point, from days drawn with replacement."""
    held_share: float


@dataclass(frozen=True)
class Planted:
    """How a planted category was recovered."""

    days: int
    share: float
    true_index: float
    mean_index: float
    lowest_index: float
    highest_index: float
    held_share: float


def main() -> None:
    """Measure as the command line says."""
    arguments = _arguments()
    console = Console()
    with console.status("estimating ages"):
        faces = _faces(arguments.labels, arguments.images, arguments.split)
    calibration = shift_calibration(MODEL_VERSIONS[-1])
    summaries = {
        "real": _summary(list(real_days(faces, calibration, arguments.real_days))),
        "simulated": _summary(list(simulated_days(calibration.usual_mix, arguments.simulated_days))),
    }
    plants = {
        f"{kind} {share:.0%}": planted_category(kind, share, faces, calibration, arguments.simulated_days)
        for kind in ("simulated", "real")
        for share in PLANTED_SHARES
    }
    console.print(_distance_table(summaries), _planted_table(plants))
    figures = {"split": arguments.split, "model_version": MODEL_VERSIONS[-1]}
    figures |= {name: asdict(each) for name, each in summaries.items()}
    figures["planted"] = {name: asdict(each) for name, each in plants.items()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    console.print(f"written to {arguments.out}")


def real_days(faces: Faces, calibration: ShiftCalibration, count: int) -> Iterator[Day]:
    """Yield days of real receipts. Each buyer gets a face of about the household's age."""
    for number in range(count):
        random = np.random.default_rng([SEED, number])
        first = date(TRADING_YEAR, 1, 2) + timedelta(days=number * 350 // count)
        ages = _known_buyers_ages(first, random)
        rows = _faces_of(ages, faces.ages, random)
        yield _day(faces.ages[rows], faces.distributions[rows], calibration, number)


def simulated_days(usual_mix: Floats, count: int) -> Iterator[Day]:
    """Yield days of simulated buyers. Each day has other shops."""
    calibration = replace(exact_calibration(), usual_mix=usual_mix)
    for number in range(count):
        random = np.random.default_rng([SEED, number])
        ages = draw_ages(other_shop(random), SIMULATED_TRANSACTIONS, random)
        yield _day(ages, seen(ages, random), calibration, number)


def planted_category(kind: str, share: float, faces: Faces, calibration: ShiftCalibration, count: int) -> Planted:
    """Recover a category that a `share` of all buyers buys. Buyers are simulated, or real faces, which then repeat."""
    if kind == "simulated":
        calibration = replace(exact_calibration(), usual_mix=calibration.usual_mix)
    indices, truths, holds = [], [], []
    for number in range(count):
        random = np.random.default_rng([SEED, number])
        wanted = draw_ages(
            other_shop(random) if kind == "simulated" else mix_of(SHOP_AGES), SIMULATED_TRANSACTIONS, random
        )
        rows = nearest_faces(wanted, faces.ages, random)
        ages, distributions = (
            (wanted, seen(wanted, random)) if kind == "simulated" else (faces.ages[rows], faces.distributions[rows])
        )
        is_bought = planted(ages, random, share=share)
        _, _, everyone, category = buyer_groups_of(distributions, calibration, number, is_bought)
        index = affinity(category, everyone, BOUNDS)
        truths.append(shares_of(ages[is_bought])[1] / shares_of(ages)[1])
        indices.append(index.value[1])
        holds.append(index.low[1] <= truths[-1] <= index.high[1])
    true_index, mean_index, held_share = (float(np.mean(each)) for each in (truths, indices, holds))
    return Planted(count, share, true_index, mean_index, float(min(indices)), float(max(indices)), held_share)


def _faces(labels: Path, images: Path, split: str) -> Faces:
    estimator = load_trained_version(MODEL_VERSIONS[-1])
    rows, distributions = distributions_of_split(estimator, read_face_labels(labels, images), images, split)
    return Faces(ages_years(rows), distributions)


def _known_buyers_ages(first: date, random: np.random.Generator) -> Integers:
    """Return the ages of buyers from known households, on as many days from `first` as are needed for enough buyers."""
    ages: list[int] = []
    day = first
    while len(ages) < LEAST_TRANSACTIONS:
        transactions = sample_receipts(completejourney_baskets(day, TIME_ZONE), TIME_ZONE, random).transactions
        ages += transactions.loc[transactions["age_band"].notna(), "true_age_years"].to_list()
        day += timedelta(days=1)
    return np.array(ages)


def _faces_of(ages: Integers, face_ages: Integers, random: np.random.Generator) -> Integers:
    """Return a face for each age, of the nearest available age, and each face at most once."""
    order = random.permutation(len(face_ages))
    is_free = np.ones(len(order), dtype=bool)
    chosen = np.zeros(len(ages), dtype=np.int64)
    for buyer in random.permutation(len(ages)):
        apart = np.where(is_free, np.abs(face_ages[order] - ages[buyer]), len(YEARS))
        nearest = int(apart.argmin())
        is_free[nearest] = False
        chosen[buyer] = order[nearest]
    return chosen


def _day(ages: Integers, distributions: Floats, calibration: ShiftCalibration, seed: int) -> Day:
    cells, likelihoods, everyone, _ = buyer_groups_of(distributions, calibration, seed)
    counted = estimate_groups(likelihoods, everyone, sums_of_one_place(cells), 1, BOUNDS).transaction_count
    realised = shares_of(ages)
    return Day(
        len(ages),
        distance(shares_of(distributions @ YEARS), realised),
        distance(counted.value[0] / len(ages), realised),
        int(_is_held(counted, realised, len(ages)).sum()),
    )


def _is_held(counted: Estimates, realised: Floats, count: int) -> Floats:
    """Return which intervals contain the realised share. For a share under 1 %, an upper bound under 2 % is enough."""
    low, high = counted.low[0] / count, counted.high[0] / count
    return ((low <= realised) & (realised <= high)) | ((realised < 0.01) & (high < 0.02))


def _summary(days: list[Day]) -> Summary:
    point, corrected = (
        np.array([getattr(day, name) for day in days]) for name in ("point_distance", "corrected_distance")
    )
    draws = np.random.default_rng(SEED).integers(len(days), size=(BOOTSTRAP_SAMPLES, len(days)))
    low, high = np.quantile((corrected - point)[draws].mean(axis=1), (0.025, 0.975))
    return Summary(
        len(days),
        float(np.mean([day.transactions for day in days])),
        float(point.mean()),
        float(corrected.mean()),
        float(1 - corrected.mean() / point.mean()),
        (float(low), float(high)),
        float(np.mean([day.held_groups for day in days]) / len(BOUNDS)),
    )


def _distance_table(summaries: dict[str, Summary]) -> Table:
    table = Table("buyers", "days", "a day", "by points", "estimated", "less by", "difference, 95 %", "intervals hold")
    for name, each in summaries.items():
        table.add_row(
            name,
            str(each.days),
            f"{each.transactions:.0f}",
            f"{each.point_distance:.3f}",
            f"{each.corrected_distance:.3f}",
            f"{each.reduction:.0%}",
            "{:+.3f} to {:+.3f}".format(*each.difference_interval_95),
            f"{each.held_share:.0%}",
        )
    return table


def _planted_table(plants: dict[str, Planted]) -> Table:
    table = Table("category of", "days", "true index", "mean index", "of days", "intervals hold")
    for name, each in plants.items():
        extent = f"{each.lowest_index:.2f}–{each.highest_index:.2f}"
        means = (f"{each.true_index:.2f}", f"{each.mean_index:.2f}")
        table.add_row(name, str(each.days), *means, extent, f"{each.held_share:.0%}")
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="CSV with file_name, real_age")
    parser.add_argument("--images", type=Path, required=True, help="folder of the photos")
    parser.add_argument("--out", type=Path, default=Path(".demo/age_shares.json"), help="JSON file of the figures")
    parser.add_argument("--split", default="test", help="whose faces stand for buyers")
    parser.add_argument("--real-days", type=int, default=REAL_DAYS)
    parser.add_argument("--simulated-days", type=int, default=SIMULATED_DAYS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
