"""A range of time, as people name it: dates are whole days, instants are half-open.

Everything the store and the archive do by day goes through :class:`TimeRange`, so that a start
and an end mean the same to ``scan``, ``scan_binance``, ``get_range_bars`` and the command line.
All of it is UTC: exchanges cut their days there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, TypeAlias

from rangebar_polars._time import DAY_US, day_number, day_of, instant_us, month_end

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Instant", "TimeRange", "parse_time_range"]

Instant: TypeAlias = "str | date | datetime"
"""What may name a start or an end: ``"2024-01-05"``, ``"2024-01"``, an ISO instant, a date, ..."""

_MONTH = re.compile(r"\d{4}-\d{2}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ].+")


@dataclass(frozen=True)
class TimeRange:
    """The instants from ``start`` to before ``end``, in microseconds since 1970 (UTC)."""

    start: int
    end: int

    @property
    def first_day(self) -> date:
        """The UTC day the range begins in."""
        return day_of(self.start)

    @property
    def last_day(self) -> date:
        """The UTC day of the last instant inside the range."""
        return day_of(self.end - 1)

    @property
    def whole_days(self) -> bool:
        """Whether both ends stand at midnight."""
        return self.start % DAY_US == 0 and self.end % DAY_US == 0

    def days(self) -> Iterator[date]:
        """Yield every UTC day that the range touches, in order."""
        for number in range(self.start // DAY_US, -(-self.end // DAY_US)):
            yield day_of(number * DAY_US)

    @classmethod
    def of_days(cls, first: date, last: date) -> TimeRange:
        """Return the range of whole days from ``first`` to ``last``, both inside."""
        return cls(day_number(first) * DAY_US, (day_number(last) + 1) * DAY_US)


def parse_time_range(start: Instant | None, end: Instant | None) -> TimeRange:
    """Return the range from ``start`` to ``end``.

    A date (or the text of one, or of a month such as ``"2024-01"``) stands for the whole day or
    month, at either end. A datetime is an exact instant, and as an end it is exclusive. ``None``
    leaves that end open: nothing that can be stored lies outside.

    Raises
    ------
    ValueError
        Where a text does not name a date, or the end does not come after the start.
    TypeError
        Where an end is something else altogether.
    """
    low = date.min if start is None else _parse(start, "start")
    high = date.max if end is None else _parse(end, "end")
    first = _edges(low)[0]
    last = _edges(high)[1]
    if last <= first:
        msg = f"end ({end}) must come after start ({start})"
        raise ValueError(msg)
    return TimeRange(first, last)


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
            return first, month_end(first)
        if len(text) == len("2024-01-31"):
            return date.fromisoformat(text)
        if _TIME.fullmatch(text):  # newer Pythons read more than that, older ones less
            return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
        raise ValueError
    except ValueError:
        msg = (
            f"{name}={value!r} does not name a date: write '2024-01-31', '2024-01' or an instant "
            "in ISO 8601 such as '2024-01-31T12:00:00Z'"
        )
        raise ValueError(msg) from None
