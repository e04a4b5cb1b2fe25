"""month_results: compares the tables of a month with what was planted in it, and with the true ages of its buyers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from jobs.operations.demo_money import GROUPS, LOWER_BOUNDS_YEARS
from jobs.operations.sample_day.sample_chain import DarkTill, Favourite, LaxCashier, OlderStore, SampleChain
from jobs.report.age_bands import sum_of_band

INTERVAL = (0.05, 0.95)
CAMERA_RULE = "each till's camera shows faces well"

BUYERS_QUERY = """
SELECT business_date, age_group, true_age_years::INT AS true_age_years
FROM transaction_ages AS ages JOIN read_csv($truth, all_varchar = true) AS truth
    ON kind = 'transaction' AND truth.store_id = ages.store_id AND truth.till_id = ages.till_id
    AND truth.transaction_id = ages.transaction_id
WHERE estimate_status = 'estimated'
"""

MIXES_QUERY = """
SELECT business_date, transaction_count, estimated_age_shares, resampled_age_shares
FROM age_mixes WHERE circle = 'all' ORDER BY business_date
"""

CASHIERS_QUERY = """
SELECT cashier_id, review_priority, compared_asked_share, expected_asked_share, compared_count
FROM cashier_alcohol_audit WHERE business_date = $last AND (review_priority IS NOT NULL OR cashier_id = $cashier_id)
ORDER BY review_priority NULLS LAST
"""

STORES_QUERY = """
SELECT ages.store_id = $store_id AS is_there, avg(estimated_age_years), avg(true_age_years::INT)
FROM transaction_ages AS ages JOIN read_csv($truth, all_varchar = true) AS truth
    ON kind = 'transaction' AND truth.store_id = ages.store_id AND truth.till_id = ages.till_id
    AND truth.transaction_id = ages.transaction_id
WHERE estimate_status = 'estimated' GROUP BY is_there ORDER BY is_there DESC
"""

CAMERA_QUERY = """
SELECT count(*) FILTER (business_date >= $first), count(*) FILTER (business_date < $first)
FROM check_results WHERE rule = $rule AND is_broken AND array_to_string(findings, ' ') LIKE '%till ' || $till || ':%'
"""

ACCUSED_QUERY = """
SELECT count(*) FROM alcohol_sale_audit
WHERE business_date >= $first AND store_id = $store_id AND till_id = $till_id
    AND audit_status IN ('possibly_under_age_unchecked', 'challenge_age_unchecked')
