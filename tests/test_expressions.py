"""`rb.bar_id` and `rb.bars` wherever Polars takes an expression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from polars._typing import EngineType

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import ENGINES, bars_expression
from tests.support.oracle import Columns, oracle_bar_ids, oracle_bars
from tests.support.trades import walk

EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)


def test_select_eager() -> None:
    frame = walk()
    bars = frame.select(bars_expression(frame, 500)).unnest("bars")
    assert bars.height > 50
    assert_bars_equal(bars, oracle_bars(frame, 500))
    ids = frame.select(rb.bar_id(rule=500))
    assert_same_bits(ids, oracle_bar_ids(frame, 500).to_frame(ids.columns[0]))


@EVERY_ENGINE
def test_select_lazy(engine: EngineType) -> None:
    frame = walk()
    bars = frame.lazy().select(bars_expression(frame, 500)).unnest("bars")
    assert bars.collect_schema() == oracle_bars(frame, 500).schema
    assert_bars_equal(bars.collect(engine=engine), oracle_bars(frame, 500))


@EVERY_ENGINE
def test_with_columns(engine: EngineType) -> None:
    frame = walk()
    lazy = frame.lazy().with_columns(rb.bar_id(rule=500).alias("bar_id"))
    assert lazy.collect_schema()["bar_id"] == pl.UInt32
    expected = frame.with_columns(oracle_bar_ids(frame, 500))
    assert_same_bits(lazy.collect(engine=engine), expected)


@EVERY_ENGINE
def test_over_a_key(engine: EngineType) -> None:
    frame = walk()
    ids = rb.bar_id(rule=500).over("symbol").alias("bar_id")
    expected = frame.with_columns(oracle_bar_ids(frame, 500, by=["symbol"]))
    assert_same_bits(frame.lazy().with_columns(ids).collect(engine=engine), expected)
    assert_same_bits(frame.with_columns(ids), expected)


@EVERY_ENGINE
def test_group_by_a_key(engine: EngineType) -> None:
    frame = walk()
    grouped = (
        frame.lazy()
        .group_by("symbol", maintain_order=True)
        .agg(bars_expression(frame, 500, incomplete="keep"))
    )
    # Groups come whole, one after the other; the oracle's come as they close.
    expected = pl.concat(
        part.select(pl.col("symbol").first()).join(
            oracle_bars(part, 500, incomplete="keep"), how="cross"
        )
        for _, part in frame.group_by("symbol", maintain_order=True)
    )
    assert isinstance(grouped.collect_schema()["bars"], pl.List)
    bars = grouped.explode("bars").unnest("bars").collect(engine=engine)
    assert_bars_equal(bars, expected)


@EVERY_ENGINE
def test_group_by_with_bar_ids(engine: EngineType) -> None:
    frame = walk()
    grouped = (
        frame.lazy()
        .group_by("symbol", maintain_order=True)
        .agg(rb.bar_id(rule=500).alias("bar_id"), "agg_trade_id")
        .explode("bar_id", "agg_trade_id")
        .sort("agg_trade_id")
    )
    expected = oracle_bar_ids(frame, 500, by=["symbol"])
    assert grouped.collect(engine=engine)["bar_id"].to_list() == expected.to_list()


@EVERY_ENGINE
def test_groups_without_a_closed_bar_have_an_empty_list(engine: EngineType) -> None:
    frame = pl.DataFrame(
        {
            "timestamp": [0, 1, 2, 3],
            "price": [1.0, 1.0, 5.0, 6.0],
            "quantity": [1.0] * 4,
            "symbol": ["quiet", "quiet", "wild", "wild"],
        }
    )
    lists = (
        frame.lazy()
        .group_by("symbol", maintain_order=True)
        .agg(rb.bars(rule=250))
        .select("symbol", pl.col("bars").list.len())
    )
    assert lists.collect(engine=engine).rows() == [("quiet", 0), ("wild", 1)]


SHAPES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "empty": lambda frame: frame.clear(),
    "sliced to nothing": lambda frame: frame.slice(5, 0),
    "one row": lambda frame: frame.head(1),
    "one row from the middle": lambda frame: frame.slice(77, 1),
    "sliced": lambda frame: frame.slice(13, 301),
    "multi-chunk": lambda frame: pl.concat([frame.head(200), frame.slice(200)], rechunk=False),
    "chunk of nothing": lambda frame: pl.concat([frame.clear(), frame, frame.clear()]),
    "sliced across chunks": lambda frame: pl.concat(
        [frame.head(200), frame.slice(200)], rechunk=False
    ).slice(150, 100),
    "reversed view of reversed": lambda frame: frame.reverse().reverse(),
    "filtered": lambda frame: frame.filter(pl.col("symbol") == "S1"),
}


@EVERY_ENGINE
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shapes_of_input(shape: Callable[[pl.DataFrame], pl.DataFrame], engine: EngineType) -> None:
    frame = shape(walk())
    for incomplete in ("drop", "keep"):
        expected = oracle_bars(frame, 500, incomplete=incomplete)
        expression = bars_expression(frame, 500, incomplete=incomplete)
        assert_bars_equal(frame.select(expression).unnest("bars"), expected)
        lazy = frame.lazy().select(expression).unnest("bars")
        assert_bars_equal(lazy.collect(engine=engine), expected)
    ids = rb.bar_id(rule=500).alias("bar_id")
    expected = frame.with_columns(oracle_bar_ids(frame, 500))
    assert_same_bits(frame.with_columns(ids), expected)
    assert_same_bits(frame.lazy().with_columns(ids).collect(engine=engine), expected)


@EVERY_ENGINE
def test_the_expression_sees_the_rows_that_a_filter_leaves(engine: EngineType) -> None:
    frame = walk()
    kept = frame.filter(pl.col("quantity") > 5)
    lazy = frame.lazy().filter(pl.col("quantity") > 5)
    bars = lazy.select(bars_expression(frame, 500)).unnest("bars")
    assert_bars_equal(bars.collect(engine=engine), oracle_bars(kept, 500))


@EVERY_ENGINE
def test_a_filter_after_the_ids_does_not_change_them(engine: EngineType) -> None:
    frame = walk()
    ids = oracle_bar_ids(frame, 500)
    lazy = frame.lazy().with_columns(rb.bar_id(rule=500).alias("bar_id"))
    for predicate in (pl.col("bar_id") == 3, pl.col("quantity") > 5):
        expected = frame.with_columns(ids).filter(predicate)
        assert_same_bits(lazy.filter(predicate).collect(engine=engine), expected)
    assert_same_bits(
        lazy.slice(100, 7).collect(engine=engine), frame.with_columns(ids).slice(100, 7)
    )
    assert_same_bits(lazy.tail(3).collect(engine=engine), frame.with_columns(ids).tail(3))


@EVERY_ENGINE
def test_inputs_may_be_expressions(engine: EngineType) -> None:
    frame = walk()
    cents = frame.select("timestamp", "quantity", (pl.col("price") * 100).alias("cents"))
    expression = rb.bars(
        pl.col("cents") / 100,
        pl.col("timestamp").dt.cast_time_unit("us"),
        pl.col("quantity"),
        rule=500,
    )
    bars = cents.lazy().select(expression).unnest("bars").collect(engine=engine)
    again = cents.with_columns(price=pl.col("cents") / 100)
    assert_bars_equal(bars, oracle_bars(again, 500))


def test_names_of_results() -> None:
    frame = walk(20)
    assert frame.select(rb.bars(rule=250)).columns == ["bars"]
    renamed = frame.select(rb.bar_id(rule=250).alias("mine"))
    assert renamed.columns == ["mine"]


@EVERY_ENGINE
def test_several_thresholds_in_one_expression(engine: EngineType) -> None:
    frame = walk()
    several = rb.bars(rule=[500, "standard"], incomplete="keep")
    bars = frame.lazy().select(several).unnest("bars").collect(engine=engine)
    expected = oracle_bars(frame, [500, 100], columns=Columns(), incomplete="keep")
    assert_bars_equal(bars, expected)


def test_several_thresholds_side_by_side() -> None:
    frame = walk()
    ids = frame.select(
        rb.bar_id(rule=threshold).alias(str(threshold)) for threshold in (100, 250, 500)
    )
    for threshold in (100, 250, 500):
        expected = oracle_bar_ids(frame, threshold, name=str(threshold))
        assert_same_bits(ids.select(str(threshold)), expected.to_frame())


@EVERY_ENGINE
def test_the_namespace_on_expressions(engine: EngineType) -> None:
    frame = walk()
    column: Any = pl.col("price")
    price = column.rangebar  # type checkers know nothing of registered namespaces
    lazy = frame.lazy()
    expected_ids = oracle_bar_ids(frame, 500).to_list()
    ids = lazy.select(price.bar_id(500, timestamp="timestamp")).collect(engine=engine)
    assert ids.to_series().to_list() == expected_ids
    bars = lazy.select(price.bars(500)).unnest("bars").collect(engine=engine)
    names = Columns()
    assert_bars_equal(bars, oracle_bars(frame, 500, columns=names))
    over = lazy.with_columns(price.bar_id(500).over("symbol").alias("bar_id"))
    expected = frame.with_columns(oracle_bar_ids(frame, 500, by=["symbol"]))
    assert_same_bits(over.collect(engine=engine), expected)


def test_presets_are_thresholds() -> None:
    frame = walk()
    assert rb.rules.PRESETS == {
        "micro": 10,
        "tight": 50,
        "standard": 100,
        "medium": 250,
        "wide": 500,
        "macro": 1000,
    }
    for preset, threshold in rb.rules.PRESETS.items():
        by_name = frame.select(rb.bars(rule=preset)).unnest("bars")
        assert_bars_equal(by_name, oracle_bars(frame, threshold, columns=Columns()))


@EVERY_ENGINE
def test_without_a_clock(engine: EngineType) -> None:
    frame = walk().drop("timestamp")
    names = Columns(timestamp=None)
    ids = rb.bar_id("price", None, rule=500).alias("bar_id")
    expected = frame.with_columns(oracle_bar_ids(frame, 500, columns=names))
    assert_same_bits(frame.lazy().with_columns(ids).collect(engine=engine), expected)
    bars = rb.bars("price", None, None, rule=500)
    out = frame.lazy().select(bars).unnest("bars").collect(engine=engine)
    expected = oracle_bars(frame, 500, columns=Columns(timestamp=None, quantity=None))
    assert_bars_equal(out, expected)


@EVERY_ENGINE
def test_an_expression_that_is_not_elementwise_is_not_split(engine: EngineType) -> None:
    # Marked elementwise it would stream in batches, each of which starts a new bar, and be wrong.
    frame = walk(300_000)
    ids = rb.bar_id(rule=2000)
    whole = frame.select(ids).to_series()
    lazy = frame.lazy().select(ids).collect(engine=engine).to_series()
    assert lazy.to_list() == whole.to_list()
    assert whole.is_sorted()
    bars = frame.lazy().select(rb.bars(rule=2000)).unnest("bars")
    assert bars.collect(engine=engine).height in (whole[-1], whole[-1] + 1)
