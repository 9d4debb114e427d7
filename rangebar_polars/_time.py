"""Days, months and instants: what counts from 1970 does so here, and all of it in UTC."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Final

__all__ = [
    "DAY_US",
    "EPOCH",
    "UNITS_PER_SECOND",
    "day_number",
    "day_of",
    "instant_of",
    "instant_us",
    "month_end",
    "utc_today",
]

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US: Final = 86_400_000_000
"""Microseconds of a day."""

UNITS_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units of time by the name that ``time_unit=`` gives them."""

_EPOCH_DAY: Final = EPOCH.date()
_MICROSECOND: Final = timedelta(microseconds=1)


def day_of(us: int) -> date:
    """Return the UTC day of an instant given in microseconds since 1970.

    Raises
    ------
    OverflowError
        Outside the years 1 to 9999.
    """
    return _EPOCH_DAY + timedelta(days=us // DAY_US)


def day_number(day: date) -> int:
    """Return the number of days from 1970-01-01 to ``day``; negative before."""
    return day.toordinal() - _EPOCH_DAY.toordinal()


def instant_us(instant: datetime) -> int:
    """Return a datetime in microseconds since 1970; one without a zone is UTC."""
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - EPOCH) // _MICROSECOND


def instant_of(us: int) -> datetime:
    """Return microseconds since 1970 as a datetime in UTC, without a zone.

    Raises
    ------
    OverflowError
        Outside the years 1 to 9999.
    """
    return EPOCH.replace(tzinfo=None) + us * _MICROSECOND


def month_end(day: date) -> date:
    """Return the last day of the month that ``day`` is in."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def utc_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(UTC).date()
