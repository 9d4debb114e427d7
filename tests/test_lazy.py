"""What the lazy door reads, and what the optimizer may do with it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars._typing import EngineType

import rangebar_polars as rb
from rangebar_polars import streaming
from rangebar_polars._plan import run_plan
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import ENGINES
from tests.support.oracle import oracle_bars
from tests.support.sources import CountingSource
from tests.support.trades import walk

EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)

THRESHOLD = 500


def source(rows: int = 600, batch: int = 100) -> CountingSource:
    frame = walk(rows)
    return CountingSource([frame.slice(start, batch) for start in range(0, rows, batch)])


def columns_read(counter: CountingSource) -> set[str]:
    """Columns that the last run took from the trades."""
    asked = counter.columns_asked[-1]
    return set(counter.batches[0].columns if asked is None else asked)


DECIDING = {"timestamp", "price", "agg_trade_id"}

PROJECTIONS: dict[str, tuple[list[str], set[str]]] = {
    "prices": (["open", "high", "low", "close"], set()),
    "times": (["open_time", "close_time"], set()),
    "count": (["trade_count"], set()),
    "completeness": (["is_complete"], set()),
    "volume": (["close", "volume"], {"quantity"}),
    "vwap": (["vwap"], {"quantity"}),
    "buy volume": (["buy_volume"], {"quantity", "is_buyer_maker"}),
    "sides counted": (["sell_trade_count"], {"is_buyer_maker"}),
    "aggregate ids": (["last_agg_trade_id"], {"agg_trade_id"}),
    "individual trades": (["individual_trade_count"], {"first_trade_id", "last_trade_id"}),
}


@EVERY_ENGINE
@pytest.mark.parametrize("projection", PROJECTIONS.values(), ids=PROJECTIONS)
def test_only_the_needed_trade_columns_are_read(
    projection: tuple[list[str], set[str]], engine: EngineType
) -> None:
    wanted, needed = projection
    counter = source()
    bars = rb.range_bars(counter.scan(), THRESHOLD).select(wanted).collect(engine=engine)
    expected = oracle_bars(walk(), THRESHOLD, by=["symbol"]).select(wanted)
    assert_bars_equal(bars, expected)
    # What decides where bars close and which trades come again, whatever is asked for.
    assert columns_read(counter) == needed | DECIDING | {"symbol"}


def test_with_bar_id_reads_what_is_asked_and_no_more() -> None:
    counter = source()
    lazy = rb.with_bar_id(counter.scan(), THRESHOLD, by="symbol")
    out = lazy.select("quantity", "bar_id").collect(engine="streaming")
    expected = rb.with_bar_id(walk(), THRESHOLD, by="symbol").select("quantity", "bar_id")
    assert_same_bits(out, expected)
    assert columns_read(counter) == DECIDING | {"quantity", "symbol"}


@pytest.mark.parametrize("ids", [False, True])
def test_a_scan_keeps_the_order_of_its_columns(
    ids: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another order they would pile up in a step behind the scan: see `with_columns_only`."""
    frame = walk()
    frame.select(reversed(frame.columns)).write_parquet(tmp_path / "trades.parquet")
    plans: list[pl.LazyFrame] = []

    def noted(plan: pl.LazyFrame, work: Any) -> Any:
        plans.append(plan)
        return run_plan(plan, work)

    monkeypatch.setattr(streaming, "run_plan", noted)
    trades = pl.scan_parquet(tmp_path / "trades.parquet")
    lazy = trades.rangebar.with_bar_id if ids else trades.rangebar.bars  # type: ignore
    lazy(THRESHOLD, by="symbol").collect()
    (plan,) = plans
    assert "price" in plan.collect_schema().names()
    in_file = [name for name in trades.collect_schema() if name in plan.collect_schema()]
    assert plan.collect_schema().names() == in_file
    assert "SELECT" not in plan.explain()


def test_the_number_of_bars_alone() -> None:
    counter = source()
    bars = rb.range_bars(counter.scan(), THRESHOLD, by=None)
    assert bars.select(pl.len()).collect().item() == oracle_bars(walk(), THRESHOLD).height
    assert columns_read(counter) == DECIDING


