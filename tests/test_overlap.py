"""Trades that come again, by their ids: refused or left out, the same in every door."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.exceptions import ComputeError

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import DOORS, ENGINES, ID_DOORS, KEYED_DOORS, keeps_type
from tests.support.oracle import oracle_bar_ids, oracle_bars
from tests.support.sources import batched
from tests.support.strategies import splits, trades
from tests.support.trades import walk

RULES = [250, 20_000]


def is_new(trades: pl.DataFrame, by: str | None) -> list[bool]:
    """Whether each trade's id is above all ids of its key before it: the obvious way."""
    keys = trades[by].to_list() if by else [None] * trades.height
    highest: dict[Any, int] = {}
    new: list[bool] = []
    for key, number in zip(keys, trades["agg_trade_id"].to_list(), strict=True):
        new.append(key not in highest or number > highest[key])
        if new[-1]:
            highest[key] = number
    return new


@st.composite
def repeating(draw: st.DrawFn) -> tuple[pl.DataFrame, str | None]:
    """Trades with ids that mostly rise, and now and then come again; and whose they are."""
    by = draw(st.sampled_from([None, "symbol"]))
    drawn = draw(trades(250, keys=3 if by else 1))
    steps = st.sampled_from([1, 1, 1, 1, 2, 0, -1, -5])
    moves = draw(st.lists(steps, min_size=drawn.height, max_size=drawn.height))
    start = draw(st.sampled_from([-3, 0, 10**12]))
    ids = pl.Series(moves, dtype=pl.Int64).cum_sum() + start
    return drawn.with_columns(agg_trade_id=ids), by


def one_by_one(trades: pl.DataFrame, by: str | None, **options: Any) -> pl.DataFrame:
    processor: Any = rb.RangeBarProcessor(RULES, by=by, schema=trades.schema, **options)
    bars: list[pl.DataFrame | None] = []
    for row in trades.iter_rows(named=True):
        symbol = row.pop("symbol")
        bars.append(processor.push_trade(key=symbol if by else None, **row))
    return pl.concat([*(frame for frame in bars if frame is not None), processor.finish()])


@settings(max_examples=40)
@given(data=st.data(), drawn=repeating())
def test_skipped_is_as_if_never_sent(
    data: st.DataObject, drawn: tuple[pl.DataFrame, str | None]
) -> None:
    repeated, by = drawn
    options: dict[str, Any] = {"incomplete": "keep", "on_overlap": "skip"}
    once = repeated.filter(is_new(repeated, by))
    expected = oracle_bars(once, RULES, by=[by] if by else (), incomplete="keep")
    doors = {**DOORS, **KEYED_DOORS} if by is None else KEYED_DOORS
    for door in doors.values():
        assert_bars_equal(door(repeated, RULES, by=by, **options), expected)
    lengths = data.draw(splits(repeated.height))
    for engine in ENGINES:
        in_batches = rb.range_bars(batched(repeated, lengths), RULES, by=by, **options)
        assert_bars_equal(in_batches.collect(engine=engine), expected)
    assert_bars_equal(one_by_one(repeated, by, **options), expected)


@settings(max_examples=40)
@given(data=st.data(), drawn=repeating())
def test_a_skipped_trade_is_in_no_bar(
    data: st.DataObject, drawn: tuple[pl.DataFrame, str | None]
) -> None:
    repeated, by = drawn
    new = pl.Series(is_new(repeated, by), dtype=pl.Boolean)
    once = repeated.filter(new)
    ids = oracle_bar_ids(once, 250, by=[by] if by else ()).to_list()
    expected = repeated.with_columns(
        bar_id=pl.Series([ids.pop(0) if is_it else None for is_it in new], dtype=pl.UInt32)
    )
    for door in ID_DOORS.values():
        assert_same_bits(door(repeated, 250, by=by, on_overlap="skip"), expected)
    lengths = data.draw(splits(repeated.height))
    lazy = rb.with_bar_id(batched(repeated, lengths), 250, by=by, on_overlap="skip")
    assert_same_bits(lazy.collect(engine="streaming"), expected)
    number = rb.bar_id(rule=250, agg_trade_id="agg_trade_id", on_overlap="skip").alias("bar_id")
    number = number.over(by) if by else number
    assert_same_bits(repeated.with_columns(number), expected)
    for engine in ENGINES:
        out = repeated.lazy().with_columns(number).collect(engine=engine)
        assert_same_bits(out, expected)


@settings(max_examples=40)
@given(data=st.data(), drawn=repeating())
def test_the_first_that_comes_again_is_named(
    data: st.DataObject, drawn: tuple[pl.DataFrame, str | None]
) -> None:
    repeated, by = drawn
    new = is_new(repeated, by)
    doors = {**DOORS, **KEYED_DOORS, **ID_DOORS} if by is None else {**KEYED_DOORS, **ID_DOORS}
    if all(new):
        expected = oracle_bars(repeated, 250, by=[by] if by else ())
        for door in KEYED_DOORS.values():
            assert_bars_equal(door(repeated, 250, by=by), expected)
        return
    row = new.index(False)
    number = repeated["agg_trade_id"][row]
    place = rf"column 'agg_trade_id', row {row}: agg_trade_id must rise .*, got {number} after"
    for label, door in doors.items():
        with pytest.raises(ComputeError, match=place) as raised:
            door(repeated, 250, by=by)
        if keeps_type(label) or label == "processor":
            assert isinstance(raised.value, rb.InvalidTradeError)
            assert (raised.value.row, raised.value.value) == (row, str(number))
    lengths = data.draw(splits(repeated.height))
    for call in (rb.range_bars, rb.with_bar_id):
        with pytest.raises(rb.InvalidTradeError, match=place):
            call(batched(repeated, lengths), 250, by=by).collect(engine="streaming")


