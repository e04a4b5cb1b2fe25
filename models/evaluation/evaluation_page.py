"""evaluation_page: write one HTML page with the figures of an evaluation as charts and tables, and with photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from models.evaluation.age_metrics import (
    CHALLENGE_AGE_YEARS,
    ERROR_HEADINGS,
    Figures,
    JudgedAges,
    error_cells,
    ranged,
    wilson_interval,
)
from models.evaluation.compare_versions import comparison_sentence
from models.evaluation.evaluation import Evaluation
from models.evaluation.html_page import (
    BLUE,
    CHART_STYLE,
    GREY,
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
from models.serving.age_distribution import INTERVAL_COVERAGE
from models.serving.age_estimator import ESTIMATED
from models.serving.photo_preprocessing import decode_photo

PHOTOS_IN_GRID = 24
UNUSED_PHOTOS_LISTED = 50
TRAITS = {
    "face_side_pixels": "face size (side of the square around it), pixels",
    "sharpness": "sharpness of the square that the network gets",
    "brightness": "brightness (mean grey, 0–255)",
    "disagreement_years": "difference between the means of both networks, years",
}
LABELS = {"age_band": "true age, years", "gender": "gender as labelled", "race": "race as labelled", **TRAITS}
OWNERS_WARNING = (
    "This page shows photos of people. It is for the owner of the photos, on their own disk: do not publish it, do not "
    "commit it. The numbers alone are in metrics.json and predictions.csv next to it."
)


def write_evaluation_page(evaluation: Evaluation, images: Path, out: Path) -> None:
    """Write index.html, the page about an evaluation, into the folder `out`."""
    figures = evaluation.metrics
    page = Page(
        title=f"How old does {figures['model_version']} think they are?",
        lead=(
            f"Estimated against labelled ages of {figures['photo_count']:,} photos of split '{figures['split']}'. The "
            "figures leave out photos with near duplicates of another age, unless a table says otherwise. Ranges in "
            "brackets are 95 % bootstrap intervals; near duplicates are drawn together."
        ),
        warning=OWNERS_WARNING,
        facts=_facts(figures),
        sections=list(_sections(evaluation, images)),
    )
    write_page(page, out / "index.html")


def _facts(figures: Figures) -> list[tuple[str, str]]:
    return [
        (ranged(figures, "mae", ".2f"), "mean absolute error, years"),
        (f"{figures['within_5_years_share']:.0%}", "within 5 years of the label"),
        (f"{figures['bias']:+.2f} years", "bias: estimated minus labelled age"),
        (f"{figures['interval_coverage']:.1%}", "of labelled ages inside the 90 % interval"),
        (f"{figures['under_18_calibration_error']:.3f}", "expected calibration error of P(under 18)"),
        (_share(figures["challenge_25"]["false_positive_rate"]), "of people of 13 to 17 estimated 25 or older"),
    ]


def _sections(evaluation: Evaluation, images: Path) -> Iterator[Section]:
    figures = evaluation.metrics
    yield _headline(figures)
    if figures["baselines"]:
        yield _comparisons(figures["baselines"])
    yield _by_age(evaluation)
    yield from (_by_label(label, figures) for label in ("gender", "race") if figures.get(f"by_{label}"))
    yield _confusion(figures["confusion"])
    yield _reliability(figures["reliability"])
    yield _challenge(figures["challenge_25"], evaluation.judged)
    yield _intervals(figures)
    yield _traits(figures)
    yield _photo_grids(evaluation, images)
    yield _unused_photos(evaluation.predictions)


def _headline(figures: Figures) -> Section:
    kinds = {"without conflicting labels": figures, "all rows": figures["with_conflicting_labels"]}
    if "with_mirroring" in figures:
        kinds["mirror image averaged in, without conflicting labels"] = figures["with_mirroring"]
    if "without_correction" in figures:
        kinds["ages not lowered for young adults, without conflicting labels"] = figures["without_correction"]
    rows = [[name, *error_cells(row)] for name, row in kinds.items()]
    return Section("Errors at a glance", tables=[PageTable(["rows", *ERROR_HEADINGS], rows)])


def _comparisons(comparisons: Sequence[Figures]) -> Section:
    """Say for each baseline who is better. Both judge the same photos, so differences in difficulty cancel out."""
    sentences = [f"{sentence[0].upper()}{sentence[1:]}." for sentence in map(comparison_sentence, comparisons)]
    rows = [
        [
            comparison["baseline_version"],
            str(comparison["photo_count"]),
            f"{comparison['mae']:.2f}",
            f"{comparison['baseline_mae']:.2f}",
            ranged(comparison, "mae_difference", "+.2f"),
        ]
        for comparison in comparisons
    ]
    table = PageTable(["baseline", "photos", "MAE", "MAE of the baseline", "difference"], rows)
    return Section("Against other evaluations", sentences, tables=[table])


def _by_age(evaluation: Evaluation) -> Section:
    rows = evaluation.metrics["by_age_band"]
    return Section(
        "By true age",
        ["A positive bias means that people are estimated too old."],
        [_means_chart(rows, "age_band", "mae"), _means_chart(rows, "age_band", "bias"), _ages_chart(evaluation.judged)],
        [_errors_table(rows, "age_band")],
    )


def _by_label(label: str, figures: Figures) -> Section:
    rows = figures[f"by_{label}"]
    labelled = sum(row["photo_count"] for row in rows)
    return Section(
        f"By {label}",
        [f"{labelled:,} of {figures['photo_count']:,} photos have this label, as others saw the person or guessed."],
        [_means_chart(rows, label, "mae"), _means_chart(rows, label, "bias")],
        [_errors_table(rows, label)],
    )


def _traits(figures: Figures) -> Section:
    words = "Photos in four bins of equal count each; photos with the same value stay in one bin."
    present = [trait for trait in TRAITS if figures[f"by_{trait}"]]
    return Section(
        "By size, sharpness, light and disagreement",
        [words],
        [_means_chart(figures[f"by_{trait}"], trait, "mae") for trait in present],
        [_errors_table(figures[f"by_{trait}"], trait) for trait in present],
    )


def _intervals(figures: Figures) -> Section:
    words = (
        "Nine of ten labelled ages should lie inside the 90 % interval, in each group as well as over all; the "
        f"intervals are {figures['interval_width_years']:.1f} years wide on average."
    )
    rows = figures["by_age_band"]
    charts = [
        _means_chart(rows, "age_band", "interval_coverage"),
        _means_chart(rows, "age_band", "interval_width_years"),
    ]
    return Section("90 % intervals", [words], charts)


def _confusion(confusion: Figures) -> Section:
    counts = np.array(confusion["counts"])
    headings = ["true age ▸ estimated", *confusion["age_bands"]]
    rows = [[band, *map(str, row)] for band, row in zip(confusion["age_bands"], counts, strict=True)]
    words = (
        "Each row is a group of true ages; the chart shows the shares of it that were estimated into each age group."
    )
    return Section("Age groups taken for others", [words], [_confusion_chart(confusion)], [PageTable(headings, rows)])


def _reliability(reliability: Figures) -> Section:
    words = (
        "Of photos for which the model says P(under an age) of about 0.3, three of ten should be under that age: the "
        "nearer to the diagonal, the better. The expected calibration error is the mean distance from it."
    )
    rows = [
        [f"P({name.replace('_', ' ')})", ranged(figures, "calibration_error", ".3f")]
        for name, figures in reliability.items()
    ]
    charts = [_reliability_chart(name.replace("_", " "), figures) for name, figures in reliability.items()]
    return Section("Probabilities", [words], charts, [PageTable(["probability", "expected calibration error"], rows)])


def _challenge(challenge: Figures, judged: JudgedAges) -> Section:
    rows = [
        ["13 to 17", str(challenge["people_13_17_count"]), "estimated 25 or older: false positive rate",
         _shareranged(challenge, "false_positive_rate")],
        ["18 to 24", str(challenge["people_18_24_count"]), "challenged (estimated under 25)",
         _shareranged(challenge, "challenged_18_24_share")],
        ["25 to 34", str(challenge["people_25_34_count"]), "challenged though they need not be",
         _shareranged(challenge, "challenged_25_34_share")],
    ]  # fmt: skip
    table = PageTable(["true age", "people", "what happens", "share"], rows)
    return Section("Challenge 25", [challenge["definition"]], [_challenge_chart(judged)], [table])


def _photo_grids(evaluation: Evaluation, images: Path) -> Section:
    predictions = evaluation.predictions
    rows = predictions[(predictions["estimate_status"] == ESTIMATED) & (predictions["age_conflict"] == 0)]
    # The median error, not the mean: a few wrong labels would move the mean to photos that are not typical.
    by_error = rows.loc[(rows["estimated_age_years"] - rows["real_age"]).abs().sort_values(ascending=False).index]
    middle = max(0, len(by_error) // 2 - PHOTOS_IN_GRID // 2)
    return Section(
        "Worst and typical predictions",
        ["Below each photo: labelled age ▸ estimated age, and the 90 % interval. The worst are often wrong labels."],
        grids=[
            PhotoGrid("The largest errors", _photos(by_error.head(PHOTOS_IN_GRID), images)),
            PhotoGrid("Typical: around the median error", _photos(by_error[middle : middle + PHOTOS_IN_GRID], images)),
        ],
    )


def _photos(rows: pd.DataFrame, images: Path) -> list[PagePhoto]:
    return [
        page_photo(
            decode_photo((images / str(row.file_name)).read_bytes(), 96),
            f"{row.real_age} ▸ {row.estimated_age_years:.0f} "
            f"({row.age_interval_low_years:.0f}–{row.age_interval_high_years:.0f})",
        )
        for row in rows.itertuples()
    ]


def _unused_photos(predictions: pd.DataFrame) -> Section:
    unused = predictions[predictions["estimate_status"] != ESTIMATED]
    words = (
        f"{len(predictions):,} photos are listed, {len(predictions) - len(unused):,} were estimated, {len(unused):,} "
        "could not be. All are in predictions.csv, with the reason where there is no estimate."
    )
    columns = ["file_name", "estimate_status", "estimate_reason"]
    rows = unused[columns].head(UNUSED_PHOTOS_LISTED).astype(str).to_numpy().tolist()
    tables = [PageTable(["photo", "status", "reason"], rows, f"The first {len(rows)}")] if rows else []
    return Section("Photos without an estimate", [words], tables=tables)


def _errors_table(rows: Sequence[Figures], kind: str) -> PageTable:
    return PageTable([LABELS[kind], *ERROR_HEADINGS], [[row[kind], *error_cells(row)] for row in rows])


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _shareranged(row: Figures, name: str) -> str:
    return "nobody of that age" if row[name] is None else ranged(row, name, ".1%")


MEANS = {
    "mae": ("Mean absolute error", "years"),
    "bias": ("Bias: estimated minus true age", "years"),
    "interval_coverage": ("True ages inside the 90 % interval", "share"),
    "interval_width_years": ("Width of the 90 % interval", "years"),
}


@mpl.rc_context(CHART_STYLE)
def _means_chart(rows: Sequence[Figures], kind: str, name: str) -> PageChart:
    title, unit = MEANS[name]
    figure, axes = new_chart(title, LABELS[kind], unit, (5.6, 3.4))
    means = np.array([row[name] for row in rows])
    # Error bars take distances from the mean, not the ends of an interval.
    reach = np.abs(np.array([row[f"{name}_interval_95"] for row in rows]).T - means)
    axes.errorbar(range(len(rows)), means, yerr=reach, fmt="o", capsize=4, color=BLUE)
    axes.set_xticks(range(len(rows)), [f"{row[kind]}\nn={row['photo_count']}" for row in rows], fontsize=9)
    axes.margins(x=0.08)
    if name == "bias":
        axes.axhline(0, color=GREY, linewidth=1)
    elif name == "interval_coverage":
        axes.axhline(INTERVAL_COVERAGE, color=ORANGE, linewidth=1, linestyle="--", label="meant: 90 %")
        axes.legend(frameon=False)
    else:
        axes.set_ylim(bottom=0)
    return chart_of(figure, f"{title}, {unit}, by {LABELS[kind]}")


@mpl.rc_context(CHART_STYLE)
def _ages_chart(judged: JudgedAges) -> PageChart:
    figure, axes = new_chart("Photos by true and estimated age, per 5 × 5 years", "true age, years", "estimated, years")
    edges = np.arange(0, 106, 5)
    counts, _, _ = np.histogram2d(judged.ages, judged.estimated, bins=[edges, edges])
    # Empty cells are left out, because a logarithmic scale has no colour for 0; rows of a mesh are the vertical axis.
    mesh = axes.pcolormesh(edges, edges, np.ma.masked_equal(counts.T, 0), cmap="viridis_r", norm="log")
    axes.plot([0, 105], [0, 105], color=ORANGE, linewidth=1)
    axes.set_aspect("equal")
    figure.colorbar(mesh, label="photos")
    return chart_of(figure, "Estimated age by true age, with the diagonal on which they would agree")


@mpl.rc_context(CHART_STYLE)
def _confusion_chart(confusion: Figures) -> PageChart:
    figure, axes = new_chart("Share of each true age group, %", "estimated age, years", "true age, years", (6.6, 4.6))
    counts = np.array(confusion["counts"], dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # an age group may have no photo
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors=GREY, linewidth=0.5)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "black"
        axes.text(column + 0.5, row + 0.5, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=9)
    middles = np.arange(len(shares)) + 0.5
    axes.set_xticks(middles, confusion["age_bands"])
    axes.set_yticks(middles, confusion["age_bands"])
    axes.invert_yaxis()
    axes.grid(visible=False)
    return chart_of(figure, "Share of each true age group that was estimated into each age group")


@mpl.rc_context(CHART_STYLE)
def _reliability_chart(name: str, reliability: Figures) -> PageChart:
    figure, axes = new_chart(f"P({name}): said and seen", "probability said", "share seen", (4.2, 4.0))
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    bins = reliability["bins"]
    seen = np.array([each["seen"] for each in bins])
    reach = np.abs(np.array([each["seen_interval_95"] for each in bins]).T - seen)
    axes.errorbar([each["said"] for each in bins], seen, yerr=reach, fmt="o-", capsize=3, color=BLUE)
    axes.text(0.03, 0.93, f"calibration error {reliability['calibration_error']:.3f}")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return chart_of(figure, f"How often people were {name}, by the probability said")


@mpl.rc_context(CHART_STYLE)
def _challenge_chart(judged: JudgedAges) -> PageChart:
    figure, axes = new_chart("Passed unasked: estimated 25 or older", "true age, years", "share of people")
    ages = [age for age in range(10, 41) if (judged.ages == age).any()]
    _plot_passed_share(axes, ages, judged)
    axes.axvspan(12.5, 17.5, color=ORANGE, alpha=0.15, linewidth=0, label="13 to 17: should be 0")
    axes.axvspan(24.5, 34.5, color=GREY, alpha=0.15, linewidth=0, label="25 to 34: should be 1")
    axes.legend(frameon=False, loc="upper left")
    axes.set_ylim(-0.02, 1.02)
    return chart_of(figure, "Share of people of each true age who are estimated at 25 or older")


def _plot_passed_share(axes: Axes, ages: Sequence[int], judged: JudgedAges) -> None:
    for age in ages:
        passed = judged.estimated[judged.ages == age] >= CHALLENGE_AGE_YEARS
        axes.plot(age, passed.mean(), "o", color=BLUE)
        axes.vlines(age, *wilson_interval(int(passed.sum()), len(passed)), color=BLUE, linewidth=1.5)
