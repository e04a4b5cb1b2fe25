"""sample_receipts: turns baskets into receipts as tills log them, with cashiers, ID checks, returns and voids.

All choices are seeded. Habits belong to a cashier or a till, not to a day: a cashier who rarely asks for an ID today
does so tomorrow too. But cashiers change places: each day they are dealt to tills and shifts again. The audit compares
cashiers at the same till, so it needs that.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray

from jobs.operations.sample_day.sample_chain import DEMO_CHAIN, Favourite, SampleChain

LEGAL_PURCHASE_AGE_YEARS = 18
BUYER_AGE_SHARES = {(18, 24): 0.12, (25, 34): 0.21, (35, 44): 0.20, (45, 54): 0.18, (55, 64): 0.15, (65, 85): 0.14}
"""Ages of buyers from households with an unknown age band: first and last year of a band, and its share."""
YOUNG_ADULTS_YEARS = (18, 24)
OLDEST_BUYER_AGE_YEARS = 85
MINOR_AGES_YEARS = (13, 17)
MINOR_SHARE = 0.02
MINOR_ALCOHOL_BUYER_SHARE = 0.10
FEWEST_MINOR_ALCOHOL_BUYERS = 3

TRANSACTIONS_PER_TILL = 5
MOST_USUAL_TILLS = 4
AFTERNOON_SHIFT_HOUR = 15
BETWEEN_BUYERS = pd.Timedelta(seconds=5)
SECONDS_PER_RECEIPT = 20
SECONDS_PER_LINE = 4
LONGEST_RECEIPT_SECONDS = 600

ASKED_SHARE_BY_APPARENT_AGE = ((25, 0.90), (30, 0.75), (40, 0.45), (200, 0.10))
"""Share of buyers that an asking cashier asks, by how old they look: under so many years, the share."""
RARE_ASKING_FACTOR = 0.15
APPARENT_AGE_SPREAD_YEARS = 4.0
FORGED_ID_SHARE = 0.1
NO_ID_AT_HAND_SHARE = 0.03

RETURN_SHARE = 0.02
VOID_SHARE = 0.03
CURRENCY = "USD"


@dataclass(frozen=True)
class SampleReceipts:
    """The receipts of a sample day as tills log them, and the truth behind them.

    `transactions`: transaction_id, store_id, till_id, cashier_id, opened_at, closed_at, has_alcohol, true_age_years,
    id_check (what happened, even if the till does not log it). `lines`: the fields of the landing contract.
    """

    transactions: pd.DataFrame
    lines: pd.DataFrame


def sample_receipts(
    basket_lines: pd.DataFrame, time_zone: str, random: Generator, chain: SampleChain = DEMO_CHAIN
) -> SampleReceipts:
    """Turn baskets into receipts. No two transactions of a till overlap, and a refused sale has its alcohol voided."""
    transactions = _baskets(basket_lines)
    transactions["opened_at"] = _opened_at(transactions, time_zone, random)
    transactions = transactions.sort_values(["store_id", "opened_at", "transaction_id"], ignore_index=True)
    transactions["till_id"] = _till_ids(transactions, chain.tills_per_store, random)
    transactions["cashier_id"] = _cashier_ids(transactions, time_zone, chain.tills_per_store)
    ages_years = _adult_ages_years(transactions, chain, random)
    if chain.favourite:
        ages_years = _with_favourite(ages_years, transactions, basket_lines, chain.favourite, random)
    transactions["true_age_years"] = _with_minors(ages_years, transactions["has_alcohol"], random)
    transactions["id_check"] = _id_checks(transactions, chain, random)
    return SampleReceipts(transactions, _receipt_lines(basket_lines, transactions, chain.silent_till_of, random))


def adult_ages_years(
    count: int, random: Generator, young_adult_share: float | None = None, more_with_each_year: float = 0.0
) -> NDArray[np.int64]:
    """Draw random ages of adult buyers, from a usual mix of ages: (count,) years.

    `young_adult_share` sets the share of 18 to 24, and leaves the mix of the others. With `more_with_each_year`, a
    buyer is more likely with each year of age by that share.
    """
    years = np.arange(OLDEST_BUYER_AGE_YEARS + 1)
    shares = np.zeros(len(years))
    for (first, last), share in BUYER_AGE_SHARES.items():
        shares[first : last + 1] = share / (last + 1 - first)
    if young_adult_share is not None:
        is_young = (years >= YOUNG_ADULTS_YEARS[0]) & (years <= YOUNG_ADULTS_YEARS[1])
        shares[is_young] *= young_adult_share / shares[is_young].sum()
        shares[~is_young] *= (1 - young_adult_share) / shares[~is_young].sum()
    tilted = shares * (1 + more_with_each_year) ** years
    drawn: NDArray[np.int64] = random.choice(years, count, p=tilted / tilted.sum())
    return drawn


def _baskets(basket_lines: pd.DataFrame) -> pd.DataFrame:
    return basket_lines.groupby("transaction_id", as_index=False, sort=True).agg(
        store_id=("store_id", "first"),
        closed_at=("closed_at", "first"),
        line_count=("sku", "size"),
        has_alcohol=("is_alcohol", "any"),
        age_band=("age_band", "first"),
    )


def _opened_at(transactions: pd.DataFrame, time_zone: str, random: Generator) -> pd.Series:
    """Return the openings of receipts: larger baskets take longer, and none begins before the business date."""
    seconds = SECONDS_PER_RECEIPT + SECONDS_PER_LINE * transactions["line_count"]
    seconds = (seconds + random.integers(0, 30, len(transactions))).clip(upper=LONGEST_RECEIPT_SECONDS)
    midnight = transactions["closed_at"].dt.tz_convert(time_zone).dt.normalize().dt.tz_convert("UTC")
    opened_at = transactions["closed_at"] - pd.to_timedelta(seconds, "s")
    return opened_at.where(opened_at > midnight, midnight)


def _usual_tills(receipt_count: int, tills_per_store: int | None) -> int:
    return tills_per_store or min(MOST_USUAL_TILLS, 1 + receipt_count // TRANSACTIONS_PER_TILL)


def _till_ids(transactions: pd.DataFrame, tills_per_store: int | None, random: Generator) -> list[str]:
    """Send each buyer to a till of the store that is free when the receipt begins; open one more if none is."""
    till_ids = []
    for _, store_day in transactions.groupby("store_id", sort=False):
        usual = _usual_tills(len(store_day), tills_per_store)
        free_from = [pd.Timestamp.min.tz_localize("UTC")] * usual
        for opened_at, closed_at in zip(store_day["opened_at"], store_day["closed_at"], strict=True):
            free = [till for till, moment in enumerate(free_from) if moment <= opened_at]
            if not free:
                free = [len(free_from)]
                free_from.append(closed_at)
            # An extra till serves only while the usual ones are taken.
            till = int(random.choice([till for till in free if till < usual] or free))
            free_from[till] = closed_at + BETWEEN_BUYERS
            till_ids.append(f"{till + 1:02d}")
    return till_ids


def _cashier_ids(transactions: pd.DataFrame, time_zone: str, tills_per_store: int | None) -> list[str]:
    """Give each till one cashier in the morning and one from the afternoon on; each day they change places."""
    opened_at = transactions["opened_at"].dt.tz_convert(time_zone)
    is_afternoon = (opened_at.dt.hour >= AFTERNOON_SHIFT_HOUR).to_numpy(int)
    till = transactions["till_id"].to_numpy(int) - 1
    number = np.zeros(len(transactions), dtype=int)
    for store_id, rows in transactions.groupby("store_id").indices.items():
        usual = _usual_tills(len(rows), tills_per_store)
        # One roster per store and day, apart from other draws: the same whatever else is planted.
        roster = _roster(str(store_id), opened_at.iloc[rows[0]].date(), 2 * usual)
        # A till beyond the usual ones is opened by a cashier of one of these.
        number[rows] = roster[2 * (till[rows] % usual) + is_afternoon[rows]] + 1
    return [f"c{store_id}-{each}" for store_id, each in zip(transactions["store_id"], number, strict=True)]


def _roster(store_id: str, business_date: date, places: int) -> NDArray[np.int64]:
    """Return the number of the cashier at each place of a store, a till in one of two shifts."""
    return np.random.default_rng([zlib.crc32(store_id.encode()), business_date.toordinal()]).permutation(places)


def _adult_ages_years(transactions: pd.DataFrame, chain: SampleChain, random: Generator) -> NDArray[np.int64]:
    """Draw from the household's band where it counts, or else from all adults; older ones in a store that has them."""
    ages = adult_ages_years(len(transactions), random, chain.young_adult_share)
    if chain.young_adult_share is None:
        for row, band in enumerate(transactions["age_band"]):
            if isinstance(band, str):
                ages[row] = _age_in_band(band, random)
    if older := chain.older_store:
        is_there = (transactions["store_id"] == older.store_id).to_numpy()
        ages[is_there] = adult_ages_years(
            int(is_there.sum()), random, chain.young_adult_share, older.more_with_each_year
        )
    return ages