def test_a_day_that_stands_twice_is_counted_once_or_not_at_all() -> None:
    """Downloaded twice, by hand or by a job that ran again: the common way to have it."""
    day = walk(2000)
    twice = pl.concat([day, day[1500:]]).with_columns(timestamp=pl.int_range(2500))
    expected = rb.range_bars(day.with_columns(timestamp=pl.int_range(2000)), 250, by="symbol")
    for label, door in KEYED_DOORS.items():
        with pytest.raises(rb.InvalidTradeError, match="row 2000: agg_trade_id"):
            door(twice, 250, by="symbol")
        skipped = door(twice, 250, by="symbol", on_overlap="skip")
        assert_bars_equal(skipped, expected)
        # Without ids nobody can tell.
        columns = {"agg_trade_id": None}
        blind = door(twice, 250, by="symbol", columns=columns)
        assert blind["trade_count"].sum() > expected["trade_count"].sum() + 400, label


def test_an_expression_looks_at_ids_that_are_named() -> None:
    day = walk(300)
    twice = pl.concat([day, day[200:]]).with_columns(timestamp=pl.int_range(400))
    options: dict[str, Any] = {"on_overlap": "skip", "incomplete": "keep"}
    unnamed = twice.select(rb.bars(rule=250, **options)).unnest("bars")
    assert unnamed["trade_count"].sum() == 400
    named = twice.select(rb.bars(rule=250, agg_trade_id="agg_trade_id", **options)).unnest("bars")
    assert named["trade_count"].sum() == 300
    with pytest.raises(ComputeError, match="row 300: agg_trade_id must rise"):
        twice.select(rb.bars(rule=250, agg_trade_id="agg_trade_id"))
    with pytest.raises(ComputeError, match="row 300: agg_trade_id must rise"):
        twice.select(rb.bar_id(rule=250, agg_trade_id="agg_trade_id"))


@pytest.mark.parametrize("by", [None, "symbol"])
@pytest.mark.parametrize("rows", [400, 40_000])
def test_the_order_of_ids_is_checked_on_every_way_through(rows: int, by: str | None) -> None:
    """Small and large batches, of one key and of many, go different ways."""
    trades = walk(rows)
    last = rows - 1
    moved = trades.with_columns(
        agg_trade_id=pl.when(pl.int_range(rows) == last)
        .then(0)
        .otherwise(pl.col("agg_trade_id") + 1)
    )
    for door in KEYED_DOORS.values():
        with pytest.raises(rb.InvalidTradeError, match=f"row {last}: agg_trade_id must rise"):
            door(moved, 250, by=by)
        skipped = door(moved, 250, by=by, on_overlap="skip", incomplete="keep")
        assert skipped["trade_count"].sum() == last


def test_reports_count_what_was_skipped() -> None:
    trades = walk(100)
    processor = rb.RangeBarProcessor(250, on_overlap="skip")
    processor.push(trades[:60])
    for pushed in (trades[40:70], trades[:70].lazy(), trades[:70].to_arrow()):
        processor.push(pushed)
    assert processor.report.rows == processor.report.skipped == 70
    row = trades.row(5, named=True)
    assert processor.push_trade(key=row.pop("symbol"), **row) is None
    assert (processor.report.rows, processor.report.skipped) == (1, 1)


@pytest.mark.parametrize("by", [None, "symbol"])
@pytest.mark.parametrize("rows", [40, 40_000])
def test_of_two_faults_the_first_is_named_in_any_batches(rows: int, by: str | None) -> None:
    bad, repeated = rows // 2, rows - 5
    row = pl.int_range(rows)
    for fault in (-1.0, float("nan"), None):
        price = pl.when(row == bad).then(pl.lit(fault, dtype=pl.Float64)).otherwise("price")
        agg_trade_id = pl.when(row == repeated).then(-1).otherwise("agg_trade_id")
        trades = walk(rows).with_columns(price=price, agg_trade_id=agg_trade_id)
        for door in KEYED_DOORS.values():
            with pytest.raises(rb.InvalidTradeError, match=f"column 'price', row {bad}: "):
                door(trades, 250, by=by)
        for lengths in ([rows], [bad, rows - bad], [bad + 1, rows - bad - 1], [repeated, 5]):
            lazy = rb.range_bars(batched(trades, lengths), 250, by=by)
            with pytest.raises(rb.InvalidTradeError, match=f"column 'price', row {bad}: "):
                lazy.collect(engine="streaming")