def test_explain_shows_the_pruned_columns() -> None:
    lazy = rb.range_bars(walk().lazy(), THRESHOLD, by="symbol")
    total = len(lazy.collect_schema())
    plan = lazy.select("close", "volume").explain()
    assert f"PROJECT 2/{total} COLUMNS" in plan
    assert "PYTHON" in plan
    assert "SCAN" in plan


def test_explain_names_what_is_done_and_with_what() -> None:
    plan = rb.range_bars(walk().lazy(), 345, by="symbol").explain()
    assert "range" in plan.lower()
    assert "345" in plan


def test_a_plan_is_made_without_reading() -> None:
    counter = source()
    lazy = rb.range_bars(counter.scan(), THRESHOLD).filter(pl.col("close") > 100)
    lazy.collect_schema()
    lazy.explain()
    assert counter.batches_read == 0


@EVERY_ENGINE
@pytest.mark.parametrize("count", [0, 1, 5, 33])
def test_head_reads_a_fraction_of_the_input(count: int, engine: EngineType) -> None:
    counter = source(rows=100_000, batch=100)
    bars = rb.range_bars(counter.scan(), THRESHOLD).head(count).collect(engine=engine)
    assert_bars_equal(bars, oracle_bars(walk(2000), THRESHOLD, by=["symbol"]).head(count))
    assert counter.batches_read < len(counter.batches) / 5


@EVERY_ENGINE
def test_head_stops_reading_even_if_no_bar_would_ever_come_again(engine: EngineType) -> None:
    # After its first batch the market stands still: no later batch has a bar to hand over.
    still = walk(100_000).with_columns(
        price=pl.when(pl.col("agg_trade_id") < 100).then("price").otherwise(100.0)
    )
    counter = CountingSource([still.slice(start, 100) for start in range(0, 100_000, 100)])
    before = set(threading.enumerate())
    lazy = rb.range_bars(counter.scan(), THRESHOLD).head(5)
    assert lazy.collect(engine=engine).height == 5
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
    assert counter.batches_read < 200, "of 1000"


@EVERY_ENGINE
def test_head_of_bar_ids_reads_a_fraction_of_the_input(engine: EngineType) -> None:
    counter = source(rows=100_000, batch=100)
    head = rb.with_bar_id(counter.scan(), THRESHOLD).head(250).collect(engine=engine)
    assert_same_bits(head, rb.with_bar_id(walk(1000), THRESHOLD).head(250))
    assert counter.batches_read < len(counter.batches) / 5


@EVERY_ENGINE
def test_slices(engine: EngineType) -> None:
    expected = oracle_bars(walk(), THRESHOLD, by=["symbol"], incomplete="keep")
    lazy = rb.range_bars(source().scan(), THRESHOLD, incomplete="keep")
    for offset, length in ((0, 3), (7, 5), (expected.height - 2, 10), (10_000, 5), (-4, 3), (5, 0)):
        sliced = lazy.slice(offset, length).collect(engine=engine)
        assert_bars_equal(sliced, expected.slice(offset, length))
    assert_bars_equal(lazy.tail(4).collect(engine=engine), expected.tail(4))
    assert_bars_equal(lazy.first().collect(engine=engine), expected.head(1))
    assert_bars_equal(lazy.last().collect(engine=engine), expected.tail(1))


ON_BARS: dict[str, pl.Expr] = {
    "a price": pl.col("close") > 101,
    "two columns": pl.col("close") > pl.col("open"),
    "a name that the trades have too": pl.col("first_trade_id") > 300,
    "the other such name": pl.col("last_trade_id") < 700,
    "unfinished": ~pl.col("is_complete"),
    "a count": pl.col("trade_count") == 2,
    "nothing is left": pl.col("volume") < 0,
    "a literal": pl.lit(True),
    "a null literal": pl.lit(None, dtype=pl.Boolean),
    "bars on both sides of an or": (pl.col("symbol") == "S1") | (pl.col("close") > 101),
    "key and bar": (pl.col("symbol") == "S1") & (pl.col("close") > 101),
    "a position": pl.int_range(pl.len()) % 3 == 1,
    "a comparison with the row before": pl.col("close") > pl.col("close").shift(1),
    "an aggregate": pl.col("volume") > pl.col("volume").mean(),
    "over a key": pl.col("volume") == pl.col("volume").max().over("symbol"),
}

