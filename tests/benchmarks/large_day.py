"""large_day: generate a large chain's day with the tables that a night has after inference. No photo is needed.

A store has ten tills with 200 receipts each, so a larger day has more stores. Ages follow a mix of buyers. The
distributions of the estimates are normal curves around an age that is wrong by about five years.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from jobs.landing.deliveries import photos_folder
from jobs.schemas.landed import CHECKOUT_PHOTOS, PHOTO_AGE_ESTIMATES, REJECTED_TRANSACTION_LINES, TRANSACTION_LINES
from jobs.schemas.table import AMOUNT, INSTANT, QUANTITY, Table
from jobs.warehouse.warehouse import Warehouse
from models.serving.photo_statuses import PHOTO_CHECKS_VERSION

GENERATED_TABLES = (
    CHECKOUT_PHOTOS,
    PHOTO_AGE_ESTIMATES,
    TRANSACTION_LINES,
    REJECTED_TRANSACTION_LINES,
)
TILLS = 10
TRANSACTIONS_PER_TILL = 200
TRANSACTIONS_PER_STORE = TILLS * TRANSACTIONS_PER_TILL
LINES_PER_TRANSACTION = 10
PHOTO_COUNT_SHARES = (0.15, 0.70, 0.15)
"""Shares of transactions with no photo, one and two: on average one photo per transaction, so one per ten lines."""
OPENING_HOUR_UTC = 5
SECONDS_BETWEEN_RECEIPTS = 270
UNUSABLE_SHARE = 0.05
AGE_ERROR_YEARS = 5.0
CATEGORY_COUNT = 60
ALCOHOL_CATEGORIES = 3
CASHIERS_PER_TILL = 2
ID_CHECKS = pa.array(["shown", "not_asked", "refused_sale"])
ID_CHECK_SHARES = (0.3, 0.69, 0.01)
SEED = 2026


@dataclass(frozen=True)
class StoreDay:
    """The receipts of a store: one entry per transaction, in the order of the table's key."""

    store_id: str
    till: NDArray[np.int64]
    number: NDArray[np.int64]
    opened_seconds: NDArray[np.int64]
    closed_seconds: NDArray[np.int64]
    line_count: NDArray[np.int64]
    photo_count: NDArray[np.int64]
    age_years: NDArray[np.float64]


def stage_large_day(warehouse: Warehouse, business_date: date, line_count: int, model_version: str) -> None:
    """Stage checkout_photos, photo_age_estimates, about `line_count` transaction_lines, and no rejected lines."""
    receipt_count = line_count / LINES_PER_TRANSACTION
    midnight = midnight_of(business_date)
    photos = (photos_of(day, midnight) for day, _ in store_days(receipt_count))
    warehouse.staging.stage_batches(CHECKOUT_PHOTOS, business_date, photos)
    estimates = (estimates_of(day, midnight, model_version, random) for day, random in store_days(receipt_count))
    warehouse.staging.stage_batches(PHOTO_AGE_ESTIMATES, business_date, estimates)
    lines = (lines_of(day, midnight, random) for day, random in store_days(receipt_count))
    warehouse.staging.stage_batches(TRANSACTION_LINES, business_date, lines)
    warehouse.staging.stage_batches(REJECTED_TRANSACTION_LINES, business_date, ())


def midnight_of(business_date: date) -> datetime:
    """Return the beginning of a generated day."""
    return datetime(business_date.year, business_date.month, business_date.day)


def store_days(
    receipt_count: float, lines_per_transaction: int = LINES_PER_TRANSACTION
) -> Iterator[tuple[StoreDay, Generator]]:
    """Draw a day of about so many receipts, store by store. The same day is drawn each time.

    The generator that comes with a store draws its estimates, or its lines.
    """
    for store in range(store_count(receipt_count)):
        random = np.random.default_rng([SEED, store])
        yield store_day(f"{store + 1:04}", random, lines_per_transaction), random


def store_count(receipt_count: float) -> int:
    """Return the number of stores that have about so many receipts together."""
    return max(1, round(receipt_count / TRANSACTIONS_PER_STORE))


