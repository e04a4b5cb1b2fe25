"""exploration_page: write one HTML page about the ages, near duplicates and photos of a labelled set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from models.evaluation.explore_faces import (
    MINOR_UNDER_YEARS,
    OLD_OVER_YEARS,
    SCARCE_PHOTOS,
    AgeFacts,
    DuplicateFacts,
    PhotoFacts,
    age_facts,
    duplicate_facts,
    duplicate_groups,
    in_words,
    look_at_photos,
    photo_facts,
    photos_by_age_band,
    summary_rows,
    write_exploration,
)
from models.evaluation.html_page import (
    BLUE,
    CHART_STYLE,
    ORANGE,
    Page,
    PageChart,
    PagePhoto,
    PageTable,
    PhotoGrid,
    Section,
    chart_of,
    new_chart,
    page_photo,
    write_page,
)
from models.serving.photo_preprocessing import UnusablePhotoError, decode_photo

PHOTOS_PER_BAND = 12
GROUPS_SHOWN = 12
UNUSABLE_LISTED = 50
OWNERS_WARNING = (
    "This page shows photos of people. It is for the owner of the photos, on their own disk: do not publish it, do not "
    "commit it. The numbers alone are in exploration.json and photos.csv next to it."
)

Facts = tuple[AgeFacts, DuplicateFacts, PhotoFacts | None]


def explore(faces: pd.DataFrame, images: Path | None, out: Path) -> Facts:
    """Write index.html, exploration.json, charts and photos.csv about `faces` into `out`, and return the facts.

    `faces` come from `read_face_labels`. Without `images`, the page has nothing about photos.
    Raises ModelInputError when there is no row, or no photo can be used.
    """
    ages, duplicates = age_facts(faces["real_age"]), duplicate_facts(faces)
    looks = look_at_photos(images, list(faces["file_name"])) if images else None
    photos = photo_facts(looks) if looks is not None else None
    out.mkdir(parents=True, exist_ok=True)
    sections = [_ages(faces, ages, out), _duplicates(faces, duplicates, images)]
    rows_of_photos = None
    if images is not None and looks is not None and photos is not None:
        sections += [_samples(faces, looks, images), _photo_files(looks, photos, out)]
        rows_of_photos = pd.concat([looks, faces[["real_age", "group", "age_conflict"]].reset_index(drop=True)], axis=1)
    write_exploration(ages, duplicates, photos, rows_of_photos, out)
    write_page(_page(ages, duplicates, photos, sections), out / "index.html")
    return ages, duplicates, photos


def _page(ages: AgeFacts, duplicates: DuplicateFacts, photos: PhotoFacts | None, sections: list[Section]) -> Page:
    summary = Section("Summary", tables=[PageTable(["fact", "value"], list(summary_rows(ages, duplicates, photos)))])
    return Page(
        title=f"{ages.photo_count:,} labelled photos",
        lead="What the labels and photos contain, and what a model trained on them has not seen.",
        warning=OWNERS_WARNING if photos else "",
        facts=[
            (f"{ages.photo_count:,}", "photos labelled"),
            (f"{ages.youngest_years}–{ages.oldest_years}", "years, youngest to oldest"),
            (in_words(ages.missing_between_years), "ages that never occur between them"),
            (f"{ages.under_18_share:.1%}", f"under {MINOR_UNDER_YEARS}"),
            (f"{ages.over_60_share:.1%}", f"over {OLD_OVER_YEARS}"),
            *_duplicates_fact(duplicates),
        ],
        sections=[summary, *sections],
    )


def _duplicates_fact(duplicates: DuplicateFacts) -> list[tuple[str, str]]:
    if not duplicates.group_count:
        return []
    return [(f"{duplicates.conflicting_group_count:,}", "groups of near duplicates with contradictory ages")]


def _ages(faces: pd.DataFrame, ages: AgeFacts, out: Path) -> Section:
    scarce = ", ".join(f"{age} ({count})" for age, count in ages.scarce_years.items()) or "none"
    return Section(
        "Ages",
        [
            f"Never between the youngest and the oldest: {in_words(ages.missing_between_years)}.",
            f"Never from 0 to 100: {in_words(ages.missing_up_to_100_years)}.",
            f"Scarce, with 1 to {SCARCE_PHOTOS} photos (so many in brackets): {scarce}. An error measured at one of "
            "these ages says little.",
        ],
        [_age_histogram(faces["real_age"], out / "ages.png"), _band_chart(ages, out / "age_bands.png")],
    )


def _duplicates(faces: pd.DataFrame, facts: DuplicateFacts, images: Path | None) -> Section:
    groups = duplicate_groups(faces)
    conflicting = groups[groups["age_difference_years"] > 0].head(GROUPS_SHOWN)
    rows = [[name, ages, files] for name, ages, files in _described(faces, list(conflicting.index))]
    table = PageTable(["group", "ages, years", "photos"], rows, f"The {len(rows)} largest contradictions")
    return Section(
        "Near duplicates and contradictory labels",
        [
            f"{facts.photo_count:,} photos are in {facts.group_count:,} groups of near duplicates, which a split must "
            "not part. The groups are those of the labels' column 'group', else found by perceptual hash where "
            "photos are given, else photos that are listed twice.",
            f"{facts.conflicting_group_count:,} groups with {facts.conflicting_photo_count:,} photos have more than "
            "one age: at least one label of each is wrong.",
        ],
        tables=[table] if rows else [],
        grids=_conflict_grids(faces, list(conflicting.index), images) if images else [],
    )


def _samples(faces: pd.DataFrame, looks: pd.DataFrame, images: Path) -> Section:
    grids = [
        PhotoGrid(f"{band} years", _photos(rows, images))
        for band, rows in photos_by_age_band(faces, looks, PHOTOS_PER_BAND).items()
    ]
    return Section("Sample photos", ["Drawn at random within each age group; below each, its age."], grids=grids)


def _photo_files(looks: pd.DataFrame, facts: PhotoFacts, out: Path) -> Section:
    unusable = looks[looks["status"] != "usable"]
    listed = unusable[["file_name", "status", "reason"]].head(UNUSABLE_LISTED).astype(str).to_numpy().tolist()
    tables = [PageTable(["width × height, pixels", "photos"], [[size, f"{n:,}"] for size, n in facts.sizes.items()])]
    if listed:
        tables.append(PageTable(["photo", "status", "reason"], listed, f"The first {len(listed)} unusable photos"))
    return Section(
        "Sizes and broken files",
        [f"{facts.usable_count:,} photos can be used, {len(unusable):,} cannot; photos.csv lists them all."],
        [_size_chart(looks, out / "image_sizes.png")],
        tables,
    )


def _described(faces: pd.DataFrame, groups: list[str]) -> Iterator[tuple[str, str, str]]:
    for group in groups:
        rows = faces[faces["group"] == group].sort_values("real_age")
        yield str(group), ", ".join(map(str, rows["real_age"])), ", ".join(rows["file_name"])


def _conflict_grids(faces: pd.DataFrame, groups: list[str], images: Path) -> list[PhotoGrid]:
    rows = faces[faces["group"].isin(groups)]
    in_order = rows.assign(rank=rows["group"].map(groups.index)).sort_values(["rank", "real_age"])
    return [PhotoGrid("The largest contradictions, group by group", _photos(in_order, images))] if groups else []


def _photos(rows: pd.DataFrame, images: Path) -> list[PagePhoto]:
    photos = []
    for row in rows.itertuples():
        try:
            pixels = decode_photo((images / str(row.file_name)).read_bytes(), 96)
        except (OSError, UnusablePhotoError):
            continue  # listed under broken files
        photos.append(page_photo(pixels, f"{row.real_age} years"))
    return photos


@mpl.rc_context(CHART_STYLE)
def _age_histogram(ages: pd.Series, png: Path) -> PageChart:
    figure, axes = new_chart("Photos of each age", "age, years", "photos", (9.2, 3.8))
    counts = np.bincount(ages.to_numpy("int64"))
    years = np.arange(len(counts))
    is_scarce = (counts > 0) & (counts <= SCARCE_PHOTOS)
    axes.bar(years[~is_scarce], counts[~is_scarce], width=0.85, color=BLUE)
    axes.bar(years[is_scarce], counts[is_scarce], width=0.85, color=ORANGE, label=f"1 to {SCARCE_PHOTOS} photos")
    gone = [age for age in range(int(ages.min()), len(counts)) if not counts[age]]
    axes.plot(gone, np.zeros(len(gone)), "x", color=ORANGE, clip_on=False, label="never")
    axes.legend(frameon=False)
    return chart_of(figure, "Number of photos by age in years", png)


@mpl.rc_context(CHART_STYLE)
def _band_chart(ages: AgeFacts, png: Path) -> PageChart:
    figure, axes = new_chart("Photos of each age group", "age, years", "photos", (5.6, 3.4))
    bars = axes.bar(list(ages.count_by_age_band), list(ages.count_by_age_band.values()), color=BLUE)
    axes.margins(y=0.12)
    axes.bar_label(bars, [f"{count / ages.photo_count:.0%}" for count in ages.count_by_age_band.values()], fontsize=9)
    return chart_of(figure, "Number and share of photos by age group", png)


@mpl.rc_context(CHART_STYLE)
def _size_chart(looks: pd.DataFrame, png: Path) -> PageChart:
    figure, axes = new_chart("Shorter side of the photos", "pixels", "photos", (5.6, 3.4))
    axes.hist(looks[["width_pixels", "height_pixels"]].min(axis=1).dropna(), bins=40, color=BLUE)
    axes.set_xlim(left=0)
    return chart_of(figure, "Number of photos by the length of their shorter side", png)
