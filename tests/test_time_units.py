"""What times count: `time_unit`, times that make it unlikely, times that no calendar reaches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from polars.exceptions import ComputeError

import rangebar_polars as rb
from rangebar_polars._options import TimeUnit
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import (
    BAR_DOORS,
    DOORS,
    ID_DOORS,
    KEYED_DOORS,
    bars_expression,
    keeps_type,
)
from tests.support.oracle import oracle_bar_ids, oracle_bars
from tests.support.trades import walk

UNITS: dict[TimeUnit, int] = {"ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many of each a second has."""

FIRST_LIKELY = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp())
FIRST_UNLIKELY = int(datetime(2201, 1, 1, tzinfo=UTC).timestamp())

EVERY_UNIT = pytest.mark.parametrize("unit", UNITS)


def counted(unit: TimeUnit, rows: int = 400) -> pl.DataFrame:
    """Trades whose integer times count this unit from a day of 2024 on."""
    start = 1_709_164_800 * UNITS[unit]
    return walk(rows).with_columns(
        timestamp=pl.col("timestamp").to_physical() * (7 * UNITS[unit] // 10) + start
    )


@EVERY_UNIT
def test_integers_with_a_unit_come_out_as_times(unit: TimeUnit) -> None:
    trades = counted(unit)
    as_times = trades.with_columns(pl.col("timestamp").cast(pl.Datetime(unit)))
    options: dict[str, Any] = {"reset": "1d", "max_gap": "1m", "incomplete": "keep"}
    expected = oracle_bars(trades, 250, time_unit=unit, **options)
    assert expected["open_time"].dtype == expected["close_time"].dtype == pl.Datetime(unit)
    for door in BAR_DOORS.values():
        assert_bars_equal(door(trades, 250, time_unit=unit, **options), expected)
        # Exactly the bars of a column that says so itself.
        assert_same_bits(
            door(as_times, 250, **options), door(trades, 250, time_unit=unit, **options)
        )
        assert_same_bits(door(as_times, 250, time_unit=unit), door(as_times, 250))
    ids = oracle_bar_ids(trades, 250, time_unit=unit, reset="1d")
    for door in ID_DOORS.values():
        out = door(trades, 250, time_unit=unit, reset="1d")
        assert_same_bits(out, trades.with_columns(ids))  # the trades are left as they are


@EVERY_UNIT
def test_the_plan_promises_the_dtype_that_comes(unit: TimeUnit) -> None:
    trades = counted(unit).lazy()
    for lazy in (
        rb.range_bars(trades, 250, time_unit=unit),
        trades.select(bars_expression(trades.collect(), 250, time_unit=unit)).unnest("bars"),
    ):
        assert lazy.collect_schema()["open_time"] == pl.Datetime(unit)
        assert lazy.collect().schema == lazy.collect_schema()


def test_integers_without_a_unit_stay_integers() -> None:
    trades = counted("us")
    for door in BAR_DOORS.values():
        bars = door(trades, 250)
        assert_bars_equal(bars, oracle_bars(trades, 250))
        assert bars["open_time"].dtype == pl.Int64


def at(first: int, symbol: str) -> pl.DataFrame:
    """Two trades, of which the first is at this time."""
    return pl.DataFrame(
        {
            "symbol": symbol,
            "timestamp": [first, first + 1],
            "price": [1.0, 2.0],
            "quantity": 1.0,
        }
    )


@EVERY_UNIT
def test_a_first_time_that_makes_the_unit_unlikely_is_refused(unit: TimeUnit) -> None:
    last = FIRST_UNLIKELY * UNITS[unit] - 2
    for first in (FIRST_LIKELY * UNITS[unit], last):
        for door in BAR_DOORS.values():
            assert door(at(first, "good"), 250, time_unit=unit).height == 1
    written = {0: "1970-01-01 00:00:00", FIRST_UNLIKELY * UNITS[unit]: "2201-01-01 00:00:00"}
    for first in (0, FIRST_LIKELY * UNITS[unit] - 1, FIRST_UNLIKELY * UNITS[unit]):
        wrong = at(first, "bad").rename({"timestamp": "ts"})
        says = (
            rf"column 'ts', row 0: timestamp .*1971.*2200.*time_unit.*, got {first} \("
            rf"{written.get(first, '1970-12-31 23:59:59')}.*time_unit='{unit}'\)"
        )
        for label, door in {**DOORS, **ID_DOORS}.items():
            with pytest.raises(ComputeError, match=says) as raised:
                door(wrong, 250, time_unit=unit, columns={"timestamp": "ts"})
            if keeps_type(label):
                assert isinstance(raised.value, rb.InvalidTradeError)
                assert (raised.value.column, raised.value.row) == ("ts", 0)
        # Without a unit nothing is claimed, and nothing refused.
        for door in BAR_DOORS.values():
            assert door(wrong, 250, columns={"timestamp": "ts"}).height == 1


@EVERY_UNIT
def test_each_key_has_a_first_time(unit: TimeUnit) -> None:
    good = counted(unit, 50).select(
        pl.lit("good").alias("symbol"), "timestamp", "price", "quantity"
    )
    trades = pl.concat([good, at(5, "bad")])
    for door in KEYED_DOORS.values():
        with pytest.raises(rb.InvalidTradeError, match=r"row 50: timestamp .*time_unit"):
            door(trades, 250, by="symbol", time_unit=unit)
    # All of one key: then it is a time that goes backwards.
    with pytest.raises(rb.InvalidTradeError, match="row 50: timestamp must not go backwards"):
        rb.range_bars(trades, 250, by=None, time_unit=unit)


def test_milliseconds_taken_for_another_unit_are_noticed() -> None:
    trades = counted("ms").with_columns(pl.col("timestamp"))
    for unit in ("us", "ns"):
        for door in BAR_DOORS.values():
            with pytest.raises(ComputeError, match=f"is time_unit right.*time_unit='{unit}'"):
                door(trades, 250, time_unit=unit)
    with pytest.raises(rb.InvalidTradeError, match="is time_unit right"):
        rb.range_bars(counted("ns"), 250, time_unit="us")


def test_later_times_may_be_what_they_are() -> None:
    # The first one has shown that the unit is right; a resumed stream has one behind it.
    start = FIRST_UNLIKELY * 1000 - 1
    trades = pl.concat([at(start, "a"), at(start + 2, "a")])
    expected = oracle_bars(trades, 250, time_unit="ms")
    assert expected.height == 2
    for door in BAR_DOORS.values():
        assert_bars_equal(door(trades, 250, time_unit="ms"), expected)


def test_a_unit_that_contradicts_the_column_fails_at_the_call() -> None:
    trades = walk()
    lazy = trades.lazy()
    frame: Any = trades
    calls: list[Callable[..., Any]] = [
        lambda **unit: rb.range_bars(trades, 250, **unit),
        lambda **unit: rb.range_bars(lazy, 250, **unit),
        lambda **unit: rb.range_bars(trades.to_arrow(), 250, **unit),
        lambda **unit: frame.rangebar.bars(250, **unit),
        lambda **unit: frame.lazy().rangebar.bars(250, **unit),
        lambda **unit: rb.with_bar_id(trades, 250, **unit),
        lambda **unit: rb.with_bar_id(lazy, 250, **unit),
        lambda **unit: rb.RangeBarProcessor(250, schema=trades.schema, **unit),
        lambda **unit: rb.RangeBarProcessor(250, **unit).push(trades),
    ]
    says = 'time_unit="ms" contradicts the timestamp column, which is datetime.*leave time_unit out'
    for call in calls:
        call(time_unit="us")
        with pytest.raises(ValueError, match=says):
            call(time_unit="ms")
    # An expression learns of its columns with the plan.
    for expression in (rb.bars(rule=250, time_unit="ms"), rb.bar_id(rule=250, time_unit="ms")):
        with pytest.raises(ComputeError, match="contradicts the timestamp column"):
            lazy.select(expression).collect_schema()


@EVERY_UNIT
def test_a_clock_is_needed_by_what_reads_it(unit: TimeUnit) -> None:
    trades = counted(unit)
    options: dict[str, dict[str, Any]] = {"reset": {"reset": "1d"}, "max_gap": {"max_gap": "2h"}}
    for name, option in options.items():
        for door in (*BAR_DOORS.values(), *ID_DOORS.values()):
            with pytest.raises((ValueError, ComputeError), match=f"{name} on an Int64 timestamp"):
                door(trades, 250, **option)
        for call in (rb.range_bars, rb.with_bar_id):
            with pytest.raises(ValueError, match=f"{name} on an Int64 .*'ns', 'us' or 'ms'"):
                call(trades.lazy(), 250, **option)
            with pytest.raises(ValueError, match=f"{name} needs a timestamp column"):
                call(trades.lazy(), 250, columns={"timestamp": None}, **option)


BEYOND: dict[str, tuple[list[int], str | None]] = {
    "the very last and the very first": ([2**63 - 1, -(2**63)], None),
    "the same in a zone": ([2**63 - 1, -(2**63)], "America/New_York"),
    "just beyond": ([2**62, 2**62 - 1], "Pacific/Kiritimati"),
}


@pytest.mark.parametrize("kind", BEYOND)
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_beyond_the_calendar_are_an_error_like_any_other(unit: TimeUnit, kind: str) -> None:
    times, zone = BEYOND[kind]
    trades = pl.DataFrame(
        {
            "timestamp": pl.Series(times).cast(pl.Datetime(unit, zone)),
            "price": [1.0, 2.0],
            "quantity": 1.0,
        }
    )
    for label, door in {**DOORS, "processor": BAR_DOORS["processor"], **ID_DOORS}.items():
        for options in ({}, {"max_gap": "1d"}):
            with pytest.raises(ComputeError, match="row 1: timestamp must not go backwards"):
                door(trades, 250, **options)
        with pytest.raises(ComputeError, match="column 'timestamp', row [01]: ") as raised:
            door(trades, 250, reset="1mo")
        if keeps_type(label):
            assert isinstance(raised.value, rb.InvalidTradeError)
