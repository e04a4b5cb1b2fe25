"""business_day: which moments belong to a business date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from jobs.settings import Settings


@dataclass(frozen=True)
class BusinessDay:
    """A business date and the moments, in UTC, from which and before which a receipt or photo belongs to it."""

    business_date: date
    begins_at: datetime
    ends_at: datetime

    @property
    def other_date(self) -> str:
        """What is said of a moment outside."""
        return f"is not of business date {self.business_date}"


def business_day(business_date: date, settings: Settings) -> BusinessDay:
    """Return the day from midnight to midnight in the stores' zone, and the allowance before and after."""
    allowance = timedelta(minutes=settings.business_date_allowance_minutes)
    midnights = (
        datetime.combine(business_date + timedelta(days=days), time(), settings.time_zone).astimezone(UTC)
        for days in (0, 1)
    )
    begins_at, ends_at = midnights
    return BusinessDay(business_date, begins_at - allowance, ends_at + allowance)
