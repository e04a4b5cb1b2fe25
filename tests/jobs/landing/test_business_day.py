from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs.landing.business_day import business_day
from jobs.settings import Settings


@pytest.mark.parametrize(
    ("time_zone", "business_date", "hours"),
    [
        ("Europe/Moscow", date(2026, 11, 20), 24 + 2 * 2),
        ("Europe/Berlin", date(2026, 3, 29), 23 + 2 * 2),
        ("Europe/Berlin", date(2026, 10, 25), 25 + 2 * 2),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_and_two_hours_more_on_either_side(
    settings: Settings, time_zone: str, business_date: date, hours: int
) -> None:
    day = business_day(business_date, ZoneInfo(time_zone), settings.business_date_allowance_minutes)
    assert (day.ends_at - day.begins_at).total_seconds() == 3600 * hours


def test_the_day_of_moscow_begins_while_it_is_still_the_day_before_in_utc(settings: Settings) -> None:
    day = business_day(date(2026, 11, 20), settings.time_zone, allowance_minutes=0)
    assert (day.begins_at, day.ends_at) == (
        datetime(2026, 11, 19, 21, tzinfo=UTC),
        datetime(2026, 11, 20, 21, tzinfo=UTC),
    )