def store_day(store_id: str, random: Generator, lines_per_transaction: int = LINES_PER_TRANSACTION) -> StoreDay:
    """Draw the receipts of a store, each with `lines_per_transaction` lines on average."""
    count = TRANSACTIONS_PER_STORE
    number = np.tile(np.arange(TRANSACTIONS_PER_TILL), TILLS)
    opened = OPENING_HOUR_UTC * 3600 + SECONDS_BETWEEN_RECEIPTS * number + random.integers(0, 60, count)
    return StoreDay(
        store_id=store_id,
        till=np.repeat(np.arange(1, TILLS + 1), TRANSACTIONS_PER_TILL),
        number=number,
        opened_seconds=opened,
        closed_seconds=opened + random.integers(30, 200, count),
        line_count=1 + random.poisson(lines_per_transaction - 1, count),
        photo_count=random.choice(3, count, p=PHOTO_COUNT_SHARES),
        age_years=np.clip(random.normal(42, 16, count), 14, 90),
    )


def photos_of(day: StoreDay, midnight: datetime) -> pa.RecordBatch:
    owner = _owners(day)
    taken_at = _taken_at(day, owner, midnight)
    keys = _photo_keys(day, owner, taken_at, midnight.date())
    columns = {
        "photo_key": keys,
        "etag": keys,
        "size_bytes": pa.repeat(200_000, len(owner)),
        "landed_at": taken_at,
        "store_id": pa.repeat(day.store_id, len(owner)),
        "till_id": _till_ids(day.till[owner]),
        "taken_at": taken_at,
    }
    return _batch(CHECKOUT_PHOTOS, columns)


def estimates_of(day: StoreDay, midnight: datetime, model_version: str, random: Generator) -> pa.RecordBatch:
    owner = _owners(day)
    count = len(owner)
    keys = _photo_keys(day, owner, _taken_at(day, owner, midnight), midnight.date())
    centre = day.age_years[owner] + random.normal(0, AGE_ERROR_YEARS, count)
    distributions = _normal_curves(centre, random.uniform(3, 8, count))
    is_usable = random.random(count) >= UNUSABLE_SHARE
    mean, low, high, under_18 = _summaries(distributions)
    columns = {
        "photo_key": keys,
        "etag": keys,
        "estimate_status": pa.array(np.where(is_usable, "estimated", "no_face")),
        "estimate_reason": pa.array(np.where(is_usable, None, "no face was found"), pa.string()),
        "estimated_age_years": pa.array(mean, mask=~is_usable),
        "estimated_age_low_years": pa.array(low, mask=~is_usable),
        "estimated_age_high_years": pa.array(high, mask=~is_usable),
        "under_18_probability": pa.array(under_18, mask=~is_usable),
        "age_distribution": _lists(distributions, is_usable),
        "face_count": pa.array(is_usable.astype(np.int64)),
        "content_sha256": keys,
        "model_version": pa.repeat(model_version, count),
        "inference_engine": pa.repeat("openvino", count),
        "photo_checks_version": pa.repeat(pa.scalar(PHOTO_CHECKS_VERSION, pa.int32()), count),
        "photo_stretch": pa.repeat(1.0, count),
        "inferred_run_id": pa.repeat("generated", count),
    }
    return _batch(PHOTO_AGE_ESTIMATES, columns)


