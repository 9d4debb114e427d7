"""Resets at calendar boundaries and cuts after silences."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.oracle import oracle_bars
from tests.support.sources import batched
from tests.support.trades import paced, walk

RESETS = ["1d", "2d", "1w", "2w", "1mo", "2mo", "1q", "1y", "3y"]
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]


def trades_at(times: list[datetime], unit: Any, zone: str | None) -> pl.DataFrame:
    """Trades that never close a bar by themselves, so that only boundaries show."""
    return pl.DataFrame(
        {
            "timestamp": pl.Series(sorted(times), dtype=pl.Datetime("us"))
            .dt.cast_time_unit(unit)
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(zone)
            if zone
            else pl.Series(sorted(times), dtype=pl.Datetime("us")).dt.cast_time_unit(unit),
            "price": [100.0] * len(times),
            "quantity": [1.0] * len(times),
        }
    )


@settings(deadline=None, max_examples=150)
@given(
    times=st.lists(
        st.datetimes(datetime(1960, 1, 1), datetime(2100, 1, 1)), min_size=1, max_size=40
    ),
    every=st.sampled_from(RESETS),
    zone=st.sampled_from(ZONES),
    unit=st.sampled_from(["ms", "us", "ns"]),
)
def test_periods_are_those_of_dt_truncate(times, every, zone, unit):
    trades = trades_at(times, unit, zone)
    bars = rb.range_bars(trades, 100_000, reset=every, incomplete="keep")
    periods = trades.group_by(pl.col("timestamp").dt.truncate(every), maintain_order=True).agg(
        first=pl.col("timestamp").first(), last=pl.col("timestamp").last(), count=pl.len()
    )
    assert bars["open_time"].to_list() == periods["first"].to_list()
    assert bars["close_time"].to_list() == periods["last"].to_list()
    assert bars["trade_count"].to_list() == periods["count"].to_list()
    assert not bars["is_complete"].any()


@settings(deadline=None, max_examples=60)
@given(
    hours=st.lists(st.integers(0, 24 * 400), min_size=1, max_size=60),
    every=st.sampled_from(["1d", "1w", "1mo"]),
    reset_offset=st.sampled_from(["17h", "-1d", "90m", "-17h30m"]),
)
def test_an_offset_moves_the_boundaries(hours, every, reset_offset):
    start = datetime(2023, 1, 1)
    trades = trades_at([start + timedelta(hours=h) for h in hours], "us", None)
    bars = rb.range_bars(trades, 100_000, reset=every, reset_offset=reset_offset, incomplete="keep")
    back = reset_offset[1:] if reset_offset.startswith("-") else f"-{reset_offset}"
    period = pl.col("timestamp").dt.offset_by(back).dt.truncate(every)
    periods = trades.group_by(period, maintain_order=True).agg(count=pl.len())
    assert bars["trade_count"].to_list() == periods["count"].to_list()


@pytest.mark.parametrize(
    "options",
    [
        {"reset": "1d"},
        {"max_gap": "2h"},
        {"reset": "1w", "max_gap": timedelta(minutes=30)},
        {"reset": "1mo", "reset_offset": "17h", "max_gap": "90m"},
    ],
)
@pytest.mark.parametrize("incomplete", ["drop", "keep"])
def test_equal_to_the_oracle_in_every_door(options, incomplete):
    trades = paced(walk(3000), timedelta(seconds=977), start=datetime(2024, 2, 26))
    trades = trades.filter(pl.col("timestamp").dt.hour() != 3)
    by: dict[str, Any] = {"by": ["symbol"], "incomplete": incomplete}
    gap = options.get("max_gap")
    plain = {**options, **({"max_gap": "30m"} if isinstance(gap, timedelta) else {})}
    want = oracle_bars(trades, [100, 400], **by, **plain)
    for frame in (trades, trades.lazy()):
        bars = rb.range_bars(frame, [100, 400], **by, **options).lazy().collect()
        assert_bars_equal(bars, want)
    processor = rb.RangeBarProcessor([100, 400], **by, **options)
    pushed = [processor.push(trades[i : i + 97]) for i in range(0, trades.height, 97)]
    assert_bars_equal(pl.concat([*pushed, processor.finish()]), want)
    one = trades.filter(symbol="S1").drop("symbol")
    columns = {c: c for c in ("is_buyer_maker", "agg_trade_id", "first_trade_id", "last_trade_id")}
    alone = one.select(
        rb.bars(rule=[100, 400], incomplete=incomplete, **columns, **options)
    ).unnest("bars")
    assert_bars_equal(alone, oracle_bars(one, [100, 400], incomplete=incomplete, **plain))


def test_ids_count_the_bars_that_were_cut_off():
    trades = pl.DataFrame(
        {"timestamp": [datetime(2024, 1, d) for d in (1, 1, 2, 2, 3)], "price": [100.0] * 5}
    )
    assert rb.with_bar_id(trades, 250, reset="1d")["bar_id"].to_list() == [0, 0, 1, 1, 2]
    assert rb.with_bar_id(trades, 250, max_gap="23h")["bar_id"].to_list() == [0, 0, 1, 1, 2]
    ids = trades.select(rb.bar_id(rule=250, reset="1w"))
    assert ids.to_series().to_list() == [0] * 5


def test_a_gap_must_be_longer_than_max_gap():
    trades = pl.DataFrame(
        {
            "timestamp": [10**12 + ms for ms in (0, 1000, 2001)],
            "price": [1.0] * 3,
            "quantity": [1.0] * 3,
        }
    )
    bars = rb.range_bars(trades, 250, max_gap="1s", time_unit="ms", incomplete="keep")
    assert bars["trade_count"].to_list() == [2, 1]


def test_local_midnight_on_the_nights_that_clocks_change():
    berlin = pl.datetime_range(
        datetime(2024, 3, 30), datetime(2024, 4, 1), "1h", time_zone="Europe/Berlin", eager=True
    )
    trades = pl.DataFrame({"timestamp": berlin, "price": 1.0, "quantity": 1.0})
    bars = rb.range_bars(trades, 250, reset="1d", incomplete="keep")
    assert bars["trade_count"].to_list() == [24, 23, 1]


def test_the_same_at_every_split():
    trades = paced(walk(400), timedelta(minutes=13))
    options: dict[str, Any] = {
        "by": "symbol",
        "reset": "1d",
        "max_gap": "40m",
        "incomplete": "keep",
    }
    want = rb.range_bars(trades, [50, 300], **options)
    for cut in range(0, 400, 7):
        frame = batched(trades, [cut, 400 - cut])
        assert_same_bits(rb.range_bars(frame, [50, 300], **options).collect(), want)


def test_a_time_beyond_the_calendar_is_named():
    trades = pl.DataFrame({"timestamp": [10**12, 2**62], "price": [1.0] * 2, "quantity": [1.0] * 2})
    with pytest.raises(
        rb.InvalidTradeError, match="row 1: timestamp is beyond what calendars reach"
    ):
        rb.range_bars(trades, 250, reset="1d", time_unit="ms")


@pytest.mark.parametrize("option", [{"reset": "1d"}, {"max_gap": "2h"}, {"time_unit": "ms"}])
def test_options_that_need_times_fail_at_the_call_in_every_door(option, tmp_path):
    timeless: dict[str, Any] = {"columns": {"timestamp": None}, **option}
    trades = pl.DataFrame({"price": [1.0], "quantity": [1.0]})
    doors = [
        lambda: rb.range_bars(trades.lazy(), 250, **timeless),
        lambda: rb.with_bar_id(trades, 250, **timeless),
        lambda: rb.RangeBarProcessor(250, **timeless),
        lambda: rb.update_bars(trades.lazy(), tmp_path / "bars", 250, **timeless),
        lambda: rb.bars("price", None, None, rule=250, **option),
        lambda: rb.bar_id("price", None, rule=250, **option),
    ]
    for door in doors:
        with pytest.raises(ValueError, match="needs a timestamp column"):
            door()
    assert list(tmp_path.iterdir()) == []
