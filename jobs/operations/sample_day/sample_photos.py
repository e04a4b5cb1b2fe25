"""sample_photos: plans the photos of a sample day: which transactions have photos, and which photos are broken."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.random import Generator
from PIL import Image

from jobs.operations.sample_day.sample_faces import FacePhotos
from jobs.operations.sample_day.sample_receipts import adult_ages_years

NO_PHOTO_SHARE = 0.12
SEVERAL_PHOTOS_SHARE = 0.06
STRAY_PHOTO_SHARE = 0.03
SHORTEST_BREAK = pd.Timedelta(minutes=20)

BROKEN_PHOTOS = ("empty", "truncated", "text", "too_many_pixels")
UNPLACED_PHOTO = "key_without_time"
BOMB_SIZE = (10_000, 6_000)
DARK_CAMERA = "dark_camera"
DARK_BRIGHTNESS = 0.12
"""A dark camera shows so much of the light."""


def sample_photos(
    transactions: pd.DataFrame, folder: str, random: Generator, dark_till: tuple[str, str] | None = None
) -> pd.DataFrame:
    """Plan the day's photos. Columns: photo_key, transaction_id, store_id, till_id, person, true_age_years and fault.

    Most transactions have one photo, some none, some several, all taken between opened_at and closed_at. A few photos
    are taken when nobody pays at the till. A few transactions have only a broken photo: `fault` says how it is broken.
    All other photos of the store and till `dark_till` are dark.
    """
    photos = pd.concat(
        [_photos_of_buyers(transactions, random), _stray_photos(transactions, random)], ignore_index=True
    )
    photos["photo_key"] = _photo_keys(photos, folder)
    photos.loc[photos["fault"] == UNPLACED_PHOTO, "photo_key"] = f"{folder}/store_id=unknown/IMG_0001.jpg"
    if dark_till:
        is_there = (photos["store_id"] == dark_till[0]) & (photos["till_id"] == dark_till[1])
        photos.loc[is_there & photos["fault"].isna(), "fault"] = DARK_CAMERA
    return photos.sort_values("photo_key", ignore_index=True)


def photo_contents(photos: pd.DataFrame, faces: FacePhotos, seed: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield the bytes of each planned photo, with the age of its face, or None if no face can be seen."""
    shots = faces(photos["true_age_years"].to_list(), photos["person"].to_list(), seed)
    for shot, fault in zip(shots, photos["fault"], strict=True):
        if fault in BROKEN_PHOTOS:
            yield _broken(shot.content, fault), None
        elif fault == DARK_CAMERA:
            yield _darkened(shot.content), shot.age_years
        else:
            yield shot.content, shot.age_years


def _photos_of_buyers(transactions: pd.DataFrame, random: Generator) -> pd.DataFrame:
    counts, faults = _photo_counts(len(transactions), random)
    rows = np.repeat(np.arange(len(transactions)), counts)
    photos = transactions.iloc[rows].reset_index(drop=True)
    span = photos["closed_at"] - photos["opened_at"]
    photos["taken_at"] = (photos["opened_at"] + span * random.uniform(0.2, 0.95, len(photos))).dt.floor("ms")
    photos["person"] = rows
    photos["fault"] = pd.Series(rows).map(faults)
    return photos[["transaction_id", "store_id", "till_id", "taken_at", "person", "true_age_years", "fault"]]


def _photo_counts(transaction_count: int, random: Generator) -> tuple[np.ndarray, dict[int, str]]:
    """Return the number of photos of each transaction, and the transactions that have only a broken photo."""
    order = random.permutation(transaction_count)
    without = order[: round(NO_PHOTO_SHARE * transaction_count)]
    several = order[len(without) :][: round(SEVERAL_PHOTOS_SHARE * transaction_count)]
    faults = dict(zip((int(row) for row in without), (*BROKEN_PHOTOS, UNPLACED_PHOTO), strict=False))
    counts = np.ones(transaction_count, dtype=int)
    counts[without] = 0
    counts[list(faults)] = 1
    counts[several] = random.integers(2, 4, len(several))
    return counts, faults


def _stray_photos(transactions: pd.DataFrame, random: Generator) -> pd.DataFrame:
    """Plan photos of people who passed a till in a long break between two transactions."""
    by_time = transactions.sort_values(["store_id", "till_id", "opened_at"])
    until_next = by_time.groupby(["store_id", "till_id"])["opened_at"].shift(-1) - by_time["closed_at"]
    breaks = by_time.assign(seconds=until_next.dt.total_seconds())[until_next >= SHORTEST_BREAK]
    count = min(len(breaks), round(STRAY_PHOTO_SHARE * len(transactions)))
    breaks = breaks.sample(count, random_state=random)
    passed_after = pd.to_timedelta(breaks["seconds"] * random.uniform(0.4, 0.6, count), "s")
    return pd.DataFrame(
        {
            "transaction_id": None,
            "store_id": breaks["store_id"],
            "till_id": breaks["till_id"],
            "taken_at": (breaks["closed_at"] + passed_after).dt.floor("ms"),
            "person": len(transactions) + np.arange(count),
            "true_age_years": adult_ages_years(count, random).tolist(),
            "fault": None,
        }
    )


def _photo_keys(photos: pd.DataFrame, folder: str) -> pd.Series:
    """Name each photo by store, till and time; of two in the same millisecond, one moves on to the next."""
    number = photos.groupby(["store_id", "till_id", "taken_at"]).cumcount()
    taken_at = photos["taken_at"] + pd.to_timedelta(number, "ms")
    time = taken_at.dt.strftime("%Y%m%dT%H%M%S.%f").str[:-3] + "Z"
    keys: pd.Series = f"{folder}/store_id=" + photos["store_id"] + "/till_id=" + photos["till_id"] + "/" + time + ".jpg"
    return keys


def _broken(jpeg: bytes, fault: str) -> bytes:
    if fault == "empty":
        return b""
    if fault == "truncated":
        return jpeg[: len(jpeg) // 2]
    if fault == "text":
        return b"camera offline, no frame\n"
    return _decompression_bomb()


def _darkened(jpeg: bytes) -> bytes:
    """Return a photo as a camera takes it that gets next to no light."""
    dark = Image.open(io.BytesIO(jpeg)).point(lambda value: value * DARK_BRIGHTNESS)
    photo = io.BytesIO()
    dark.save(photo, "JPEG", quality=90)
    return photo.getvalue()


def _decompression_bomb() -> bytes:
    """Return a PNG of a few kilobytes that unpacks to 60 million black pixels."""
    png = io.BytesIO()
    Image.new("1", BOMB_SIZE).save(png, "PNG")
    return png.getvalue()
