"""What a start and an end mean."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from rangebar_polars._time import instant_us
from rangebar_polars.store.time_range import Instant, TimeRange, parse_time_range


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2024-01-05", "2024-01-07", "2024-01-05T00:00", "2024-01-08T00:00"),
        ("2024-02", "2024-02", "2024-02-01T00:00", "2024-03-01T00:00"),
        ("2023-12", "2023-12-31", "2023-12-01T00:00", "2024-01-01T00:00"),
        (date(2024, 2, 28), date(2024, 2, 29), "2024-02-28T00:00", "2024-03-01T00:00"),
        (
            datetime(2024, 1, 5, 12),
            datetime(2024, 1, 5, 13),
            "2024-01-05T12:00",
            "2024-01-05T13:00",
        ),
        ("2024-01-05T12:00:00Z", "2024-01-05T14:00+01:00", None, "2024-01-05T13:00"),
        (
            datetime(2024, 1, 5, 1, tzinfo=timezone(timedelta(hours=2))),
            None,
            "2024-01-04T23:00",
            None,
        ),
    ],
)
def test_dates_are_whole_days_and_instants_are_half_open(
    start: Instant, end: Instant | None, first: str | None, last: str | None
) -> None:
    period = parse_time_range(start, end)
    if first is not None:
        assert period.start == instant_us(datetime.fromisoformat(first))
    if last is not None:
        assert period.end == instant_us(datetime.fromisoformat(last))


def test_days_of_a_range() -> None:
    period = parse_time_range(datetime(2024, 2, 28, 23), datetime(2024, 3, 1))
    assert list(period.days()) == [date(2024, 2, 28), date(2024, 2, 29)]
    assert not period.whole_days
    assert TimeRange.of_days(date(2024, 2, 28), date(2024, 2, 28)).whole_days


@pytest.mark.parametrize("text", ["yesterday", "2024-13", "2024-02-30", "20240101", ""])
def test_what_is_no_date_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="start="):
        parse_time_range(text, None)


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="must come after"):
        parse_time_range("2024-01-02", "2024-01-01")
    with pytest.raises(ValueError, match="must come after"):
        parse_time_range(datetime(2024, 1, 1), datetime(2024, 1, 1))


def test_a_number_is_no_instant() -> None:
    with pytest.raises(TypeError, match="end must be a date"):
        parse_time_range(None, 20240101)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
