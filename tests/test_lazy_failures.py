"""What goes wrong below the bars comes out above them, as itself; and nothing hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from polars._typing import EngineType
from polars.io.plugins import register_io_source

import rangebar_polars as rb
from tests.support.children import child_environment
from tests.support.compare import assert_same_bits
from tests.support.doors import ENGINES
from tests.support.trades import walk

EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)


class UnpluggedError(Exception):
    """An error that only this test knows."""


def failing_source(error: BaseException, after: int) -> pl.LazyFrame:
    """Trades that fail after so many batches."""
    frame = walk(2000)

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del n_rows, batch_size
        for batch in range(20):
            if batch == after:
                raise error
            out = frame.slice(batch * 100, 100)
            out = out if predicate is None else out.filter(predicate)
            yield out if with_columns is None else out.select(with_columns)

    return register_io_source(read, schema=frame.schema)


def both(lazy: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    return rb.range_bars(lazy, 250), rb.with_bar_id(lazy, 250)


ERRORS: dict[str, BaseException] = {
    "custom": UnpluggedError("the cable is out"),
    "value": ValueError("the cable is out"),
    "memory": MemoryError("the cable is out"),
    "operating system": OSError(5, "the cable is out"),
    "polars": pl.exceptions.SchemaError("the cable is out"),
    "ours, of an inner plan": rb.RangeBarError("the cable is out"),
    "interrupt": KeyboardInterrupt("the cable is out"),
    "exit": SystemExit("the cable is out"),
    "stop": StopIteration("the cable is out"),
}


@EVERY_ENGINE
@pytest.mark.parametrize("after", [0, 1, 19])
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_an_error_of_the_source_keeps_its_type(
    error: BaseException, after: int, engine: EngineType
) -> None:
    with pytest.raises(BaseException, match="the cable is out|StopIteration") as plain:
        failing_source(error, after).collect(engine=engine)
    for lazy in both(failing_source(error, after)):
        with pytest.raises(type(plain.value), match="the cable is out|StopIteration"):
            lazy.collect(engine=engine)


@EVERY_ENGINE
def test_a_panic_below_is_a_panic_above(engine: EngineType) -> None:
    # Raised in Python it is resumed as a panic in Rust, in one of the engine's own tasks.
    def panic(batch: pl.DataFrame) -> pl.DataFrame:
        if (batch["agg_trade_id"] > 1500).any():
            raise pl.exceptions.PanicException("the floor is lava")
        return batch

    trades = walk(2000).lazy().map_batches(panic, streamable=True)
    for lazy in both(trades):
        with pytest.raises(pl.exceptions.PanicException):
            lazy.collect(engine=engine)
    for lazy in both(failing_source(pl.exceptions.PanicException("the floor is lava"), 7)):
        with pytest.raises(pl.exceptions.PanicException):
            lazy.collect(engine=engine)


@EVERY_ENGINE
def test_an_error_of_a_function_keeps_its_type(engine: EngineType) -> None:
    def unplug(values: pl.Series) -> pl.Series:
        if (values > 101).any():
            raise UnpluggedError("the cable is out")
        return values

    mapped = pl.col("price").map_batches(unplug, return_dtype=pl.Float64, is_elementwise=True)
    for lazy in both(walk(2000).lazy().with_columns(mapped)):
        with pytest.raises(UnpluggedError, match="the cable is out"):
            lazy.collect(engine=engine)


def error_of(lazy: pl.LazyFrame, engine: EngineType) -> BaseException:
    try:
        lazy.collect(engine=engine)
    except BaseException as error:  # noqa: BLE001 - a panic is none of Exception
        return error
    pytest.fail("an error was swallowed")


@EVERY_ENGINE
def test_errors_that_polars_makes(tmp_path: Path, engine: EngineType) -> None:
    frame = walk(2000)
    whole = tmp_path / "whole.parquet"
    frame.write_parquet(whole, row_group_size=100)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(whole.read_bytes()[:20_000])
    corrupt = tmp_path / "corrupt.parquet"
    content = bytearray(whole.read_bytes())
    content[3_000:12_000] = b"\xff" * 9_000
    corrupt.write_bytes(content)
    broken: dict[str, pl.LazyFrame] = {
        "torn": pl.scan_parquet([whole, torn], schema=frame.schema),
        "corrupt": pl.scan_parquet(corrupt, schema=frame.schema),
        "absent": pl.scan_parquet(tmp_path / "absent.parquet", schema=frame.schema),
        "cast": frame.lazy().with_columns(
            price=pl.when(pl.col("agg_trade_id") == 1500)
            .then(pl.lit("much"))
            .otherwise(pl.col("price").cast(pl.String))
            .cast(pl.Float64)
        ),
    }
    for trades in broken.values():
        plain = error_of(trades.select("timestamp", "price", "quantity"), engine="streaming")
        ours = error_of(rb.range_bars(trades, 250), engine=engine)
        assert type(ours) is type(plain)


@EVERY_ENGINE
def test_a_column_missing_below(engine: EngineType) -> None:
    trades = walk().lazy().select("timestamp", pl.col("pirce").alias("price"), "quantity")
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="pirce"):
        rb.range_bars(trades, 250).collect(engine=engine)
    bars = rb.range_bars(walk().lazy(), 250).select("clsoe")
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="clsoe"):
        bars.collect(engine=engine)


@EVERY_ENGINE
def test_an_error_above_stops_the_query_below(engine: EngineType) -> None:
    def unplug(bars: pl.DataFrame) -> pl.DataFrame:
        raise UnpluggedError("the cable is out")

    bars = rb.range_bars(walk(2000).lazy(), 250).map_batches(unplug, streamable=True)
    for _ in range(3):
        with pytest.raises(UnpluggedError):
            bars.collect(engine=engine)


@EVERY_ENGINE
def test_abandoned_queries_leave_no_thread_behind(engine: EngineType) -> None:
    frame = walk(20_000)
    before = set(threading.enumerate())
    for _ in range(5):
        rb.range_bars(frame.lazy(), 250).head(1).collect(engine=engine)
        with pytest.raises(UnpluggedError):
            rb.range_bars(failing_source(UnpluggedError(), 3), 250).collect(engine=engine)
        with pytest.raises(pl.exceptions.ComputeError, match="row 0: "):
            rb.range_bars(frame.lazy().with_columns(price=-1.0), 250).collect(engine=engine)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
        assert not thread.is_alive()


@EVERY_ENGINE
def test_after_a_failure_the_same_frame_works_again(engine: EngineType) -> None:
    healthy = False
    frame = walk(2000)

    def sometimes(batch: pl.DataFrame) -> pl.DataFrame:
        if not healthy:
            raise UnpluggedError("the cable is out")
        return batch

    lazy = rb.range_bars(frame.lazy().map_batches(sometimes, streamable=True), 250)
    with pytest.raises(UnpluggedError):
        lazy.collect(engine=engine)
    healthy = True
    assert_same_bits(lazy.collect(engine=engine), rb.range_bars(frame, 250))


ENDLESS = """
import signal
import sys
import threading
import polars as pl
import rangebar_polars as rb