def _with_favourite(
    ages_years: NDArray[np.int64],
    transactions: pd.DataFrame,
    basket_lines: pd.DataFrame,
    favourite: Favourite,
    random: Generator,
) -> NDArray[np.int64]:
    """Let buyers of a store change ages with each other until the category has as many fans as it should.

    The share of the ages among the category's buyers is `times` their share among all buyers of the store. No basket
    changes, and the ages of each store stay what they are.
    """
    bought = basket_lines.loc[basket_lines["product_category"] == favourite.product_category, "transaction_id"]
    has_it = transactions["transaction_id"].isin(bought).to_numpy()
    ages = ages_years.copy()
    for rows in transactions.groupby("store_id").indices.values():
        is_fan = (ages[rows] >= favourite.first_age_years) & (ages[rows] <= favourite.last_age_years)
        wanted = round(min(1.0, favourite.times * is_fan.mean()) * has_it[rows].sum())
        missing = wanted - int((is_fan & has_it[rows]).sum())
        givers = random.permutation(rows[is_fan & ~has_it[rows]])[: max(missing, 0)]
        takers = random.permutation(rows[~is_fan & has_it[rows]])[: len(givers)]
        givers = givers[: len(takers)]
        ages[givers], ages[takers] = ages[takers].copy(), ages[givers].copy()
    return ages