def lines_of(day: StoreDay, midnight: datetime, random: Generator) -> pa.RecordBatch:
    owner = np.repeat(np.arange(len(day.till)), day.line_count)
    count = len(owner)
    line_number = np.arange(count) - np.repeat(np.cumsum(day.line_count) - day.line_count, day.line_count) + 1
    category = np.minimum(random.geometric(0.06, count) - 1, CATEGORY_COUNT - 1)
    is_alcohol = category >= CATEGORY_COUNT - ALCOHOL_CATEGORIES
    id_check = random.choice(len(ID_CHECKS), len(day.till), p=ID_CHECK_SHARES)[owner]
    till = day.till[owner]
    columns = {
        "store_id": pa.repeat(day.store_id, count),
        "till_id": _till_ids(till),
        "transaction_id": _transaction_ids(day.number[owner]),
        "line_number": pa.array(line_number, pa.int32()),
        "cashier_id": _text(till * CASHIERS_PER_TILL + (day.number[owner] >= TRANSACTIONS_PER_TILL // 2), "c{:03}"),
        "opened_at": _instants(midnight, day.opened_seconds[owner]),
        "closed_at": _instants(midnight, day.closed_seconds[owner]),
        "line_type": pa.repeat("sale", count),
        "sku": _text(random.integers(0, 20_000, count), "s{:05}"),
        "product_category": _text(category, "category-{:02}"),
        "quantity": pa.array(random.integers(1, 4, count) / 1).cast(QUANTITY),
        "net_amount": pa.array(random.integers(1, 4000, count) / 100).cast(AMOUNT),
        "currency": pa.repeat("RUB", count),
        "is_alcohol": pa.array(is_alcohol),
        "id_check": ID_CHECKS.take(pa.array(id_check, mask=~is_alcohol)),
    }
    return _batch(TRANSACTION_LINES, columns)


def _owners(day: StoreDay) -> NDArray[np.int64]:
    """Return the transaction of each photo, in the order of the photos' keys."""
    return np.repeat(np.arange(len(day.till)), day.photo_count)


def _taken_at(day: StoreDay, owner: NDArray[np.int64], midnight: datetime) -> pa.Array:
    """Return the times of photos: the first when the receipt begins, a second one some seconds later."""
    is_second = np.concatenate([[False], owner[1:] == owner[:-1]])
    return _instants(midnight, day.opened_seconds[owner] + 2 + 5 * is_second)


def _photo_keys(day: StoreDay, owner: NDArray[np.int64], taken_at: pa.Array, business_date: date) -> pa.Array:
    folder = f"{photos_folder(business_date)}/store_id={day.store_id}/till_id="
    moments = pa.compute.strftime(taken_at.cast(pa.timestamp("s", tz="UTC")), "%Y%m%dT%H%M%SZ.jpg")
    return pa.compute.binary_join_element_wise(
        pa.scalar(folder), _till_ids(day.till[owner]), pa.scalar("/"), moments, ""
    )


def _instants(midnight: datetime, seconds: NDArray[np.int64]) -> pa.Array:
    since_epoch = int((midnight - datetime(1970, 1, 1)) / timedelta(seconds=1))
    return pa.array((since_epoch + seconds) * 1_000_000).cast(INSTANT)


def _till_ids(tills: NDArray[np.int64]) -> pa.Array:
    return _text(tills, "{:02}")


def _transaction_ids(numbers: NDArray[np.int64]) -> pa.Array:
    return _text(numbers, "t{:05}")


def _text(numbers: NDArray[np.int64], form: str) -> pa.Array:
    """Format small numbers as text; each distinct number is formatted only once."""
    names = pa.array([form.format(number) for number in range(int(numbers.max(initial=0)) + 1)])
    return names.take(pa.array(numbers))


def _normal_curves(centre: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float32]:
    years = np.arange(101, dtype=np.float32)
    distance = (years - centre[:, None].astype(np.float32)) / spread[:, None].astype(np.float32)
    curves = np.exp(-0.5 * distance**2)
    return (curves / curves.sum(axis=1, keepdims=True)).astype(np.float32)


def _summaries(distributions: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """Return expected age, ends of the 90 % interval, P(under 18)."""
    cumulative = distributions.cumsum(axis=1, dtype=np.float64)
    low, high = ((cumulative < share).sum(axis=1).astype(np.float64) for share in (0.05, 0.95))
    return distributions @ np.arange(101, dtype=np.float64), low, high, cumulative[:, 17]


def _lists(rows: NDArray[np.float32], is_there: NDArray[np.bool_]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(101 * is_there)]).astype(np.int32)
    starts = pa.array(offsets, mask=np.concatenate([~is_there, [False]]))
    return pa.ListArray.from_arrays(starts, pa.array(rows[is_there].ravel()))


def _batch(table: Table, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """Put columns into the table's order. Columns that are not given are null."""
    count = len(next(iter(columns.values())))
    fields = [field for field in table.schema if field.name != "run_id"]
    arrays = [
        columns[field.name].cast(field.type) if field.name in columns else pa.nulls(count, field.type)
        for field in fields
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])
