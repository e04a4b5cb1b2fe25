"""sample_receipts: turns baskets into receipts as tills log them, with cashiers, ID checks, returns and voids.

All choices are seeded. Habits belong to a cashier or a till, not to a day: a cashier who rarely asks for an ID today
does so tomorrow too.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator

LEGAL_PURCHASE_AGE_YEARS = 18
BUYER_AGE_SHARES = {(18, 24): 0.12, (25, 34): 0.21, (35, 44): 0.20, (45, 54): 0.18, (55, 64): 0.15, (65, 85): 0.14}
"""Ages of buyers from households with an unknown age band: first and last year of a band, and its share."""
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

RARELY_ASKING_CASHIER_OF = 6
"""One cashier of so many rarely asks for an ID."""
SILENT_TILL_OF = 10
"""One till of so many logs no ID checks."""
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


def sample_receipts(basket_lines: pd.DataFrame, time_zone: str, random: Generator) -> SampleReceipts:
    """Turn baskets into receipts. No two transactions of a till overlap, and a refused sale has its alcohol voided."""
    transactions = _baskets(basket_lines)
    transactions["opened_at"] = _opened_at(transactions, time_zone, random)
    transactions = transactions.sort_values(["store_id", "opened_at", "transaction_id"], ignore_index=True)
    transactions["till_id"] = _till_ids(transactions, random)
    transactions["cashier_id"] = _cashier_ids(transactions, time_zone)
    transactions["true_age_years"] = _true_ages_years(transactions, random)
    transactions["id_check"] = _id_checks(transactions, random)
    return SampleReceipts(transactions, _receipt_lines(basket_lines, transactions, random))


def adult_ages_years(count: int, random: Generator) -> list[int]:
    """Draw random ages of adult buyers, from a usual mix of ages."""
    bands = list(BUYER_AGE_SHARES)
    chosen = random.choice(len(bands), count, p=list(BUYER_AGE_SHARES.values()))
    return [int(random.integers(bands[band][0], bands[band][1] + 1)) for band in chosen]


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


def _till_ids(transactions: pd.DataFrame, random: Generator) -> list[str]:
    """Send each buyer to a till of the store that is free when the receipt begins; open one more if none is."""
    till_ids = []
    for _, store_day in transactions.groupby("store_id", sort=False):
        usual = min(MOST_USUAL_TILLS, 1 + len(store_day) // TRANSACTIONS_PER_TILL)
        free_from = [pd.Timestamp.min.tz_localize("UTC")] * usual
        for opened_at, closed_at in zip(store_day["opened_at"], store_day["closed_at"], strict=True):
            free = [till for till, moment in enumerate(free_from) if moment <= opened_at]
            if not free:
                free = [len(free_from)]
                free_from.append(closed_at)
            till = int(random.choice(free))
            free_from[till] = closed_at + BETWEEN_BUYERS
            till_ids.append(f"{till + 1:02d}")
    return till_ids


def _cashier_ids(transactions: pd.DataFrame, time_zone: str) -> list[str]:
    """Give each till one cashier in the morning and one from the afternoon on."""
    is_afternoon = transactions["opened_at"].dt.tz_convert(time_zone).dt.hour >= AFTERNOON_SHIFT_HOUR
    number = 2 * transactions["till_id"].astype(int) - 1 + is_afternoon
    return [f"c{store_id}-{cashier}" for store_id, cashier in zip(transactions["store_id"], number, strict=True)]


def _true_ages_years(transactions: pd.DataFrame, random: Generator) -> list[int]:
    """Draw from the household's band, or else from all adults; then let a few buyers be minors."""
    ages = np.array(adult_ages_years(len(transactions), random))
    for row, band in enumerate(transactions["age_band"]):
        if isinstance(band, str):
            ages[row] = _age_in_band(band, random)
    minors = random.random(len(transactions)) < MINOR_SHARE
    alcohol_rows = np.flatnonzero(transactions["has_alcohol"])
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


def _id_checks(transactions: pd.DataFrame, random: Generator) -> list[str | None]:
    columns = ("has_alcohol", "true_age_years", "cashier_id")
    rows = zip(*(transactions[column] for column in columns), strict=True)
    return [_id_check(age, cashier_id, random) if has_alcohol else None for has_alcohol, age, cashier_id in rows]


def _id_check(true_age_years: int, cashier_id: str, random: Generator) -> str:
    """Return what happened at the till to a buyer of alcohol."""
    apparent_age_years = true_age_years + random.normal(0, APPARENT_AGE_SPREAD_YEARS)
    asked_share = next(share for age, share in ASKED_SHARE_BY_APPARENT_AGE if apparent_age_years < age)
    if _one_of(RARELY_ASKING_CASHIER_OF, cashier_id):
        asked_share *= RARE_ASKING_FACTOR
    if random.random() >= asked_share:
        return "not_asked"
    is_minor = true_age_years < LEGAL_PURCHASE_AGE_YEARS
    shown_share = FORGED_ID_SHARE if is_minor else 1 - NO_ID_AT_HAND_SHARE
    return "shown" if random.random() < shown_share else "refused_sale"


def _one_of(count: int, name: str) -> bool:
    """Say whether a cashier or till is the one of `count` with a habit; the same answer every day."""
    return zlib.crc32(name.encode()) % count == 0


def _receipt_lines(basket_lines: pd.DataFrame, transactions: pd.DataFrame, random: Generator) -> pd.DataFrame:
    """Put sale lines first, then voids, then returns, and number them."""
    known = transactions[["transaction_id", "till_id", "cashier_id", "opened_at", "id_check"]]
    sales = basket_lines.merge(known, on="transaction_id", how="inner", validate="many_to_one")
    sales = sales.assign(line_type="sale", currency=CURRENCY)
    lines = pd.concat([sales, _voids(sales, random), _returns(sales, random)], ignore_index=True)
    # Stable: within a receipt, sales stay before voids and returns.
    lines = lines.sort_values(["store_id", "transaction_id"], kind="stable", ignore_index=True)
    lines["line_number"] = lines.groupby("transaction_id").cumcount() + 1
    till_names = lines["store_id"] + "/" + lines["till_id"]
    is_silent = [_one_of(SILENT_TILL_OF, name) for name in till_names]
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