def _with_minors(ages_years: NDArray[np.int64], has_alcohol: pd.Series, random: Generator) -> list[int]:
    """Let a few buyers be minors."""
    ages = ages_years.copy()
    minors = random.random(len(ages)) < MINOR_SHARE
    alcohol_rows = np.flatnonzero(has_alcohol)
    count = max(FEWEST_MINOR_ALCOHOL_BUYERS, round(MINOR_ALCOHOL_BUYER_SHARE * len(alcohol_rows)))
    # Without a fixed share among alcohol buyers, a small day might have no case for the audit to find.
    minors[random.permutation(alcohol_rows)[:count]] = True
    youngest, oldest = MINOR_AGES_YEARS
    ages[minors] = random.integers(youngest, oldest + 1, minors.sum())
    return [int(age) for age in ages]


def _age_in_band(band: str, random: Generator) -> int:
    """Draw uniformly from a band such as 45-54 or 65+."""
    first, _, last = band.rstrip("+").partition("-")
    return int(random.integers(int(first), int(last or OLDEST_BUYER_AGE_YEARS) + 1))


def _id_checks(transactions: pd.DataFrame, chain: SampleChain, random: Generator) -> list[str | None]:
    asks_times = _asks_times(chain)
    columns = ("has_alcohol", "true_age_years", "cashier_id")
    rows = zip(*(transactions[column] for column in columns), strict=True)
    return [
        _id_check(age, asks_times(cashier_id), random) if has_alcohol else None for has_alcohol, age, cashier_id in rows
    ]


