"""The same bits however the trades are cut into batches, and whoever runs the plan."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars._typing import EngineType
from polars.exceptions import ComputeError

import rangebar_polars as rb
from tests.support.children import run_child
from tests.support.compare import assert_same_bits
from tests.support.doors import DOORS, ENGINES
from tests.support.real_data import real_trades
from tests.support.sources import batched
from tests.support.strategies import SCHEMA, Case, bar_cases, splits, trades
from tests.support.trades import walk

THRESHOLDS = [25, 250, 100]
"""Three at once, not in order of size."""


def bars_of(frame: pl.LazyFrame) -> pl.LazyFrame:
    return rb.range_bars(frame, THRESHOLDS, by="symbol", incomplete="keep")


def chunked(frame: pl.DataFrame, lengths: list[int]) -> pl.DataFrame:
    """Give the same rows as a frame of several chunks."""
    starts = [sum(lengths[:part]) for part in range(len(lengths))]
    parts = [frame.slice(*span) for span in zip(starts, lengths, strict=True)]
    return pl.concat(parts or [frame], rechunk=False)


@given(data=st.data(), trades=trades(keys=3))
def test_any_batches_of_a_source(data: st.DataObject, trades: pl.DataFrame) -> None:
    whole = bars_of(trades.lazy()).collect()
    lengths = data.draw(splits(trades.height))
    for engine in ENGINES:
        assert_same_bits(bars_of(batched(trades, lengths)).collect(engine=engine), whole)


def test_every_cut_into_two() -> None:
    trades = walk(150)
    whole = bars_of(trades.lazy()).collect()
    assert whole["is_complete"].sum() > 10
    for cut in range(trades.height + 1):
        two = batched(trades, [cut, trades.height - cut])
        assert_same_bits(bars_of(two).collect(engine="streaming"), whole)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("length", [1, 2, 7, 97])
def test_batches_of_one_length(length: int, engine: EngineType) -> None:
    trades = walk(600)
    whole = bars_of(trades.lazy()).collect()
    starts = range(0, trades.height, length)
    lengths = [min(length, trades.height - start) for start in starts]
    assert_same_bits(bars_of(batched(trades, lengths)).collect(engine=engine), whole)
    slices = pl.concat([trades.slice(start, length).lazy() for start in starts])
    assert_same_bits(bars_of(slices).collect(engine=engine), whole)


@given(data=st.data(), case=bar_cases())
def test_any_chunks_through_every_door(data: st.DataObject, case: Case) -> None:
    lengths = data.draw(splits(case.trades.height))
    in_chunks = chunked(case.trades, lengths)
    whole = rb.range_bars(case.trades, case.threshold, by=None, incomplete=case.incomplete)
    for door in DOORS.values():
        bars = door(in_chunks, case.threshold, incomplete=case.incomplete)
        assert_same_bits(bars, whole)


@given(data=st.data(), trades=trades(keys=2))
def test_any_chunks_get_the_same_ids(data: st.DataObject, trades: pl.DataFrame) -> None:
    lengths = data.draw(splits(trades.height))
    whole = rb.with_bar_id(trades, 250, by="symbol")
    assert_same_bits(rb.with_bar_id(chunked(trades, lengths), 250, by="symbol"), whole)
    lazy = rb.with_bar_id(batched(trades, lengths), 250, by="symbol")
    assert_same_bits(lazy.collect(engine="streaming"), whole)
    ids = rb.bar_id(rule=250).over("symbol").alias("bar_id")
    assert_same_bits(chunked(trades, lengths).with_columns(ids), whole)


def test_chunks_that_differ_between_columns() -> None:
    trades = walk(50).drop("symbol")
    whole = rb.range_bars(trades, 250, incomplete="keep")
    pieces = [[10, 40], [50], [1, 0, 49], [25, 25], [3, 47], [49, 1], [50, 0]]
    columns = [
        chunked(trades.select(name), lengths).to_series()
        for name, lengths in zip(trades.columns, pieces, strict=True)
    ]
    ragged = pl.DataFrame(columns)
    for door in DOORS.values():
        assert_same_bits(door(ragged, 250, incomplete="keep"), whole)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("row_group_size", [1, 7, 250, 1009, 10_000])
def test_parquet_row_groups(tmp_path: Path, row_group_size: int, engine: EngineType) -> None:
    trades = walk(6000 if row_group_size > 7 else 400)
    whole = bars_of(trades.lazy()).collect()
    file = tmp_path / "trades.parquet"
    trades.write_parquet(file, row_group_size=row_group_size)
    assert_same_bits(bars_of(pl.scan_parquet(file)).collect(engine=engine), whole)


def test_several_parquet_files(tmp_path: Path) -> None:
    trades = walk(6000)
    for part in range(7):
        part_of_file = trades.slice(part * 1000, 1000 if part < 6 else 0)
        part_of_file.write_parquet(tmp_path / f"{part}.parquet", row_group_size=333)
    bars = bars_of(pl.scan_parquet(tmp_path / "*.parquet"))
    assert_same_bits(bars.collect(), bars_of(trades.lazy()).collect())


IN_ANOTHER_PROCESS = """
import sys
import polars as pl
import rangebar_polars as rb

