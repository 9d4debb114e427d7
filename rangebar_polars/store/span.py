"""A stretch of time, as people name it: dates are whole days, instants are half-open.

Everything the store and the archive do by day goes through :class:`Span`, so that a start and
an end mean the same to ``scan``, ``scan_binance``, ``get_range_bars`` and the command line.
All of it is UTC: exchanges cut their days there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["DAY_US", "Instant", "Span", "day_number", "day_of", "instant_us", "parse_span"]

Instant: TypeAlias = "str | date | datetime"
"""What may name a start or an end: ``"2024-01-05"``, ``"2024-01"``, an ISO instant, a date, ..."""

DAY_US = 86_400_000_000
_EPOCH = date(1970, 1, 1)
_EPOCH_TIME = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MONTH = re.compile(r"\d{4}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ].+")
_FIRST = date(1970, 1, 1)
_LAST = date(2261, 12, 31)


def day_of(us: int) -> date:
    """Return the UTC day of an instant given in microseconds since 1970."""
    return _EPOCH + timedelta(days=us // DAY_US)


def day_number(day: date) -> int:
    """Return the number of days from 1970-01-01 to ``day``."""
    return (day - _EPOCH).days


def instant_us(instant: datetime) -> int:
    """Return a datetime in microseconds since 1970; one without a zone is UTC."""
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone.utc)
    return (instant - _EPOCH_TIME) // timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """The half-open stretch ``[start, end)`` in microseconds since 1970 (UTC)."""

    start: int
    end: int

    @property
    def first_day(self) -> date:
        """The UTC day the span begins in."""
        return day_of(self.start)

    @property
    def last_day(self) -> date:
        """The UTC day of the last instant inside the span."""
        return day_of(self.end - 1)

    @property
    def whole_days(self) -> bool:
        """Whether both ends stand at midnight."""
        return self.start % DAY_US == 0 and self.end % DAY_US == 0

    def days(self) -> Iterator[date]:
        """Yield every UTC day that the span touches, in order."""
        day = self.first_day
        while day <= self.last_day:
            yield day
            day += timedelta(days=1)

    @classmethod
    def of_days(cls, first: date, last: date) -> Span:
        """Return the span of whole days from ``first`` to ``last``, both inside."""
        return cls(day_number(first) * DAY_US, (day_number(last) + 1) * DAY_US)


def parse_span(start: Instant | None, end: Instant | None) -> Span:
    """Return the span from ``start`` to ``end``.

    A date (or the text of one, or of a month such as ``"2024-01"``) stands for the whole day or
    month, at either end. A datetime is an exact instant, and as an end it is exclusive. ``None``
    leaves that end open.

    Raises
    ------
    ValueError
        Where a text is no date, or the end does not come after the start.
    TypeError
        Where an end is something else altogether.
    """
    low = _FIRST if start is None else _parse(start, "start")
    high = _LAST if end is None else _parse(end, "end")
    first = _edges(low)[0]
    last = _edges(high)[1]
    if last <= first:
        msg = f"end ({end}) must come after start ({start})"
        raise ValueError(msg)
    return Span(first, last)


def _edges(value: date | datetime | tuple[date, date]) -> tuple[int, int]:
    """First instant of what was named, and the first one after it."""
    if isinstance(value, tuple):
        return day_number(value[0]) * DAY_US, (day_number(value[1]) + 1) * DAY_US
    if isinstance(value, datetime):
        us = instant_us(value)
        return us, us
    return day_number(value) * DAY_US, (day_number(value) + 1) * DAY_US


def _parse(value: Instant, name: str) -> date | datetime | tuple[date, date]:
    if isinstance(value, (date, datetime)):
        return value
    if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name} must be a date, a datetime or a text such as '2024-01-31', got {value!r}"
        raise TypeError(msg)
    text = value.strip()
    try:
        if _MONTH.fullmatch(text):
            first = date.fromisoformat(f"{text}-01")
            return first, _month_end(first)
        if len(text) == len("2024-01-31"):
            return date.fromisoformat(text)
        if _TIME.fullmatch(text):  # newer Pythons read more than that, older ones less
            return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        raise ValueError
    except ValueError:
        msg = f"{name}={value!r} is no date: write '2024-01-31', '2024-01' or an ISO 8601 instant"
        raise ValueError(msg) from None


def _month_end(first: date) -> date:
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return following - timedelta(days=1)
