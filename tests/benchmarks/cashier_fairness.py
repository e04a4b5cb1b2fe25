"""cashier_fairness: how often cashier_alcohol_audit names someone where all ask alike, and where one does not.

Windows of 28 days in a made-up chain. Buyers have a true age and look some years older or younger to the cashier and to
the camera alike; the camera errs on top of that. The estimator knows the ages of the chain's buyers and how much a
camera errs, so that it is right on average in the whole chain, and wrong in one store, whose buyers are older. One
till has a degraded camera: its estimates are wide and lie nearer to the middle; one cashier is nearly always there. In
the evening buyers are younger, and in the rush fewer are asked. Some buyers have no estimate.

    python -m tests.benchmarks.cashier_fairness --windows 300 --out fairness.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from jobs.operations.sample_day.sample_receipts import (
    APPARENT_AGE_SPREAD_YEARS,
    ASKED_SHARE_BY_APPARENT_AGE,
    BUYER_AGE_SHARES,
)
from jobs.settings import Settings, read_settings
from jobs.tables.cashier_alcohol_audit import CashierReview, cashier_alcohol_audit
from tests.given.cashier_days import cashier_days_of

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AGES_YEARS = np.arange(101)
MINOR_AGES_YEARS, MINOR_SHARE = (14, 17), 0.01
CAMERA_ERROR_YEARS, DEGRADED_ERROR_YEARS = 4.5, 9.0
LAST_DATE = date(2026, 11, 20)
OPENS_AT_HOUR, SHIFT_HOURS, SHIFTS = 8, 7, 2
EVENING_HOUR, RUSH_HOURS, RUSH_FACTOR = 18, (17, 18), 0.85
YOUNGER_IN_THE_EVENING, OLDER_IN_A_STORE = -0.012, 0.03
"""Slopes: change of the logarithm of a buyer's probability with each year of age."""
ASKED_SHARE, LAX_ASKED_SHARE = 0.85, 0.60
SOUND, OLDER, DEGRADED = 0, 1, 2
"""Stores: the lax cashier is in the first, older buyers are in the second, the degraded till is in the third."""


@dataclass(frozen=True)
class Chain:
    """The size of the made-up chain, and its faults."""

    stores: int = 10
    tills: int = 4
    cashiers: int = 10
    days: int = 28
    sales_per_shift: int = 40
    no_estimate_share: float = 0.15
    has_older_store: bool = True
    has_degraded_till: bool = True
    knows_degraded: bool = True
    """Whether the estimator knows that the camera is degraded, and widens its estimates accordingly."""
    habit_deviation: float = 0.0
    """Standard deviation between cashiers, of the logarithm of their rate of asking."""
    lax_cases: int | None = None
    """Number of buyers under 25 with an estimate that the lax cashier served; None: nobody is lax."""
    lax_for_all: bool = True
    """Whether the lax cashier asks all buyers less often in the same proportion, or those under 25 only."""


ALL_ALIKE = {
    "all ask alike; one degraded till, one store with older buyers": Chain(),
    "the same, and no one knows that the camera is degraded": Chain(knows_degraded=False),
    "the same, stores a third of the size": Chain(sales_per_shift=13),
    "the same, habits differ by 4 %": Chain(habit_deviation=0.04),
}
LAX_CASES = (30, 60, 120)