def _asks_times(chain: SampleChain) -> Callable[[str], float]:
    """Return a function: cashier ► how many times as often as others this one asks."""

    def asks_times(cashier_id: str) -> float:
        asks_rarely = _one_of(chain.rarely_asking_cashier_of, cashier_id)
        lax = chain.lax_cashier
        is_lax = lax is not None and lax.cashier_id == cashier_id
        return (RARE_ASKING_FACTOR if asks_rarely else 1.0) * (lax.asks_times if lax and is_lax else 1.0)

    return asks_times


def _id_check(true_age_years: int, asks_times: float, random: Generator) -> str:
    """Return what happened at the till to a buyer of alcohol."""
    apparent_age_years = true_age_years + random.normal(0, APPARENT_AGE_SPREAD_YEARS)
    asked_share = next(share for age, share in ASKED_SHARE_BY_APPARENT_AGE if apparent_age_years < age)
    if random.random() >= asked_share * asks_times:
        return "not_asked"
    is_minor = true_age_years < LEGAL_PURCHASE_AGE_YEARS
    shown_share = FORGED_ID_SHARE if is_minor else 1 - NO_ID_AT_HAND_SHARE
    return "shown" if random.random() < shown_share else "refused_sale"


def _one_of(count: int, name: str) -> bool:
    """Say whether a cashier or till is the one of `count` with a habit; the same answer every day. Of 0, none is."""
    return count > 0 and zlib.crc32(name.encode()) % count == 0


def _receipt_lines(
    basket_lines: pd.DataFrame, transactions: pd.DataFrame, silent_till_of: int, random: Generator
) -> pd.DataFrame:
    """Put sale lines first, then voids, then returns, and number them."""
    known = transactions[["transaction_id", "till_id", "cashier_id", "opened_at", "id_check"]]
    sales = basket_lines.merge(known, on="transaction_id", how="inner", validate="many_to_one")
    sales = sales.assign(line_type="sale", currency=CURRENCY)
    lines = pd.concat([sales, _voids(sales, random), _returns(sales, random)], ignore_index=True)
    # Stable: within a receipt, sales stay before voids and returns.
    lines = lines.sort_values(["store_id", "transaction_id"], kind="stable", ignore_index=True)
    lines["line_number"] = lines.groupby("transaction_id").cumcount() + 1
    till_names = lines["store_id"] + "/" + lines["till_id"]
    is_silent = [_one_of(silent_till_of, name) for name in till_names]
    lines.loc[~lines["is_alcohol"] | np.array(is_silent), "id_check"] = None
    return lines


def _voids(sales: pd.DataFrame, random: Generator) -> pd.DataFrame:
    """Return void lines: for all alcohol of refused sales, and for one mistaken line in each of a few other sales."""
    is_refused = sales["id_check"] == "refused_sale"
    refused = sales[is_refused & sales["is_alcohol"]]
    mistaken = _one_line_each(sales[~is_refused], VOID_SHARE, random)
    return _taken_back(pd.concat([refused, mistaken]), "void")


def _returns(sales: pd.DataFrame, random: Generator) -> pd.DataFrame:
    """Let a few buyers return an article that others buy on the same day."""
    returning = _one_line_each(sales, RETURN_SHARE, random)
    articles = sales[~sales["is_alcohol"]].sample(len(returning), random_state=random)
    article_columns = ["sku", "product_category", "quantity", "net_amount", "is_alcohol"]
    returned = returning.assign(**{column: articles[column].to_numpy() for column in article_columns})
    return _taken_back(returned, "return")


def _one_line_each(sales: pd.DataFrame, share: float, random: Generator) -> pd.DataFrame:
    """Pick a share of the transactions, and one line of each."""
    transaction_ids = sales["transaction_id"].unique()
    chosen = random.choice(transaction_ids, max(1, round(share * len(transaction_ids))), replace=False)
    lines = sales[sales["transaction_id"].isin(chosen)].sample(frac=1, random_state=random)
    return lines.drop_duplicates("transaction_id")


def _taken_back(lines: pd.DataFrame, line_type: str) -> pd.DataFrame:
    return lines.assign(line_type=line_type, quantity=-lines["quantity"], net_amount=-lines["net_amount"])