ON_KEYS: dict[str, pl.Expr] = {
    "one key": pl.col("symbol") == "S1",
    "some keys": pl.col("symbol").is_in(["S0", "S2"]),
    "no key": pl.col("symbol") == "nobody",
    "not null": pl.col("symbol").is_not_null(),
    "a function of the key": pl.col("symbol").str.ends_with("2"),
    "an or of keys": (pl.col("symbol") == "S0") | (pl.col("symbol") == "S1"),
}

# Of keys alone, but about their neighbours: to push these below the bars would change them.
NOT_ROW_BY_ROW: dict[str, pl.Expr] = {
    "first of its kind": pl.col("symbol").is_first_distinct(),
    "last of its kind": pl.col("symbol").is_last_distinct(),
    "other than the one before": pl.col("symbol") != pl.col("symbol").shift(1),
    "the first of all": pl.col("symbol") == pl.col("symbol").first(),
    "the most frequent": pl.col("symbol") == pl.col("symbol").mode().first(),
    "the third of its key": pl.col("symbol").cum_count().over("symbol") == 3,
    "frequent": pl.len().over("symbol") > 40,
    "like its mirror image": pl.col("symbol") == pl.col("symbol").reverse(),
}


@EVERY_ENGINE
@pytest.mark.parametrize("kind", [*ON_BARS, *ON_KEYS, *NOT_ROW_BY_ROW])
def test_predicates_filter_bars_and_not_trades(kind: str, engine: EngineType) -> None:
    predicate = {**ON_BARS, **ON_KEYS, **NOT_ROW_BY_ROW}[kind]
    lazy = rb.range_bars(source().scan(), THRESHOLD, by="symbol", incomplete="keep")
    bars = oracle_bars(walk(), THRESHOLD, by=["symbol"], incomplete="keep")
    assert_bars_equal(lazy.filter(predicate).collect(engine=engine), bars.filter(predicate))
    # With a projection that drops the predicate's columns, and with slices on either side of it.
    few = lazy.filter(predicate).select("open_time", "close")
    expected = bars.filter(predicate)
    assert_bars_equal(few.collect(engine=engine), expected.select("open_time", "close"))
    assert_bars_equal(lazy.filter(predicate).head(3).collect(engine=engine), expected.head(3))
    after = lazy.head(20).filter(predicate).collect(engine=engine)
    assert_bars_equal(after, bars.head(20).filter(predicate))


@EVERY_ENGINE
@pytest.mark.parametrize("predicate", ON_KEYS.values(), ids=ON_KEYS)
def test_key_predicates_reach_the_scan(predicate: pl.Expr, engine: EngineType) -> None:
    counter = source()
    lazy = rb.range_bars(counter.scan(), THRESHOLD, by="symbol")
    lazy.filter(predicate).collect(engine=engine)
    assert counter.runs == 1
    pushed = counter.predicates[-1]
    assert pushed is not None
    assert "symbol" in pushed


@EVERY_ENGINE
def test_of_a_mixed_predicate_the_key_part_reaches_the_scan(engine: EngineType) -> None:
    counter = source()
    lazy = rb.range_bars(counter.scan(), THRESHOLD, by="symbol")
    both = (pl.col("symbol") == "S1") & (pl.col("close") > 101)
    lazy.filter(both).collect(engine=engine)
    lazy.filter(pl.col("symbol") == "S1").filter(pl.col("close") > 101).collect(engine=engine)
    for pushed in counter.predicates:
        assert pushed is not None
        assert "symbol" in pushed
        assert "101" not in pushed


@EVERY_ENGINE
@pytest.mark.parametrize("kind", [*ON_BARS, *NOT_ROW_BY_ROW])
def test_other_predicates_do_not_reach_the_scan(kind: str, engine: EngineType) -> None:
    if kind == "key and bar":
        return  # half of it may, see above
    counter = source()
    lazy = rb.range_bars(counter.scan(), THRESHOLD, by="symbol")
    lazy.filter({**ON_BARS, **NOT_ROW_BY_ROW}[kind]).collect(engine=engine)
    assert counter.predicates in ([], [None])