def main() -> None:
    """Simulate with the options of the command line, print one table and write the figures."""
    arguments = _arguments()
    settings = read_settings({}, landing_uri="/nowhere", warehouse_uri="/nowhere")
    figures = {name: fairness(chain, arguments.windows, settings) for name, chain in ALL_ALIKE.items()}
    for cases in LAX_CASES:
        for lax_for_all, older in ((True, "and older ones less, too"), (False, "and older ones as all do")):
            name = f"one asks 60 % of {cases} under 25 where others ask 85 %, {older}"
            chain = Chain(lax_cases=cases, lax_for_all=lax_for_all)
            figures[name] = power(chain, arguments.power_windows, settings)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    Console(width=120).print(_table(figures), f"written to {arguments.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=300, help="windows in which all ask alike")
    parser.add_argument("--power-windows", type=int, default=200, help="windows with a lax cashier")
    parser.add_argument("--out", type=Path, default=Path(".demo/cashier_fairness.json"))
    return parser.parse_args()


def _table(figures: dict[str, dict[str, Any]]) -> Table:
    listing = Table("cashiers", "windows", "with anyone named, or the lax one", "share")
    for name, row in figures.items():
        listing.add_row(name, str(row["windows"]), str(row["named"]), f"{row['named'] / row['windows']:.1%}")
    return listing


def simulated_sales(chain: Chain, random: Generator) -> pd.DataFrame:
    """Return the chain's alcohol sales of one window: columns of alcohol_sale_audit and `true_age_years`."""
    sales = _rung_up(chain, random)
    is_degraded = chain.has_degraded_till & (sales["store_id"] == DEGRADED) & (sales["till_id"] == 0)
    sales["true_age_years"] = _true_ages(chain, sales, random)
    looks = sales["true_age_years"] + random.normal(0, APPARENT_AGE_SPREAD_YEARS, len(sales))
    camera_error = np.where(is_degraded, DEGRADED_ERROR_YEARS, CAMERA_ERROR_YEARS)
    photos = looks + random.normal(0, camera_error)
    is_known_degraded = is_degraded & chain.knows_degraded
    for column, age in (("under_legal_age_probability", 18), ("under_challenge_age_probability", 25)):
        sound, degraded = (_probabilities(photos, age, error) for error in (CAMERA_ERROR_YEARS, DEGRADED_ERROR_YEARS))
        sales[column] = np.where(is_known_degraded, degraded, sound)
    has_estimate = random.random(len(sales)) >= chain.no_estimate_share
    sales.loc[~has_estimate, ["under_legal_age_probability", "under_challenge_age_probability"]] = np.nan
    is_asked = random.random(len(sales)) < _asked_probabilities(chain, sales, looks, random)
    sales["estimate_status"] = pd.Categorical(np.where(has_estimate, "estimated", "no_photo"))
    sales["id_check"] = pd.Categorical(np.where(is_asked, "shown", "not_asked"))
    sales["audit_status"] = pd.Categorical(np.where(is_asked, "id_shown", "clearly_adult"))
    return sales if chain.lax_cases is None else _with_cases_of_the_lax(sales, chain.lax_cases, random)


def audit_of(sales: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return cashier_alcohol_audit of sales as if all were on one day, which gives the same sums."""
    days = cashier_days_of(sales.drop(columns="true_age_years"))
    for name in ("model_version", "run_id"):
        days = days.append_column(name, pa.repeat(pa.scalar("simulated"), days.num_rows))
    return cashier_alcohol_audit({LAST_DATE: days}, settings.part(CashierReview))


def fairness(chain: Chain, windows: int, settings: Settings) -> dict[str, Any]:
    """Count windows in which anyone has a review_priority, and in which it is the cashier with the worst estimates."""
    counts = {"windows": windows, "named": 0, "at_the_degraded_till": 0, "in_the_older_store": 0}
    for random in _randoms(windows):
        audit = audit_of(simulated_sales(chain, random), settings)
        named = audit[audit["review_priority"].notna()]
        counts["named"] += len(named) > 0
        counts["at_the_degraded_till"] += ((named["store_id"] == DEGRADED) & (named["cashier_id"] == 0)).any()
        counts["in_the_older_store"] += (named["store_id"] == OLDER).any()
    return _plain(counts)


def power(chain: Chain, windows: int, settings: Settings) -> dict[str, Any]:
    """Count windows in which the lax cashier has a review_priority."""
    lax_rows = []
    for random in _randoms(windows):
        audit = audit_of(simulated_sales(chain, random), settings)
        lax_rows.append(audit[(audit["store_id"] == SOUND) & (audit["cashier_id"] == 0)])
    lax = pd.concat(lax_rows)
    return _plain(
        {
            "windows": windows,
            "named": lax["review_priority"].notna().sum(),
            "mean_compared_count": lax["compared_count"].mean(),
            "mean_asked_share_difference": lax["asked_share_difference"].mean(),
        }
    )


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "item", lambda value=value: value)() for name, value in figures.items()}


def _randoms(windows: int) -> Iterator[Generator]:
    return (np.random.default_rng([5, window]) for window in range(windows))


def _rung_up(chain: Chain, random: Generator) -> pd.DataFrame:
    """Return one row per sale: cashier, place and time. Each day some cashiers are off, and tills are random."""
    shifts = pd.DataFrame(
        [
            (store, day, shift, till, cashier)
            for store in range(chain.stores)
            for day in range(chain.days)
            for (shift, till), cashier in _roster(chain, store, random)
        ],
        columns=["store_id", "day", "shift", "till_id", "cashier_id"],
    )
    is_lax = (shifts["store_id"] == SOUND) & (shifts["cashier_id"] == 0) & (chain.lax_cases is not None)
    sales = shifts.loc[shifts.index.repeat(random.poisson(chain.sales_per_shift * (1 + is_lax)))].reset_index(drop=True)
    sales["hour"] = OPENS_AT_HOUR + SHIFT_HOURS * sales["shift"] + random.integers(0, SHIFT_HOURS, len(sales))
    midnight = pd.Timestamp(datetime.combine(LAST_DATE, datetime.min.time(), UTC))
    sales["closed_at"] = midnight - pd.to_timedelta(sales.pop("day") * 24 - sales["hour"], "h")
    return sales.drop(columns="shift")


def _roster(chain: Chain, store: int, random: Generator) -> Iterator[tuple[tuple[int, int], int]]:
    """Yield (shift, till) and the cashier there. Half of the cashiers mostly work early, the others mostly late."""
    places = [(shift, till) for shift in range(SHIFTS) for till in range(chain.tills)]
    on_duty = random.choice(chain.cashiers, len(places), replace=False)
    by_habit = on_duty[np.argsort(on_duty % SHIFTS + random.normal(0, 0.5, len(places)))]
    cashiers = np.concatenate([random.permutation(half) for half in np.split(by_habit, SHIFTS)])
    if chain.has_degraded_till and store == DEGRADED and 0 in cashiers and random.random() < 0.9:
        place = int(np.flatnonzero(cashiers == 0)[0])
        own_till = place - place % chain.tills
        cashiers[[place, own_till]] = cashiers[[own_till, place]]
    return zip(places, cashiers.tolist(), strict=True)


@cache
def _age_shares(slope: float) -> Floats:
    """Shares of the ages of alcohol buyers, tilted toward the old where the slope is over 0."""
    shares = np.zeros(len(AGES_YEARS))
    for (first, last), share in BUYER_AGE_SHARES.items():
        shares[first : last + 1] += share / (last + 1 - first)
    first, last = MINOR_AGES_YEARS
    shares[first : last + 1] += MINOR_SHARE / (last + 1 - first)
    tilted = shares * np.exp(slope * AGES_YEARS)
    return tilted / tilted.sum()


def _true_ages(chain: Chain, sales: pd.DataFrame, random: Generator) -> Integers:
    is_evening = sales["hour"].to_numpy() >= EVENING_HOUR
    is_older = chain.has_older_store & (sales["store_id"].to_numpy() == OLDER)
    ages = np.empty(len(sales), np.int64)
    for evening in (False, True):
        for older in (False, True):
            chosen = (is_evening == evening) & (is_older == older)
            shares = _age_shares(YOUNGER_IN_THE_EVENING * evening + OLDER_IN_A_STORE * older)
            ages[chosen] = random.choice(AGES_YEARS, int(chosen.sum()), p=shares)
    return ages


@cache
def _probability_curve(age_years: int, camera_error_years: float) -> tuple[Floats, Floats]:
    """Return apparent ages in a photo, and P(true age under age_years) of each, for the buyers of the chain."""
    photos = np.arange(-40, 140, 0.25)
    spread = np.hypot(APPARENT_AGE_SPREAD_YEARS, camera_error_years)
    evening_share = (OPENS_AT_HOUR + SHIFTS * SHIFT_HOURS - EVENING_HOUR) / (SHIFTS * SHIFT_HOURS)
    shares = evening_share * _age_shares(YOUNGER_IN_THE_EVENING) + (1 - evening_share) * _age_shares(0.0)
    joint = stats.norm.pdf(photos[:, None], AGES_YEARS, spread) * shares
    return photos, joint[:, :age_years].sum(axis=1) / joint.sum(axis=1)


def _probabilities(photos: Floats, age_years: int, camera_error_years: float) -> Floats:
    return np.interp(photos, *_probability_curve(age_years, camera_error_years))


def _asked_by_look(looks: Floats) -> Floats:
    ends, shares = zip(*ASKED_SHARE_BY_APPARENT_AGE, strict=True)
    return np.asarray(shares)[np.searchsorted(ends, looks, side="right").clip(max=len(shares) - 1)]


@cache
def _asked_factor() -> float:
    """Return the factor for the shares by apparent age with which ASKED_SHARE of buyers under 25 are asked."""
    random = np.random.default_rng(0)
    ages = random.choice(AGES_YEARS[:25], 200_000, p=_age_shares(0.0)[:25] / _age_shares(0.0)[:25].sum())
    looks = ages + random.normal(0, APPARENT_AGE_SPREAD_YEARS, len(ages))
    rush_share = len(RUSH_HOURS) / (SHIFTS * SHIFT_HOURS)
    return float(ASKED_SHARE / _asked_by_look(looks).mean() / (1 - rush_share + rush_share * RUSH_FACTOR))


def _asked_probabilities(chain: Chain, sales: pd.DataFrame, looks: Floats, random: Generator) -> Floats:
    store_factors = np.append(1.0, random.uniform(0.85, 1.0, chain.stores - 1))
    habits = np.exp(random.normal(0, chain.habit_deviation, (chain.stores, chain.cashiers)))
    stores, cashiers = sales["store_id"].to_numpy(), sales["cashier_id"].to_numpy()
    in_rush = sales["hour"].isin(RUSH_HOURS).to_numpy()
    asked = _asked_factor() * _asked_by_look(looks) * np.where(in_rush, RUSH_FACTOR, 1.0)
    asked *= store_factors[stores] * habits[stores, cashiers]
    if chain.lax_cases is not None:
        is_lax = (stores == SOUND) & (cashiers == 0)
        is_lax &= chain.lax_for_all | (sales["true_age_years"].to_numpy() < 25)
        asked = np.where(is_lax, asked * LAX_ASKED_SHARE / ASKED_SHARE, asked)
    return np.minimum(asked, 1.0)


def _with_cases_of_the_lax(sales: pd.DataFrame, cases: int, random: Generator) -> pd.DataFrame:
    """Drop sales of the lax cashier until `cases` buyers under 25 are left; drop the same share of the older buyers."""
    is_lax = (sales["store_id"] == SOUND) & (sales["cashier_id"] == 0)
    is_case = (sales["true_age_years"] < 25) & (sales["estimate_status"] == "estimated")
    served = int((is_lax & is_case).sum())
    if served < cases:
        raise ValueError(f"the lax cashier served {served} buyers under 25, not {cases}")
    chosen = sales[is_lax & is_case].sample(cases, random_state=random)
    others = sales[is_lax & ~is_case].sample(frac=cases / served, random_state=random)
    return pd.concat([sales[~is_lax], chosen, others])


if __name__ == "__main__":
    main()