path, engine, what = sys.argv[1:]
# No clock and no ids, so that the same file may come again and again.
trades = pl.scan_parquet([path] * 20_000)
columns = {"timestamp": None, "agg_trade_id": None}
if what == "bars":
    lazy = rb.range_bars(trades, 100_000, by=None, columns=columns).select("close")
else:
    lazy = rb.with_bar_id(trades, 100_000, by=None, columns=columns)
    lazy = lazy.select(pl.col("bar_id").max())
print("started", flush=True)
# Both Polars and Python answer to the signal, so that the exception may come twice in a row.
try:
    try:
        lazy.collect(engine=engine)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
else:
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
print("interrupted", flush=True)
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(timeout=30)
        assert not thread.is_alive(), f"{thread} outlived the query"
# The interpreter is as good as new.
frame = pl.DataFrame({"price": [1.0, 2.0]})
again = rb.range_bars(frame.lazy(), 250, columns={"timestamp": None, "quantity": None}).collect()
print(again.height, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
@pytest.mark.parametrize("what", ["bars", "ids"])
@pytest.mark.parametrize("engine", ENGINES)
def test_ctrl_c_ends_a_query(tmp_path: Path, engine: str, what: str) -> None:
    file = tmp_path / "trades.parquet"
    walk(200_000).write_parquet(file)
    with subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(file), engine, what],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "started\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout=2)  # let it get going
            child.send_signal(signal.SIGINT)
            # Left alone it would run for many minutes.
            out, error = child.communicate(timeout=120)
        finally:
            child.kill()
    assert out == "interrupted\n1\n", error
    assert child.returncode == 0, error


@EVERY_ENGINE
def test_the_main_thread_is_free_while_a_query_waits(engine: EngineType) -> None:
    # A source that waits for the main thread would deadlock if the query held the interpreter.
    gate = threading.Event()
    frame = walk(200)

    def read(
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del predicate, n_rows, batch_size
        assert gate.wait(timeout=60)
        yield frame if with_columns is None else frame.select(with_columns)

    def collect(lazy: pl.LazyFrame, into: list[pl.DataFrame]) -> Callable[[], None]:
        return lambda: into.append(lazy.collect(engine=engine))

    results: list[pl.DataFrame] = []
    lazy = rb.range_bars(register_io_source(read, schema=frame.schema), 500)
    worker = threading.Thread(target=collect(lazy, results))
    worker.start()
    gate.set()
    worker.join(timeout=60)
    assert_same_bits(results[0], rb.range_bars(frame, 500))
