from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from jobs.errors import InputError
from jobs.settings import Settings
from jobs.steps import plan_backfill
from jobs.steps.backfill_options import BackfillOptions, Published, days_between
from jobs.steps.plan_backfill import planned_chunks
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse

FIRST = date(2026, 11, 1)
DAYS = days_between(FIRST, date(2026, 11, 7))


def warehouse_of(settings: Settings, run_id: str) -> Warehouse:
    return Warehouse(ObjectStore(settings.warehouse_uri), run_id)


def publish(settings: Settings, run_id: str, *days: date) -> None:
    for day in days:
        record = {"run_id": run_id, "published_at": datetime(2026, 11, 20, tzinfo=UTC)}
        warehouse_of(settings, run_id).runs.write(day, record)


def planned(settings: Settings, published: Published = "skip", size: int = 3) -> list[list[int]]:
    chunks = planned_chunks(warehouse_of(settings, "b1"), DAYS, settings, BackfillOptions(published, size))
    return [[day.day for day in chunk] for chunk in chunks]


def test_days_are_cut_into_chunks_in_order(settings: Settings) -> None:
    assert planned(settings) == [[1, 2, 3], [4, 5, 6], [7]]
    assert planned(settings, size=28) == [[1, 2, 3, 4, 5, 6, 7]]


def test_days_that_this_run_has_published_are_never_planned(settings: Settings) -> None:
    publish(settings, "b1", FIRST, FIRST + timedelta(days=1))
    for published in ("skip", "restate", "fail"):
        assert planned(settings, published) == [[3, 4, 5], [6, 7]]


def test_days_of_other_runs_are_left_out_or_restated_or_refused_by_name(settings: Settings) -> None:
    publish(settings, "night-1", FIRST)
    assert planned(settings) == [[2, 3, 4], [5, 6, 7]]
    assert planned(settings, "restate") == [[1, 2, 3], [4, 5, 6], [7]]
    with pytest.raises(InputError, match=r"1 of the days are published: 2026-11-01: published by run 'night-1'"):
        planned(settings, "fail")


def test_a_run_begun_with_other_settings_is_not_continued(settings: Settings) -> None:
    planned(settings)
    sooner = settings.model_copy(update={"staging_days": 3.0})
    assert planned(sooner) == planned(settings)
    other = settings.model_copy(update={"challenge_age_years": 30})
    with pytest.raises(
        InputError, match=r"run 'b1' was begun with other settings: challenge_age_years was 25 and is 30"
    ):
        planned(other)


@pytest.mark.parametrize(("options", "words"), [(BackfillOptions("skip", 0), "--days-per-application is 0")])
def test_a_chunk_without_a_day_is_refused(settings: Settings, options: BackfillOptions, words: str) -> None:
    with pytest.raises(InputError, match=words):
        planned_chunks(warehouse_of(settings, "b1"), DAYS, settings, options)


def test_days_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(InputError, match="--from 2026-11-02 lies after --to 2026-11-01"):
        days_between(date(2026, 11, 2), FIRST)


def test_the_last_line_tells_airflow_the_arguments_of_each_application(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_backfill.run(warehouse_of(settings, "b1"), DAYS[:2], settings, BackfillOptions("restate", 1))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == [
        ["backfill_days", "--business-date", day, "--run-id", "b1", "--published", "restate"]
        for day in ("2026-11-01", "2026-11-02")
    ]
