"""explore_faces: examine a set of labelled photos before a training: ages, near duplicates, sizes, unusable files.

    checkout-ages explore --labels labels.csv --images DIR --out DIR

OUT gets index.html, exploration.json, the charts as PNG and, if there are photos, photos.csv: one row per labelled
photo with its group of near duplicates, its size, and the reason if it cannot be used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from rich.table import Table

from models.errors import ModelInputError
from models.evaluation.age_metrics import AGE_BANDS, age_band_rows
from models.serving.photo_preprocessing import SMALLEST_SIDE_PIXELS, UnusablePhotoError, decode_photo

OLDEST_AGE_YEARS = 100
SCARCE_PHOTOS = 15
"""An age with at most so many photos is scarce: a model learns little about it, and a test says little about it."""
MINOR_UNDER_YEARS = 18
OLD_OVER_YEARS = 60


@dataclass(frozen=True)
class AgeFacts:
    """Facts about the ages of a labelled set, from its labels alone."""

    photo_count: int
    youngest_years: int
    oldest_years: int
    mean_years: float
    median_years: float
    missing_between_years: list[int]
    """Ages that never occur although younger and older ones do."""
    missing_up_to_100_years: list[int]
    """Ages from 0 to 100 that never occur."""
    scarce_years: dict[int, int]
    """Ages with 1 to 15 photos ► the number of photos."""
    under_18_share: float
    over_60_share: float
    count_by_age_band: dict[str, int]


@dataclass(frozen=True)
class DuplicateFacts:
    """Counts of near duplicates, as found by perceptual hash or as grouped by the labels."""

    group_count: int
    """Groups of two photos or more."""
    photo_count: int
    """Photos in such groups."""
    conflicting_group_count: int
    """Groups with different ages among their labels."""
    conflicting_photo_count: int
    largest_age_difference_years: int


@dataclass(frozen=True)
class PhotoFacts:
    """Facts about the photo files of a labelled set."""

    usable_count: int
    unusable: dict[str, int]
    """Number of photos that cannot be used, by status; photos.csv lists them."""
    sizes: dict[str, int]
    """The most frequent widths × heights in pixels, of all photos that could be opened."""
    smallest_side_pixels: int
    median_side_pixels: int


def age_facts(ages: pd.Series) -> AgeFacts:
    """Compute facts about (n,) ages, counted in whole years. Raises ModelInputError when there are none."""
    if ages.empty:
        raise ModelInputError("the labels have no row: name a CSV with at least one photo")
    count_of_age = ages.value_counts().sort_index()
    youngest, oldest = int(ages.min()), int(ages.max())
    scarce = count_of_age[count_of_age <= SCARCE_PHOTOS]
    return AgeFacts(
        photo_count=len(ages),
        youngest_years=youngest,
        oldest_years=oldest,
        mean_years=float(ages.mean()),
        median_years=float(ages.median()),
        missing_between_years=_missing(count_of_age, youngest, oldest),
        missing_up_to_100_years=_missing(count_of_age, 0, OLDEST_AGE_YEARS),
        scarce_years={int(age): int(count) for age, count in scarce.items()},  # type: ignore[call-overload]
        under_18_share=float((ages < MINOR_UNDER_YEARS).mean()),
        over_60_share=float((ages > OLD_OVER_YEARS).mean()),
        count_by_age_band={name: int(rows.sum()) for name, rows in age_band_rows(ages.to_numpy("int64")).items()},
    )


def duplicate_facts(faces: pd.DataFrame) -> DuplicateFacts:
    """Count the groups of near duplicates (`group`), and those with contradictory ages."""
    groups = duplicate_groups(faces)
    conflicting = groups[groups["age_difference_years"] > 0]
    return DuplicateFacts(
        group_count=len(groups),
        photo_count=int(groups["photo_count"].sum()),
        conflicting_group_count=len(conflicting),
        conflicting_photo_count=int(conflicting["photo_count"].sum()),
        largest_age_difference_years=int(groups["age_difference_years"].max()) if len(groups) else 0,
    )


def duplicate_groups(faces: pd.DataFrame) -> pd.DataFrame:
    """Return photo_count and age_difference_years of each group of two photos or more, largest difference first."""
    ages = faces.groupby("group")["real_age"].agg(photo_count="size", youngest="min", oldest="max")
    ages["age_difference_years"] = ages["oldest"] - ages["youngest"]
    several: pd.DataFrame = ages[ages["photo_count"] > 1]
    return several.sort_values(["age_difference_years", "photo_count"], ascending=False, kind="stable")


def look_at_photos(images: Path, file_names: Sequence[str]) -> pd.DataFrame:
    """Return one row per photo: file_name, status ('usable' or why not), reason, width_pixels, height_pixels.

    Raises ModelInputError when no photo can be used.
    """
    looks = pd.DataFrame([_looked_at(images, file_name) for file_name in file_names])
    if (looks["status"] != "usable").all():
        raise ModelInputError(
            f"none of the {len(looks)} photos below '{images}' can be used (first '{file_names[0]}': "
            f"{looks['reason'].iloc[0]}): name the folder that their file names start from"
        )
    return looks


def photo_facts(looks: pd.DataFrame) -> PhotoFacts:
    """Compute facts about photos from the rows of `look_at_photos`."""
    opened = looks.dropna(subset=["width_pixels"])
    sizes = opened["width_pixels"].astype(int).astype(str) + " × " + opened["height_pixels"].astype(int).astype(str)
    shorter = opened[["width_pixels", "height_pixels"]].min(axis=1)
    unusable = looks.loc[looks["status"] != "usable", "status"].value_counts()
    return PhotoFacts(
        usable_count=int((looks["status"] == "usable").sum()),
        unusable={str(status): int(count) for status, count in unusable.items()},
        sizes={str(size): int(count) for size, count in sizes.value_counts().head(10).items()},
        smallest_side_pixels=int(shorter.min()),
        median_side_pixels=int(shorter.median()),
    )


def write_exploration(
    ages: AgeFacts, duplicates: DuplicateFacts, photos: PhotoFacts | None, looks: pd.DataFrame | None, out: Path
) -> None:
    """Write the facts to exploration.json and, if `looks` (of `look_at_photos`) are given, write photos.csv."""
    facts = {"ages": asdict(ages), "near_duplicates": asdict(duplicates), "photos": photos and asdict(photos)}
    (out / "exploration.json").write_text(json.dumps(facts, indent=1) + "\n")
    if looks is not None:
        looks.to_csv(out / "photos.csv", index=False)


def summary_table(ages: AgeFacts, duplicates: DuplicateFacts, photos: PhotoFacts | None) -> Table:
    """Return the facts as a table for the terminal."""
    table = Table("fact", "value")
    for name, value in summary_rows(ages, duplicates, photos):
        table.add_row(name, value)
    return table


def summary_rows(ages: AgeFacts, duplicates: DuplicateFacts, photos: PhotoFacts | None) -> Iterator[tuple[str, str]]:
    """Yield each fact about a labelled set as a name and a text."""
    yield "photos labelled", f"{ages.photo_count:,}"
    yield "ages", f"{ages.youngest_years} to {ages.oldest_years}, median {ages.median_years:.0f}"
    yield "ages that never occur between them", in_words(ages.missing_between_years)
    yield "ages that never occur from 0 to 100", in_words(ages.missing_up_to_100_years)
    yield f"ages with 1 to {SCARCE_PHOTOS} photos", in_words(list(ages.scarce_years))
    yield f"under {MINOR_UNDER_YEARS}", f"{ages.under_18_share:.1%}"
    yield f"over {OLD_OVER_YEARS}", f"{ages.over_60_share:.1%}"
    if not photos and not duplicates.group_count:
        yield "near duplicates", "not looked for: no photos are given"
        return
    yield "groups of near duplicates", f"{duplicates.group_count:,} with {duplicates.photo_count:,} photos"
    yield (
        "of them with contradictory ages",
        (
            f"{duplicates.conflicting_group_count:,} with {duplicates.conflicting_photo_count:,} photos, by up to "
            f"{duplicates.largest_age_difference_years} years"
        ),
    )
    if photos:
        yield "photos that can be used", f"{photos.usable_count:,}"
        yield "photos that cannot", ", ".join(f"{count} {name}" for name, count in photos.unusable.items()) or "none"
        yield "shorter side", f"{photos.smallest_side_pixels} pixels or more, median {photos.median_side_pixels}"


def in_words(years: Sequence[int]) -> str:
    """Write ages with runs joined: [0, 92, 98, 99, 100] ► '0, 92, 98–100'."""
    if not years:
        return "none"
    starts = [years[0], *(after for before, after in pairwise(years) if after != before + 1)]
    ends = [*(before for before, after in pairwise(years) if after != before + 1), years[-1]]
    return ", ".join(f"{start}" if start == end else f"{start}–{end}" for start, end in zip(starts, ends, strict=True))


def photos_by_age_band(faces: pd.DataFrame, looks: pd.DataFrame, per_band: int) -> dict[str, pd.DataFrame]:
    """Return up to `per_band` usable photos of each age group, drawn at random with a fixed seed.

    `looks` are the rows of `look_at_photos`, which say which photos are usable.
    """
    usable = faces[(looks["status"] == "usable").to_numpy()]
    bands = age_band_rows(usable["real_age"].to_numpy("int64"))
    return {
        name: usable[bands[name]].sample(min(per_band, int(bands[name].sum())), random_state=1).sort_values("real_age")
        for name in AGE_BANDS
        if bands[name].any()
    }


def _missing(count_of_age: pd.Series, first: int, last: int) -> list[int]:
    return [age for age in range(first, last + 1) if age not in count_of_age.index]


def _looked_at(images: Path, file_name: str) -> dict[str, Any]:
    row: dict[str, Any] = {"file_name": file_name, "status": "usable", "reason": None}
    size: tuple[float, float] = (np.nan, np.nan)
    try:
        photo = (images / file_name).read_bytes()
        size = _size_pixels(photo)  # first, so that photos with damaged pixels have their size too
        decode_photo(photo, SMALLEST_SIDE_PIXELS)
    except FileNotFoundError:
        row |= {"status": "missing", "reason": "there is no such file"}
    except OSError as error:
        row |= {"status": "unreadable", "reason": error.strerror}
    except UnusablePhotoError as unusable:
        row |= {"status": unusable.status, "reason": unusable.reason}
    return {**row, "width_pixels": size[0], "height_pixels": size[1]}


def _size_pixels(photo: bytes) -> tuple[float, float]:
    try:
        with Image.open(io.BytesIO(photo)) as image:
            return image.size
    except Exception:  # `decode_photo` reports every fault, with a better reason
        return (np.nan, np.nan)
