"""Days, months and instants."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rangebar_polars._time import DAY_US, day_number, day_of, instant_of, instant_us, month_end


@given(st.datetimes())
def test_there_and_back(instant: datetime):
    us = instant_us(instant)
    assert instant_of(us) == instant
    assert day_of(us) == instant.date()
    assert day_number(instant.date()) == us // DAY_US


def test_a_zone_is_taken_into_account():
    tokyo = timezone(timedelta(hours=9))
    assert instant_us(datetime(1970, 1, 1, 9, tzinfo=tokyo)) == 0


@given(st.dates())
def test_the_end_of_a_month(day: date):
    end = month_end(day)
    assert (end.year, end.month) == (day.year, day.month)
    assert end == date.max or (end + timedelta(days=1)).day == 1


def test_outside_the_calendar():
    with pytest.raises(OverflowError):
        day_of(instant_us(datetime.max) + 1)
    with pytest.raises(OverflowError):
        instant_of(-(2**63))
