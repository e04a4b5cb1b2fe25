from datetime import date, timedelta
from typing import Any

import pyarrow as pa

from jobs.landing.business_day import business_day
from jobs.schemas.buyers import TRANSACTION_AGES
from jobs.settings import Settings
from jobs.steps.rules.night_inputs import neighbour_receipts
from jobs.warehouse.object_store import ObjectStore
from jobs.warehouse.warehouse import Warehouse
from tests.given.rows import BUSINESS_DATE, at
from tests.given.sound_night import BUYER, ESTIMATED


def publish_receipts(settings: Settings, business_date: date, *receipts: dict[str, Any]) -> None:
    """Publish transaction_ages of another day."""
    other = Warehouse(ObjectStore(settings.warehouse_uri), "other")
    ages = pa.Table.from_pylist([ESTIMATED | receipt for receipt in receipts], TRANSACTION_AGES.schema)
    other.stage_arrow(TRANSACTION_AGES, business_date, ages.drop_columns("run_id"))
    other.promote(TRANSACTION_AGES, business_date)


def test_neighbour_days_are_asked_for_receipts_near_the_midnights_only(settings: Settings) -> None:
    near, far = {"closed_at": at("20:30:00")}, {"closed_at": at("23:30:00"), "transaction_id": "t2"}
    day_after = BUSINESS_DATE + timedelta(days=1)
    publish_receipts(settings, day_after, near, far)
    publish_receipts(settings, BUSINESS_DATE - timedelta(days=2), near)
    day = business_day(BUSINESS_DATE, settings.time_zone, settings.business_date_allowance_minutes)
    receipts = neighbour_receipts(Warehouse(ObjectStore(settings.warehouse_uri), "run-1"), day)
    assert receipts.to_pylist() == [BUYER | near | {"business_date": day_after}]
