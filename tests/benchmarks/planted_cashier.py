"""planted_cashier: how surely the audit of a month finds the cashier whom `sample-day` has planted, and nobody else.

The months are drawn as `make month` draws its own, each with another seed: who buys, who serves, who is asked. No night
is run. The photo of a buyer is that of a drawn person of the pool, whose answer by the network is computed once. The
tables from the audited sales on are those of the code.

    python -m tests.benchmarks.planted_cashier --seeds 20 [--chain my_chain.toml] --out planted_cashier.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs.operations.month import DAYS, LAST
from jobs.operations.sample_day.sample_baskets import chain_baskets
from jobs.operations.sample_day.sample_chain import MONTH_FILE, SampleChain, read_chain
from jobs.operations.sample_day.sample_photos import NO_PHOTO_SHARE
from jobs.operations.sample_day.sample_receipts import sample_receipts
from jobs.settings import Settings, read_settings
from jobs.tables.cashier_alcohol_audit import CashierReview, cashier_alcohol_audit
from models.faces.sample_people import SamplePeople, take_photo
from models.serving.age_distribution import Floats, probability_under
from models.serving.age_estimator import AgeEstimator
from tests.given.cashier_days import cashier_days_of

BASKETS_SEED = 1
ID_SHOWN, REFUSED, UNASKED = "id_shown", "sale_refused", "clearly_adult"
STATUSES = {"shown": ID_SHOWN, "refused_sale": REFUSED, "not_asked": UNASKED}
"""Audit statuses that the sums of cashiers tell apart; of unasked sales the probabilities count, not the status."""


@dataclass(frozen=True)
class Answers:
    """What the network says of each of the n people of the pool; NaN where their photo has no estimate."""

    people: SamplePeople
    under_legal_age: Floats
    under_challenge_age: Floats

    def of_buyers(self, ages_years: pd.Series, random: Generator) -> NDArray[np.intp]:
        """Return a random person of the pool for each buyer's age."""
        return np.array([random.choice(self.people.of_age(age)) for age in ages_years])


def main() -> None:
    """Simulate with the options of the command line, print the counts and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--chain", type=Path, default=MONTH_FILE)
    parser.add_argument("--out", type=Path, default=Path(".demo/planted_cashier.json"))
    arguments = parser.parse_args()
    settings = read_settings({}, landing_uri="/nowhere", warehouse_uri="/nowhere")
    figures = power(read_chain(arguments.chain), arguments.seeds, settings)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    listing = Table("figure", "value")
    for name, value in figures.items():
        listing.add_row(name, str(value))
    Console(width=120).print(listing, f"written to {arguments.out}")


def power(chain: SampleChain, seeds: int, settings: Settings) -> dict[str, Any]:
    """Count the months in which the planted cashier has priority 1, and those in which anyone else has a priority."""
    assert chain.lax_cashier is not None
    answers = answers_of_pool(settings)
    audits = [audit_of(sales, settings) for sales in months(chain, seeds, settings, answers)]
    is_planted = [audit["cashier_id"] == chain.lax_cashier.cashier_id for audit in audits]
    first = [(audit.loc[rows, "review_priority"] == 1).any() for audit, rows in zip(audits, is_planted, strict=True)]
    others = [audit.loc[~rows, "review_priority"].notna().any() for audit, rows in zip(audits, is_planted, strict=True)]
    planted = pd.concat([audit[rows] for audit, rows in zip(audits, is_planted, strict=True)])
    return {
        "months": seeds,
        "planted_has_priority_1": int(sum(first)),
        "anyone_else_has_a_priority": int(sum(others)),
        "mean_compared_count_of_the_planted": round(float(planted["compared_count"].mean()), 1),
        "least_compared_count_of_anyone": round(float(min(audit["compared_count"].min() for audit in audits)), 1),
        "mean_asked_share": round(float(planted["compared_asked_share"].mean()), 3),
        "mean_expected_asked_share": round(float(planted["expected_asked_share"].mean()), 3),
        "largest_p_value_of_the_planted": float(planted["p_value"].max()),
    }


def answers_of_pool(settings: Settings) -> Answers:
    """Photograph everyone of the pool once, and ask the network."""
    people = SamplePeople.load()
    estimator = AgeEstimator.load(settings.model_version)
    faces = people.faces_of(range(len(people.ages_years)))
    photos = [take_photo(pixels, np.random.default_rng([3, row])) for row, pixels in enumerate(faces)]
    nothing = [np.nan] * 101
    answers = np.array([estimate.age_distribution or nothing for estimate in estimator.estimate(photos)])
    legal, challenge = (
        np.where(np.isnan(answers[:, 0]), np.nan, probability_under(answers, years))
        for years in (settings.legal_purchase_age_years, settings.challenge_age_years)
    )
    return Answers(people, legal, challenge)


def months(chain: SampleChain, seeds: int, settings: Settings, answers: Answers) -> Iterator[pd.DataFrame]:
    """Yield the alcohol sales of each month, with the columns of alcohol_sale_audit that the sums of cashiers need."""
    # Which receipts there are does not depend on the seed: who rings them up and who buys does.
    baskets = {
        day: chain_baskets(day, settings.store_time_zone, chain, np.random.default_rng([BASKETS_SEED, day.toordinal()]))
        for day in DAYS
    }
    for seed in range(seeds):
        days = [_sales(day, baskets[day], chain, seed, settings, answers) for day in DAYS]
        yield pd.concat(days, ignore_index=True)


def _sales(
    day: date, baskets: pd.DataFrame, chain: SampleChain, seed: int, settings: Settings, answers: Answers
) -> pd.DataFrame:
    random = np.random.default_rng([seed, day.toordinal()])
    bought = sample_receipts(baskets, settings.store_time_zone, random, chain).transactions
    sales = bought[bought["has_alcohol"]].reset_index(drop=True)
    people = answers.of_buyers(sales["true_age_years"], random)
    dark_till = chain.dark_till_on(day)
    is_dark = [dark_till == till for till in zip(sales["store_id"], sales["till_id"], strict=True)]
    is_unseen = np.array(is_dark) | (random.random(len(sales)) < NO_PHOTO_SHARE)
    for name, of_pool in (
        ("under_legal_age_probability", answers.under_legal_age),
        ("under_challenge_age_probability", answers.under_challenge_age),
    ):
        sales[name] = np.where(is_unseen, np.nan, of_pool[people])
    has_estimate = sales["under_legal_age_probability"].notna()
    sales["estimate_status"] = pd.Categorical(np.where(has_estimate, "estimated", "no_photo"))
    sales["audit_status"] = pd.Categorical(sales["id_check"].map(STATUSES))
    return sales.assign(id_check=pd.Categorical(sales["id_check"]))[
        [
            *("store_id", "till_id", "cashier_id", "closed_at", "estimate_status", "id_check", "audit_status"),
            *("under_legal_age_probability", "under_challenge_age_probability"),
        ]
    ]


def audit_of(sales: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Return cashier_alcohol_audit of sales as if all were on one day, which gives the same sums."""
    days = cashier_days_of(sales)
    for name in ("model_version", "run_id"):
        days = days.append_column(name, pa.repeat(pa.scalar("simulated"), days.num_rows))
    return cashier_alcohol_audit({LAST: days}, settings.part(CashierReview))


if __name__ == "__main__":
    main()
