"""Lazy bars inside larger plans, in several threads, on one thread, in a file, in a pickle."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from polars._typing import EngineType

import rangebar_polars as rb
from tests.support.children import run_child
from tests.support.compare import assert_same_bits
from tests.support.doors import ENGINES
from tests.support.sources import batched
from tests.support.trades import walk

EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)


def bars_of(frame: pl.LazyFrame, threshold: int = 500) -> pl.LazyFrame:
    return rb.range_bars(frame, threshold, by="symbol", incomplete="keep")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trades in Parquet, in many row groups."""
    path = tmp_path_factory.mktemp("nesting") / "trades.parquet"
    walk(20_000).write_parquet(path, row_group_size=1000)
    return path


@pytest.fixture(scope="module")
def expected(file: Path) -> pl.DataFrame:
    return bars_of(pl.read_parquet(file).lazy()).collect()


@EVERY_ENGINE
def test_in_concat(file: Path, expected: pl.DataFrame, engine: EngineType) -> None:
    eight = pl.concat([bars_of(pl.scan_parquet(file)) for _ in range(8)])
    assert_same_bits(eight.collect(engine=engine), pl.concat([expected] * 8))


@EVERY_ENGINE
def test_in_diagonal_and_horizontal_concat(
    file: Path, expected: pl.DataFrame, engine: EngineType
) -> None:
    lazy = bars_of(pl.scan_parquet(file))
    parts = [lazy.drop("volume"), lazy]
    diagonal = pl.concat(parts, how="diagonal").collect(engine=engine)
    assert_same_bits(diagonal, pl.concat([expected.drop("volume"), expected], how="diagonal"))
    beside = pl.concat([lazy.select("open"), lazy.select("close")], how="horizontal")
    assert_same_bits(beside.collect(engine=engine), expected.select("open", "close"))


@EVERY_ENGINE
def test_in_joins(file: Path, expected: pl.DataFrame, engine: EngineType) -> None:
    lazy = bars_of(pl.scan_parquet(file))
    other = bars_of(pl.scan_parquet(file), 100)
    keys = ["symbol", "first_agg_trade_id"]
    joined = lazy.join(other, on=keys, maintain_order="left").collect(engine=engine)
    second = bars_of(pl.scan_parquet(file), 100).collect()
    assert_same_bits(joined, expected.join(second, on=keys, maintain_order="left"))
    assert joined.height > 10
    as_of = lazy.sort("close_time").join_asof(
        other.select("close_time", "symbol", inner="close").sort("close_time"),
        on="close_time",
        by="symbol",
    )
    assert as_of.collect(engine=engine).height == expected.height


@EVERY_ENGINE
def test_trades_joined_with_their_bars(file: Path, engine: EngineType) -> None:
    trades = pl.scan_parquet(file)
    with_ids = rb.with_bar_id(trades, 500, by="symbol")
    tops = with_ids.group_by("symbol", "bar_id").agg(top=pl.col("price").max())
    joined = with_ids.join(tops, on=["symbol", "bar_id"], maintain_order="left")
    out = joined.collect(engine=engine)
    assert (out["top"] >= out["price"]).all()
    assert out["agg_trade_id"].to_list() == list(range(20_000))


@EVERY_ENGINE
def test_in_group_by(file: Path, expected: pl.DataFrame, engine: EngineType) -> None:
    def grouped(bars: pl.LazyFrame) -> pl.LazyFrame:
        return bars.group_by("symbol").agg(pl.len(), pl.col("trade_count").sum()).sort("symbol")

    out = grouped(bars_of(pl.scan_parquet(file))).collect(engine=engine)
    assert_same_bits(out, grouped(expected.lazy()).collect())
    assert out["trade_count"].sum() == 20_000


def test_the_users_own_aggregations_over_bar_ids(file: Path, expected: pl.DataFrame) -> None:
    own = (
        rb.with_bar_id(pl.scan_parquet(file), 500, by="symbol")
        .group_by("symbol", "bar_id", maintain_order=True)
        .agg(pl.col("price").last().alias("close"), pl.col("agg_trade_id").first())
        .sort("symbol", "agg_trade_id")
        .collect(engine="streaming")
    )
    same = expected.sort("symbol", "first_agg_trade_id")
    assert own["close"].to_list() == same["close"].to_list()


@EVERY_ENGINE
def test_sinks(file: Path, expected: pl.DataFrame, tmp_path: Path, engine: EngineType) -> None:
    lazy = bars_of(pl.scan_parquet(file))
    lazy.sink_parquet(tmp_path / "bars.parquet", engine=engine)
    assert_same_bits(pl.read_parquet(tmp_path / "bars.parquet"), expected)
    lazy.sink_ipc(tmp_path / "bars.arrow", engine=engine)
    assert_same_bits(pl.read_ipc(tmp_path / "bars.arrow"), expected)


def test_two_sinks_in_one_query(file: Path, expected: pl.DataFrame, tmp_path: Path) -> None:
    lazy = bars_of(pl.scan_parquet(file))
    sinks = [
        lazy.sink_parquet(tmp_path / "all.parquet", lazy=True),
        lazy.filter("is_complete").sink_parquet(tmp_path / "closed.parquet", lazy=True),
    ]
    pl.collect_all(sinks)
    assert_same_bits(pl.read_parquet(tmp_path / "all.parquet"), expected)
    closed = pl.read_parquet(tmp_path / "closed.parquet")
    assert_same_bits(closed, expected.filter("is_complete"))


@EVERY_ENGINE
def test_collect_all(file: Path, engine: EngineType) -> None:
    thresholds = (50, 100, 250, 500, 1000, 2000)
    lazies = [bars_of(pl.scan_parquet(file), threshold) for threshold in thresholds]
    for threshold, bars in zip(thresholds, pl.collect_all(lazies, engine=engine), strict=True):
        assert_same_bits(bars, bars_of(pl.scan_parquet(file), threshold).collect())


