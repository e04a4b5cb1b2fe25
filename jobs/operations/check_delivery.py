"""check_delivery: finds out in seconds, without Spark, what a night would keep and reject of a day's delivery."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from jobs.errors import InputError
from jobs.landing.business_day import BusinessDay, business_day
from jobs.landing.cashier_pseudonyms import key_generation
from jobs.landing.deliveries import landed_photo_batches, line_reader, photos_folder, receipt_files, transactions_folder
from jobs.landing.photo_keys import placed_photos
from jobs.landing.receipt_lines import judged_receipt_lines
from jobs.operations.delivery_database import delivery_database
from jobs.settings import Settings
from jobs.steps.check_night import check_results, file_rows
from jobs.steps.rules.delivery_rules import CLOCKS, COUNTERPARTS, DELIVERY_RULES, PHOTOS
from jobs.steps.rules.rule import RuleResult
from jobs.warehouse.object_store import ObjectStore

EXAMPLES_SHOWN = 3
EXAMPLE_CHARACTERS = 300
RULES_ON_PHOTOS = (PHOTOS, COUNTERPARTS, CLOCKS)

COUNTS = """
SELECT (SELECT count(*) FROM transaction_lines), count(*) FILTER (line_in_file > 0), count(*) FILTER (line_in_file = 0),
    (SELECT count(*) FROM transaction_ages), (SELECT count(photo_offset_seconds) FROM transaction_ages),
    (SELECT count(*) FROM checkout_photos), (SELECT count(key_problem) FROM checkout_photos)
FROM rejected_transaction_lines
"""
REJECTIONS = f"""
SELECT rejection_kind, count(*) AS n, list(
    format('{{}}{{}}: {{}}{{}}', source_file,
        CASE WHEN line_in_file > 0 THEN format(' line {{}}', line_in_file) ELSE '' END,
        rejection_reason, coalesce('; ' || substring(nullif(landed_line, ''), 1, {EXAMPLE_CHARACTERS}), ''))
    ORDER BY source_file, line_in_file)[1:{EXAMPLES_SHOWN}]
FROM rejected_transaction_lines GROUP BY ALL ORDER BY n DESC, rejection_kind
"""
UNPLACED = f"""
SELECT CASE WHEN is_other_date THEN 'the photo is of another date' ELSE 'the photo key does not match' END AS kind,
    count(*) AS n, list(key_problem ORDER BY photo_key)[1:{EXAMPLES_SHOWN}]
FROM checkout_photos WHERE key_problem IS NOT NULL GROUP BY ALL ORDER BY n DESC, kind
"""


@dataclass(frozen=True)
class Counts:
    """Counts of lines, files, receipts and photos in a delivery."""

    kept_lines: int
    rejected_lines: int
    unread_files: int
    receipts: int
    receipts_with_photo: int
    photos: int
    unplaced_photos: int


@dataclass(frozen=True)
class Kind:
    """A kind of unused input, such as a reason for rejection: how often it occurs, with a few examples."""

    kind: str
    count: int
    examples: Sequence[str]


@dataclass(frozen=True)
class DeliveryCheck:
    """What a night would make of a delivery. `results` are the results of the night's rules about deliveries."""

    counts: Counts
    rejections: Sequence[Kind]
    unplaced_photos: Sequence[Kind]
    results: Sequence[RuleResult]

    @property
    def publishes_nothing(self) -> bool:
        """Whether a broken fail rule would stop the night from publishing."""
        return any(result.stops_publication for result in self.results)


def check_landed_day(landing: ObjectStore, business_date: date, settings: Settings) -> DeliveryCheck:
    """Check the receipt files and photos of a day in the landing.

    Raises InputError if there are no receipt files and no photos.
    """
    keys = [entry.key for entry in receipt_files(landing, business_date)]
    photos = list(landed_photo_batches(landing, business_date))
    if not keys and not photos:
        folders = " and ".join(
            f"'{landing.location(of(business_date))}'" for of in (transactions_folder, photos_folder)
        )
        raise InputError(
            f"nothing is delivered for {business_date}: {folders} contain no files; check the date and the landing URI"
        )
    return _checked(landing, keys, photos, business_date, settings)


def check_files(
    paths: Sequence[Path], business_date: date, settings: Settings, landing: ObjectStore | None
) -> DeliveryCheck:
    """Check the named receipt files as the delivery of a day, together with the photos of a landing if one is given.

    Raises InputError naming a file that does not exist.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(f"'{path}' is not a file; name receipt files, or leave them out to check the landing")
    # The common folder serves as a landing, so that files are read by the same code as in the night.
    folder = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    keys = sorted({path.absolute().relative_to(folder).as_posix() for path in paths})
    photos = list(landed_photo_batches(landing, business_date)) if landing else None
    return _checked(ObjectStore(folder.as_uri()), keys, photos, business_date, settings)


def _checked(
    store: ObjectStore,
    keys: Sequence[str],
    photos: Sequence[pa.RecordBatch] | None,
    business_date: date,
    settings: Settings,
) -> DeliveryCheck:
    # Without a landing there are no photos to judge, and the rules on photos would warn for no reason.
    rules = [rule for rule in DELIVERY_RULES if photos is not None or rule not in RULES_ON_PHOTOS]
    day = business_day(business_date, settings.time_zone, settings.business_date_allowance_minutes)
    template = f"{photos_folder(business_date)}/{settings.photo_key_template}"
    placed = (placed_photos(batch, template, day) for batch in photos or ())
    skews, span = settings.till_clock_skew_seconds, settings.transaction_span_seconds
    with delivery_database(_judged(store, keys, day), placed, file_rows(keys), skews, span) as connection:
        return DeliveryCheck(
            Counts(*connection.execute(COUNTS).fetchall()[0]),
            _kinds(connection, REJECTIONS),
            _kinds(connection, UNPLACED),
            check_results(connection, day, settings.model_dump(), rules),
        )


def _judged(store: ObjectStore, keys: Iterable[str], day: BusinessDay) -> Iterator[pa.RecordBatch]:
    read = line_reader(store, key_generation(os.environ))
    return (judged_receipt_lines(batch, day) for key in keys for batch in read(key))


def _kinds(connection: duckdb.DuckDBPyConnection, query: str) -> list[Kind]:
    return [Kind(*row) for row in connection.execute(query).fetchall()]
