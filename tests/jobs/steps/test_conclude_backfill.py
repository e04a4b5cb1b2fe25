from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from jobs.errors import FailedDaysError, NotLandedError
from jobs.settings import Settings
from jobs.steps import conclude_backfill
from jobs.steps.backfill_options import BackfillOptions, days_between
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.staging import Failure
from jobs.warehouse.warehouse import Warehouse
from tests.given.landed_days import land_small_day

DAYS = days_between(date(2026, 11, 1), date(2026, 11, 4))
OPTIONS = BackfillOptions()


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    """A warehouse in which the backfill b1 has published the first day, and another run the second."""
    store = ObjectStore(settings.warehouse_uri)
    for run_id, day in (("b1", DAYS[0]), ("night-1", DAYS[1])):
        Warehouse(store, run_id).runs.write(day, {"run_id": run_id, "published_at": datetime(2026, 11, 20, tzinfo=UTC)})
    return Warehouse(store, "b1")


def test_days_that_are_published_all_end_the_backfill(warehouse: Warehouse, settings: Settings) -> None:
    warehouse.staging.note_settings({"window_days": 28})
    conclude_backfill.run(warehouse, DAYS[:2], settings, OPTIONS)
    assert warehouse.staging.note_settings({"window_days": 7}) == {"window_days": 7}


def test_days_that_only_have_not_landed_are_told_apart_from_failed_ones(
    warehouse: Warehouse, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotLandedError, match=r"2 of 4 days have not landed: 2026-11-03: missing .*under run id 'b1'"):
        conclude_backfill.run(warehouse, DAYS, settings, OPTIONS)
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == ["published: 1 day", "published before: 1 day", "not landed: 2 days"]
    assert said[3].startswith("  2026-11-03: missing file://")


def test_a_failed_day_is_named_with_its_reason_and_one_that_was_not_reached_too(
    warehouse: Warehouse, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.staging.mark_failed(DAYS[2], Failure("no receipts", is_final=True))
    land_small_day(ObjectStore(settings.landing_uri), DAYS[3])
    with pytest.raises(FailedDaysError, match=r"2 of 4 days are not published: 2026-11-03: no receipts; 2026-11-04: "):
        conclude_backfill.run(warehouse, DAYS, settings, OPTIONS)
    assert "failed: 1 day\n  2026-11-03: no receipts" in capsys.readouterr().out