@EVERY_ENGINE
def test_predicates_on_bar_ids_filter_after_the_machine(engine: EngineType) -> None:
    frame = walk()
    expected = rb.with_bar_id(frame, THRESHOLD, by="symbol")
    lazy = rb.with_bar_id(source().scan(), THRESHOLD, by="symbol")
    for predicate in (
        pl.col("bar_id") == 3,
        pl.col("price") > 101,
        pl.col("symbol") == "S1",
        (pl.col("symbol") == "S1") & (pl.col("price") > 101),
        pl.col("agg_trade_id") >= 300,
    ):
        out = lazy.filter(predicate).collect(engine=engine)
        assert_same_bits(out, expected.filter(predicate))
        few = lazy.filter(predicate).select("bar_id").head(5).collect(engine=engine)
        assert_same_bits(few, expected.filter(predicate).select("bar_id").head(5))
        after = lazy.head(50).filter(predicate).collect(engine=engine)
        assert_same_bits(after, expected.head(50).filter(predicate))


def is_odd_in_cents(price: float) -> bool:
    return round(price * 100) % 2 == 1


def is_not_s1(symbol: str) -> bool:
    return "/".join(symbol) != "S/1"  # too odd for Polars to suggest an expression instead


@EVERY_ENGINE
def test_predicates_that_carry_python_functions(engine: EngineType) -> None:
    lazy = rb.range_bars(source().scan(), THRESHOLD, by="symbol")
    bars = oracle_bars(walk(), THRESHOLD, by=["symbol"])
    on_bars = pl.col("close").map_elements(is_odd_in_cents, return_dtype=pl.Boolean)
    on_keys = pl.col("symbol").map_elements(is_not_s1, return_dtype=pl.Boolean)
    for predicate, expected in (
        (on_bars, bars.filter(on_bars)),
        (on_keys, bars.filter(pl.col("symbol") != "S1")),
    ):
        assert_bars_equal(lazy.filter(predicate).collect(engine=engine), expected)


@EVERY_ENGINE
def test_collecting_twice_gives_the_same(engine: EngineType) -> None:
    counter = source()
    lazy = rb.range_bars(counter.scan(), [THRESHOLD, 100], by="symbol", incomplete="keep")
    first = lazy.collect(engine=engine)
    assert_same_bits(lazy.collect(engine=engine), first)
    assert_same_bits(lazy.head(7).collect(engine=engine), first.head(7))
    assert_same_bits(lazy.collect(engine=engine), first)
    assert counter.runs == 4


QUERIES: dict[str, Callable[[pl.LazyFrame], pl.LazyFrame]] = {
    "all": lambda bars: bars,
    "a projection": lambda bars: bars.select("close", "symbol"),
    "a key": lambda bars: bars.filter(pl.col("symbol") == "S1"),
    "a bar": lambda bars: bars.filter(pl.col("volume") > 20).select("open"),
    "key, bar and head": lambda bars: bars.filter(
        (pl.col("symbol") == "S1") & (pl.col("volume") > 20)
    ).head(4),
    "head, then a key": lambda bars: bars.head(30).filter(pl.col("symbol") == "S1"),
    "computed": lambda bars: bars.with_columns(range=pl.col("high") - pl.col("low")).filter(
        pl.col("range") > 1.2
    ),
    "grouped": lambda bars: bars.group_by("symbol", maintain_order=True).agg(
        pl.col("trade_count").sum(), pl.len()
    ),
    "twice in one plan": lambda bars: bars.join(
        bars.select("symbol", "close_time", later="close"),
        on=["symbol", "close_time"],
        maintain_order="left_right",
    ),
    "renamed": lambda bars: bars.rename({"symbol": "s"}).filter(pl.col("s") == "S2"),
}


@EVERY_ENGINE
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_optimized_and_unoptimized_plans_agree(
    query: Callable[[pl.LazyFrame], pl.LazyFrame], engine: EngineType
) -> None:
    lazy = query(rb.range_bars(source().scan(), THRESHOLD, by="symbol", incomplete="keep"))
    unoptimized = lazy.collect(engine=engine, optimizations=pl.QueryOptFlags.none())
    expected = query(
        oracle_bars(walk(), THRESHOLD, by=["symbol"], incomplete="keep").lazy()
    ).collect()
    assert_bars_equal(unoptimized, expected)
    assert_bars_equal(lazy.collect(engine=engine), expected)
