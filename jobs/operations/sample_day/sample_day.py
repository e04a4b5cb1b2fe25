"""sample_day: writes one day of photos and receipts to a landing, with known ages and with faults put in on purpose.

What a chain plants besides, such as a cashier who rarely asks, is in `sample_chain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd
from numpy.random import Generator

from jobs.errors import InputError
from jobs.landing.deliveries import SUCCESS, photos_folder, transactions_folder
from jobs.operations.sample_day.sample_baskets import chain_baskets, synthetic_baskets
from jobs.operations.sample_day.sample_chain import DEMO_CHAIN, SampleChain
from jobs.operations.sample_day.sample_faces import FacePhotos
from jobs.operations.sample_day.sample_photos import photo_contents, sample_photos
from jobs.operations.sample_day.sample_receipt_files import receipt_files
from jobs.operations.sample_day.sample_receipts import LEGAL_PURCHASE_AGE_YEARS, sample_receipts
from jobs.warehouse.object_store import ObjectStore

Receipts = Literal["completejourney", "synthetic"]

TRUTH_COLUMNS = (
    "kind",  # transaction, photo, line (a receipt line broken on purpose) or planted
    "photo_key",
    "transaction_id",
    "line_number",
    "store_id",
    "till_id",
    "cashier_id",
    "true_age_years",  # of the buyer, or of the face in the photo
    "is_minor",
    "has_alcohol",
    "id_check",  # what happened at the till, whether it was logged or not
    "fault",  # what was broken on purpose, else null
    "planted",  # for rows of kind planted: what the chain has on purpose, in words
)
TRUTH_NUMBER_TYPES = {
    "line_number": "Int64",
    "true_age_years": "Int64",
    "is_minor": "boolean",
    "has_alcohol": "boolean",
}


def write_sample_day(
    landing: ObjectStore,
    business_date: date,
    faces: FacePhotos,
    receipts: Receipts,
    seed: int,
    time_zone: str,
    chain: SampleChain = DEMO_CHAIN,
) -> pd.DataFrame:
    """Replace a day's photos and receipts in the landing, and return the truth about them, with TRUTH_COLUMNS.

    The truth has one row per transaction, per photo, per receipt line broken on purpose, and per thing that the chain
    plants. The same arguments write the same bytes. The day is marked complete, by _SUCCESS, only after everything else
    is written.
    Raises InputError when the receipts' package or the store is not available, or the chain needs real receipts.
    """
    random = np.random.default_rng([seed, business_date.toordinal()])
    rung_up = sample_receipts(_baskets(receipts, business_date, time_zone, chain, random), time_zone, random, chain)
    # Receipts are made before anything is deleted, so that a missing package leaves the old day as it was.
    files, broken_lines = receipt_files(rung_up.lines)
    dark_till = chain.dark_till_on(business_date)
    photos = sample_photos(rung_up.transactions, photos_folder(business_date), random, dark_till)
    _clear(landing, business_date)
    for name, content in files.items():
        landing.write(f"{transactions_folder(business_date)}/{name}", content)
    photos["true_age_years"] = _write_photos(landing, photos, faces, seed + business_date.toordinal())
    for folder in (transactions_folder, photos_folder):
        landing.write(f"{folder(business_date)}/{SUCCESS}", b"")
    return _truth(rung_up.transactions, photos, broken_lines, chain)


def truth_of_days(truths: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join the truths of several days of one chain; what is planted is the same on each, and is there once."""
    return pd.concat(truths, ignore_index=True).drop_duplicates(ignore_index=True)


def _baskets(
    receipts: Receipts, business_date: date, time_zone: str, chain: SampleChain, random: Generator
) -> pd.DataFrame:
    if receipts == "completejourney":
        return chain_baskets(business_date, time_zone, chain, random)
    if chain != DEMO_CHAIN:
        raise InputError("a chain is made from real receipts; leave out --receipts synthetic, or --chain")
    return synthetic_baskets(business_date, time_zone, random)


def _clear(landing: ObjectStore, business_date: date) -> None:
    """Delete the day's old objects, the marks first: a half deleted day must not look complete."""
    for folder in (transactions_folder(business_date), photos_folder(business_date)):
        landing.delete([f"{folder}/{SUCCESS}"])
        landing.delete([entry.key for entry in list(landing.list(folder))])


def _write_photos(landing: ObjectStore, photos: pd.DataFrame, faces: FacePhotos, seed: int) -> list[int | None]:
    """Write all photos; return the age of the face in each, None where no face can be seen."""
    ages: list[int | None] = []
    for key, (content, age_years) in zip(photos["photo_key"], photo_contents(photos, faces, seed), strict=True):
        landing.write(key, content)
        ages.append(age_years)
    return ages


def _truth(
    transactions: pd.DataFrame, photos: pd.DataFrame, broken_lines: pd.DataFrame, chain: SampleChain
) -> pd.DataFrame:
    planted = pd.DataFrame([plant._asdict() for plant in chain.plants()]).rename(columns={"words": "planted"})
    truth = pd.concat(
        [
            transactions.assign(kind="transaction"),
            photos.assign(kind="photo"),
            broken_lines.assign(kind="line"),
            planted.assign(kind="planted"),
        ],
        ignore_index=True,
    ).reindex(columns=TRUTH_COLUMNS)
    truth = truth.astype(dict.fromkeys(TRUTH_COLUMNS, "string") | TRUTH_NUMBER_TYPES)
    return truth.assign(is_minor=truth["true_age_years"] < LEGAL_PURCHASE_AGE_YEARS)