"""

FAVOURITE_QUERY = """
SELECT product_category, affinity_index, affinity_index_low, affinity_index_high
FROM age_group_affinity WHERE business_date = $last AND age_group = $age_group AND affinity_index_low > 1
ORDER BY affinity_index DESC
"""

FAVOURITE_DAYS_QUERY = """
SELECT count(*) FILTER (rank = 1), count(*), avg(affinity_index) FROM (
    SELECT *, row_number() OVER (PARTITION BY business_date ORDER BY affinity_index DESC) AS rank
    FROM age_group_affinity WHERE age_group = $age_group AND affinity_index IS NOT NULL
) WHERE product_category = $product_category
"""

WARNINGS_QUERY = """
SELECT rule, count(*) FROM check_results WHERE is_broken AND business_date >= $first
GROUP BY rule ORDER BY count(*) DESC, rule
"""


@dataclass(frozen=True)
class ShareRow:
    """The share of an age group among the month's buyers with an estimate: the truth, and two estimates of it."""

    age_group: str
    true: float
    plain: float
    corrected: float
    held_days: int
    days: int

    @property
    def is_nearer(self) -> bool:
        """Whether the corrected share is nearer to the truth than the share of point estimates."""
        return abs(self.corrected - self.true) < abs(self.plain - self.true)

    def in_words(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        shares = (f"{share:.1%}" for share in (self.true, self.plain, self.corrected))
        nearer = "corrected" if self.is_nearer else "point estimates"
        return self.age_group, *shares, nearer, f"{self.held_days} of {self.days}"


def share_rows(connection: duckdb.DuckDBPyConnection, truth: Path) -> list[ShareRow]:
    """Compare the shares of age groups among all buyers with an estimate; intervals are those of single days."""
    buyers = connection.execute(BUYERS_QUERY, {"truth": str(truth)}).df()
    mixes = connection.execute(MIXES_QUERY).df()
    counts = mixes["transaction_count"].to_numpy(float)
    rows = []
    for name, low in zip(GROUPS, LOWER_BOUNDS_YEARS, strict=True):
        above = next((bound for bound in LOWER_BOUNDS_YEARS if bound > low), 200)
        is_in = buyers["true_age_years"].between(low, above - 1)
        true_by_day = is_in.groupby(buyers["business_date"]).mean().sort_index().to_numpy()
        corrected = np.array([sum_of_band(np.asarray(shares, float), name) for shares in mixes["estimated_age_shares"]])
        resampled = [sum_of_band(np.stack(shares).astype(float), name) for shares in mixes["resampled_age_shares"]]
        ends = np.array([np.quantile(shares, INTERVAL) for shares in resampled])
        held = (ends[:, 0] <= true_by_day) & (true_by_day <= ends[:, 1])
        rows.append(
            ShareRow(
                name,
                float(is_in.mean()),
                float((buyers["age_group"] == name).mean()),
                float((corrected * counts).sum() / counts.sum()),
                int(held.sum()),
                len(held),
            )
        )
    return rows


def shares_in_words(rows: Sequence[ShareRow]) -> str:
    """Say in how many groups the corrected shares are nearer to the truth, and by how much in sum."""
    plain, corrected = (sum(abs(getattr(row, name) - row.true) for row in rows) for name in ("plain", "corrected"))
    held, days = sum(row.held_days for row in rows), sum(row.days for row in rows)
    nearer = sum(row.is_nearer for row in rows)
    return (
        f"The corrected shares are nearer to the truth in {nearer} of {len(rows)} age groups, and in "
        f"sum {1 - corrected / plain:.0%} nearer. Of {days} intervals, one for each age group and day, "
        f"{held} ({held / days:.0%}) hold the truth."
    )


def finds(
    connection: duckdb.DuckDBPyConnection, truth: Path, chain: SampleChain, last: date
) -> Iterator[tuple[str, str]]:
    """Yield each thing that was planted, in words, with what the tables say of it."""
    words = iter(plant.words for plant in chain.plants())
    if chain.lax_cashier:
        yield next(words), _of_cashiers(connection, chain.lax_cashier, last)
    if chain.older_store:
        yield next(words), _of_stores(connection, chain.older_store, truth)
    if chain.dark_till:
        yield next(words), _of_camera(connection, chain.dark_till)
    if chain.favourite:
        yield next(words), _of_favourite(connection, chain.favourite, last)
    if chain.dearer_prices:
        yield next(words), _of_prices(connection, chain.dearer_prices.first_date)


def _of_cashiers(connection: duckdb.DuckDBPyConnection, lax: LaxCashier, last: date) -> str:
    named = connection.execute(CASHIERS_QUERY, {"last": last, "cashier_id": lax.cashier_id}).fetchall()
    sentences = []
    for cashier_id, priority, asked, expected, count in named:
        shares = f"asked {asked:.0%} where others asked {expected:.0%}, {count:.0f} expected buyers under 25"
        sentences.append(f"{cashier_id}: review priority {priority or 'none'}; {shares}")
    others = [row for row in named if row[0] != lax.cashier_id]
    return "; ".join([*sentences, *([] if others else ["nobody else has a priority"])])


def _of_stores(connection: duckdb.DuckDBPyConnection, older: OlderStore, truth: Path) -> str:
    query = {"store_id": older.store_id, "truth": str(truth)}
    (_, there, true_there), (_, elsewhere, true_elsewhere) = connection.execute(STORES_QUERY, query).fetchall()
    return (
        f"mean estimated age {there:.1f} years in store {older.store_id}, {elsewhere:.1f} in the others "
        f"(true: {true_there:.1f} and {true_elsewhere:.1f})"
    )


def _of_camera(connection: duckdb.DuckDBPyConnection, dark: DarkTill) -> str:
    place = {"first": dark.first_date}
    till = f"{dark.store_id}/{dark.till_id}"
    ((after, before),) = connection.execute(CAMERA_QUERY, place | {"rule": CAMERA_RULE, "till": till}).fetchall()
    accused: tuple[Any, ...] | None = connection.execute(
        ACCUSED_QUERY, place | {"store_id": dark.store_id, "till_id": dark.till_id}
    ).fetchone()
    return (
        f"nights that warn of the camera of till {till} by name: {after} from that date on, {before} before it; "
        f"unchecked sales that the audit finds at it since: {accused[0] if accused else 0}"
    )


def _of_favourite(connection: duckdb.DuckDBPyConnection, liked: Favourite, last: date) -> str:
    name = next(name for name, low in zip(GROUPS, LOWER_BOUNDS_YEARS, strict=True) if low == liked.first_age_years)
    listed = connection.execute(FAVOURITE_QUERY, {"last": last, "age_group": name}).fetchall()
    days: tuple[Any, ...] | None = connection.execute(
        FAVOURITE_DAYS_QUERY, {"age_group": name, "product_category": liked.product_category}
    ).fetchone()
    leading = f"{days[0]} of {days[1]} days, on average {days[2]:.1f}" if days and days[1] else "no day"
    places = [category for category, *_ in listed]
    if liked.product_category not in places:
        return f"not in the list of {name} on {last}; it leads that list on {leading}"
    place = places.index(liked.product_category)
    _, index, low, high = listed[place]
    return (
        f"place {place + 1} in the list of {name} on {last}: {index:.1f} times as often as all buyers "
        f"(90 % interval {low:.1f} to {high:.1f}); it leads that list on {leading}"
    )


def _of_prices(connection: duckdb.DuckDBPyConnection, first: date) -> str:
    warned = connection.execute(WARNINGS_QUERY, {"first": first}).fetchall()
    rules = "; ".join(f"'{rule}' ({nights} nights)" for rule, nights in warned)
    return f"no rule is about prices; rules that warned since: {rules or 'none'}"