source, engine, target = sys.argv[1:]
lf = pl.scan_parquet(source)
bars = rb.range_bars(lf, [25, 250, 100], by="symbol", incomplete="keep")
bars.collect(engine=engine).write_ipc(target)
print(pl.thread_pool_size())
"""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_thread_counts(tmp_path: Path, threads: int, engine: str) -> None:
    trades = walk(20_000)
    source, target = tmp_path / "trades.parquet", tmp_path / "bars.arrow"
    trades.write_parquet(source, row_group_size=777)
    counted = run_child(
        IN_ANOTHER_PROCESS, str(source), engine, str(target), POLARS_MAX_THREADS=str(threads)
    )
    assert int(counted) == threads
    assert_same_bits(pl.read_ipc(target), bars_of(trades.lazy()).collect())


def test_real_trades_of_two_symbols_in_odd_batches() -> None:
    both = pl.concat(
        [
            real_trades(f"binance_ws_trade_spot_{symbol}_20240808").with_columns(
                symbol=pl.lit(symbol)
            )
            for symbol in ("btcusdt", "ethusdt")
        ]
    ).sort("timestamp", maintain_order=True)
    whole = bars_of(both.lazy()).collect()
    assert whole.height > 100
    lengths = [1, 999, 0, 4321, 1, 1]
    lengths.append(both.height - sum(lengths))
    assert_same_bits(bars_of(batched(both, lengths)).collect(engine="streaming"), whole)


@pytest.mark.parametrize("lengths", [[3000, 3000], [1] * 6000, [2500, 1, 1, 3498]])
def test_a_bad_trade_is_the_same_error_in_any_batches(lengths: list[int]) -> None:
    # Two mistakes, in other columns and keys: the first of them in the stream is the one to name.
    row = pl.int_range(6000, eager=True)
    trades = walk(6000).with_columns(
        price=pl.when(row == 2502).then(pl.lit(float("nan"))).otherwise("price"),
        quantity=pl.when(row == 2501).then(-1.0).otherwise("quantity"),
    )
    with pytest.raises(ComputeError, match="column 'quantity', row 2501: ") as whole:
        bars_of(trades.lazy()).collect()
    with pytest.raises(ComputeError) as split:
        bars_of(batched(trades, lengths)).collect(engine="streaming")
    assert str(split.value) == str(whole.value)


@pytest.mark.parametrize("by", [None, "symbol"])
@pytest.mark.parametrize("bad", [5, 3100, 5999])
def test_bars_of_the_batches_before_a_bad_trade_come_out(bad: int, by: str | None) -> None:
    trades = walk(6000).with_columns(
        price=pl.when(pl.int_range(pl.len()) == bad).then(-1.0).otherwise("price")
    )
    got: list[pl.DataFrame] = []
    plan = rb.range_bars(batched(trades, [500] * 12), 100, by=by)
    with pytest.raises(ComputeError, match=f"column 'price', row {bad}: "):
        plan.sink_batches(got.append, maintain_order=True, engine="streaming")
    sound = rb.range_bars(trades.head(bad // 500 * 500), 100, by=by)
    # All of them, those that waited for a frame as well, and none of the batch that was refused.
    assert_same_bits(pl.concat([sound.clear(), *got]), sound)
    assert sound.is_empty() == (bad < 500)


def test_no_batches_with_rows() -> None:
    nothing = pl.DataFrame(schema=SCHEMA)
    for engine in ENGINES:
        bars = bars_of(batched(nothing, [0, 0])).collect(engine=engine)
        assert_same_bits(bars, bars_of(nothing.lazy()).collect())
        assert bars.is_empty()