@EVERY_ENGINE
def test_several_threads(file: Path, expected: pl.DataFrame, engine: EngineType) -> None:
    shared = bars_of(pl.scan_parquet(file))

    def work(number: int) -> pl.DataFrame:
        lazy = shared if number % 2 else bars_of(pl.scan_parquet(file))
        return lazy.collect(engine=engine)

    with ThreadPoolExecutor(6) as pool:
        for bars in pool.map(work, range(18)):
            assert_same_bits(bars, expected)


CLOSES = {"timestamp": "close_time", "price": "close", "quantity": "volume"}


def bars_of_bars(trades: pl.LazyFrame, depth: int) -> pl.LazyFrame:
    """Bars of the closes of bars, of the closes of bars, and so on."""
    lazy = rb.range_bars(trades, 100, by="symbol")
    for _ in range(depth):
        closes = lazy.select("symbol", *CLOSES.values())
        lazy = rb.range_bars(closes, 100, by="symbol", columns=CLOSES)
    return lazy


@EVERY_ENGINE
def test_bars_of_bars_of_bars(file: Path, engine: EngineType) -> None:
    expected = rb.range_bars(pl.read_parquet(file), 100, by="symbol")
    for depth in range(1, 5):
        closes = expected.select("symbol", *CLOSES.values())
        expected = rb.range_bars(closes, 100, by="symbol", columns=CLOSES)
        lazy = bars_of_bars(pl.scan_parquet(file), depth)
        assert_same_bits(lazy.collect(engine=engine), expected)
        assert expected.height > 20


def test_a_query_inside_a_query(file: Path, expected: pl.DataFrame) -> None:
    # Streaming only: the in-memory engine would have the engine's own threads wait for the plan
    # that they are to run, for it calls a source on the thread that asked.
    def inner(batch: pl.DataFrame) -> pl.DataFrame:
        bars = bars_of(pl.scan_parquet(file)).collect(engine="streaming")
        assert_same_bits(bars, expected)
        return batch

    lazy = bars_of(walk(600).lazy().map_batches(inner, streamable=True))
    expected_outside = bars_of(walk(600).lazy()).collect()
    for _ in range(5):
        assert_same_bits(lazy.collect(engine="streaming"), expected_outside)


ON_FEW_THREADS = """
import sys
import polars as pl
import rangebar_polars as rb
from tests.test_nesting import bars_of, bars_of_bars

path, target = sys.argv[1:]
assert pl.thread_pool_size() == 1

def lazy():
    return bars_of(pl.scan_parquet(path))

for engine in ("streaming", "in-memory"):
    bars = lazy().collect(engine=engine)
    eight = pl.concat([lazy() for _ in range(8)]).collect(engine=engine)
    assert eight.height == 8 * bars.height
    bars_of_bars(pl.scan_parquet(path), 3).collect(engine=engine)
    lazy().join(lazy(), on=["symbol", "first_agg_trade_id"]).collect(engine=engine)
    for again in pl.collect_all([lazy() for _ in range(4)], engine=engine):
        assert again.equals(bars)
    lazy().head(3).collect(engine=engine)
lazy().sink_parquet(target)
"""


def test_one_polars_thread(file: Path, expected: pl.DataFrame, tmp_path: Path) -> None:
    target = tmp_path / "bars.parquet"
    run_child(ON_FEW_THREADS, str(file), str(target), POLARS_MAX_THREADS="1")
    assert_same_bits(pl.read_parquet(target), expected)


def test_a_plan_survives_pickling(file: Path, expected: pl.DataFrame) -> None:
    lazy = bars_of(pl.scan_parquet(file)).filter(pl.col("symbol") == "S1")
    again = pickle.loads(pickle.dumps(lazy))
    assert_same_bits(again.collect(), expected.filter(pl.col("symbol") == "S1"))
    ids = rb.with_bar_id(pl.scan_parquet(file), 500, by="symbol")
    assert_same_bits(pickle.loads(pickle.dumps(ids)).collect(), ids.collect())


def test_a_plan_survives_serialization(file: Path, expected: pl.DataFrame) -> None:
    lazy = bars_of(pl.scan_parquet(file)).select("symbol", "close")
    again = pl.LazyFrame.deserialize(io.BytesIO(lazy.serialize()))
    assert_same_bits(again.collect(), expected.select("symbol", "close"))


IN_A_NEW_PROCESS = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    lazy = pickle.load(file)
lazy.sink_parquet(sys.argv[2])
"""


def test_a_pickled_plan_runs_in_another_process(
    file: Path, expected: pl.DataFrame, tmp_path: Path
) -> None:
    plan, target = tmp_path / "plan.pickle", tmp_path / "bars.parquet"
    plan.write_bytes(pickle.dumps(bars_of(pl.scan_parquet(file))))
    run_child(IN_A_NEW_PROCESS, str(plan), str(target))
    assert_same_bits(pl.read_parquet(target), expected)


def test_expressions_survive_pickling() -> None:
    frame = walk()
    for expression in (
        rb.bar_id(rule=500).over("symbol"),
        rb.bars(rule="wide", is_buyer_maker="is_buyer_maker"),
    ):
        again = pickle.loads(pickle.dumps(expression))
        assert_same_bits(frame.select(again), frame.select(expression))


def test_a_copy_of_a_frame_is_independent() -> None:
    lazy = bars_of(batched(walk(), [100] * 6))
    expected = lazy.collect()
    assert_same_bits(lazy.clone().collect(), expected)
    assert_same_bits(lazy.cache().collect(), expected)
    assert_same_bits(lazy.collect(background=True).fetch_blocking(), expected)
