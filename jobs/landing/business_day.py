"""business_day: the moments that belong to a business date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from jobs.settings import Settings


@dataclass(frozen=True)
class BusinessDay:
    """A business date, and the moments in UTC between which a receipt or photo belongs to it (the end excluded)."""

    business_date: date
    begins_at: datetime
    ends_at: datetime

    @property
    def other_date(self) -> str:
        """The words for a moment outside the day."""
        return f"is not of business date {self.business_date}"


def business_day(business_date: date, settings: Settings) -> BusinessDay:
    """Return the day from midnight to midnight in the stores' time zone, with the allowance before and after."""
    allowance = timedelta(minutes=settings.business_date_allowance_minutes)
    # Both midnights are computed in the zone: a day of a clock change has 23 or 25 hours.
    midnights = (
        datetime.combine(business_date + timedelta(days=days), time(), settings.time_zone).astimezone(UTC)
        for days in (0, 1)
    )
    begins_at, ends_at = midnights
    return BusinessDay(business_date, begins_at - allowance, ends_at + allowance)
