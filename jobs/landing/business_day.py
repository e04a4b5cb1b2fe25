"""business_day: says which moments belong to a business date, in the stores' time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class BusinessDay:
    """A business date, and the span of UTC time in which a receipt or photo belongs to it, without its end."""

    business_date: date
    begins_at: datetime
    ends_at: datetime

    @property
    def other_date(self) -> str:
        """The reason for rejecting a line or photo outside the day, to follow the name of its time."""
        return f"is not of business date {self.business_date}"


def business_day(business_date: date, time_zone: ZoneInfo, allowance_minutes: int) -> BusinessDay:
    """Return the day from midnight to midnight in the stores' time zone, with the allowance before and after."""
    allowance = timedelta(minutes=allowance_minutes)
    # Both midnights are computed in the zone: a day of a clock change has 23 or 25 hours.
    midnights = (
        datetime.combine(business_date + timedelta(days=days), time(), time_zone).astimezone(UTC) for days in (0, 1)
    )
    begins_at, ends_at = midnights
    return BusinessDay(business_date, begins_at - allowance, ends_at + allowance)
