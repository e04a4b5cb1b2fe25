import pyarrow as pa
import pytest

from jobs.schemas.runs import MODEL_COMPARISON
from jobs.schemas.table import TRANSACTION_KEY
from jobs.tables.model_comparison import PublishedDay, lost_photo_count, model_comparison, summed_over_days


def transactions(measure: str, *rows: tuple[str, str, float | None]) -> pa.Table:
    """Rows of (transaction_id, value, estimated_age_years)."""
    names = [*TRANSACTION_KEY, measure, "estimated_age_years"]
    return pa.Table.from_pylist(
        [dict(zip(names, ("0042", "03", *row), strict=True)) for row in rows], schema=schema(names)
    )


def photos(*rows: tuple[str, str, float | None]) -> pa.Table:
    """Rows of (photo_key, estimate_status, estimated_age_years)."""
    names = ["photo_key", "estimate_status", "estimated_age_years"]
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema(names))


def schema(names: list[str]) -> pa.Schema:
    return pa.schema([(name, pa.float64() if name.endswith("_years") else pa.string()) for name in names])


LIVE = PublishedDay(
    run_id="night-1",
    model_version="age_resnet50-3",
    rows={
        "age_group": transactions(
            "age_group", ("t1", "18-24", 20.0), ("t2", "18-24", 24.0), ("t3", "25-34", 30.0), ("t4", "unknown", None)
        ),
        "audit_status": transactions("audit_status", ("t1", "challenge_age_unchecked", 20.0)),
        "estimate_status": photos(("a", "estimated", 20.0), ("b", "estimated", 24.0), ("c", "estimated", 30.0)),
    },
)
RESCORED = PublishedDay(
    run_id="rescore-1",
    model_version="age_resnet50-4",
    rows={
        "age_group": transactions(
            "age_group", ("t1", "18-24", 23.0), ("t2", "25-34", 25.0), ("t3", "unknown", None), ("t4", "unknown", None)
        ),
        "audit_status": transactions("audit_status", ("t1", "clearly_adult", 23.0)),
        "estimate_status": photos(("a", "estimated", 23.0), ("b", "estimated", 25.0), ("c", "missing", None)),
    },
)
NOTHING = PublishedDay(
    run_id="night-0",
    model_version="age_resnet50-3",
    rows={
        "age_group": transactions("age_group"),
        "audit_status": transactions("audit_status"),
        "estimate_status": photos(),
    },
)
FIGURES = [
    "measure",
    "value",
    "live_count",
    "live_share",
    "rescored_count",
    "rescored_share",
    "share_shift",
    "both_estimated_count",
    "mean_age_shift_years",
]
ORIGIN = ["live_run_id", "live_model_version", "rescored_model_version", "run_id"]


def figures(comparison: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in comparison.select(FIGURES).to_pylist()]


def test_each_value_has_its_counts_and_shares_in_both_models_and_the_shift() -> None:
    third = pytest.approx(1 / 3)
    assert figures(model_comparison(LIVE, RESCORED)) == [
        ("age_group", "18-24", 2, 0.5, 1, 0.25, -0.25, 2, 2.0),
        ("age_group", "25-34", 1, 0.25, 1, 0.25, 0.0, 0, None),
        ("age_group", "unknown", 1, 0.25, 2, 0.5, 0.25, 0, None),
        ("audit_status", "challenge_age_unchecked", 1, 1.0, 0, 0.0, -1.0, 1, 3.0),
        ("audit_status", "clearly_adult", 0, 0.0, 1, 1.0, 1.0, 0, None),
        ("estimate_status", "estimated", 3, 1.0, 2, pytest.approx(2 / 3), pytest.approx(-1 / 3), 2, 2.0),
        ("estimate_status", "missing", 0, 0.0, 1, third, third, 0, None),
    ]


def test_each_row_names_both_runs_and_both_models() -> None:
    comparison = model_comparison(LIVE, RESCORED)
    origins = {tuple(row.values()) for row in comparison.select(ORIGIN).to_pylist()}
    assert origins == {("night-1", "age_resnet50-3", "age_resnet50-4", "rescore-1")}


def test_a_comparison_has_the_columns_and_types_of_its_table() -> None:
    assert model_comparison(LIVE, RESCORED).cast(MODEL_COMPARISON.schema).num_rows == 7


def test_a_model_compared_with_itself_shifts_nothing() -> None:
    comparison = model_comparison(LIVE, LIVE)
    assert set(comparison["share_shift"].to_pylist()) == {0.0}
    assert set(comparison["mean_age_shift_years"].to_pylist()) == {0.0, None}


def test_days_add_up_by_count_and_not_by_the_mean_of_their_shares() -> None:
    days = [model_comparison(LIVE, RESCORED), model_comparison(RESCORED, RESCORED)]
    assert figures(summed_over_days(days))[:3] == [
        ("age_group", "18-24", 3, 0.375, 2, 0.25, -0.125, 3, pytest.approx(4 / 3)),
        ("age_group", "25-34", 2, 0.25, 2, 0.25, 0.0, 1, 0.0),
        ("age_group", "unknown", 3, 0.375, 4, 0.5, 0.125, 0, None),
    ]


def test_photos_that_have_gone_since_are_counted_as_lost() -> None:
    assert lost_photo_count(model_comparison(LIVE, RESCORED)) == 1
    assert lost_photo_count(model_comparison(RESCORED, RESCORED)) == 0


def test_a_day_without_rows_gives_none() -> None:
    assert model_comparison(NOTHING, NOTHING).num_rows == 0


def test_a_value_without_a_total_has_no_share() -> None:
    assert figures(model_comparison(NOTHING, LIVE))[0] == ("age_group", "18-24", 0, None, 2, 0.5, None, 0, None)
