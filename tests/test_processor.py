"""Pushing trades: frames, Arrow, single trades; states kept and resumed."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.compare import assert_same_bits
from tests.support.strategies import Case, bar_cases
from tests.support.trades import paced, walk

pa = pytest.importorskip("pyarrow")

OPTIONS: dict[str, Any] = {
    "by": "symbol",
    "incomplete": "keep",
    "reset": "1d",
    "max_gap": "3h",
}


def over_days(rows: int) -> pl.DataFrame:
    """A walk over some days, so that resets and gaps happen."""
    return paced(walk(rows), timedelta(minutes=11), silence=timedelta(minutes=200))


def pushed(processor: rb.RangeBarProcessor, parts: list[pl.DataFrame]) -> pl.DataFrame:
    bars = [processor.push(part) for part in parts]
    return pl.concat([*bars, processor.finish()])


def test_a_chain_of_checkpoints_at_every_trade_is_one_run():
    trades = over_days(150)
    want = rb.range_bars(trades, [100, 250, 700], **OPTIONS)
    processor = rb.RangeBarProcessor([100, 250, 700], **OPTIONS)
    bars: list[pl.DataFrame] = []
    for row in range(trades.height):
        bars.append(processor.push(trades[row]))
        processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    assert_same_bits(pl.concat([*bars, processor.finish()]), want)


@pytest.mark.parametrize("cut", range(0, 3000, 333))
def test_one_checkpoint_anywhere_in_a_long_run(cut):
    trades = over_days(3000)
    want = rb.range_bars(trades, [100, 250], **OPTIONS)
    processor = rb.RangeBarProcessor([100, 250], **OPTIONS)
    first = processor.push(trades[:cut])
    processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    assert_same_bits(pl.concat([first, pushed(processor, [trades[cut:]])]), want)


@settings(deadline=None, max_examples=60)
@given(case=bar_cases(max_size=40), data=st.data())
def test_random_trades_stopped_anywhere(case: Case, data: st.DataObject):
    trades = case.trades.drop("symbol")
    options: dict[str, Any] = {
        "same_timestamp_close": case.same_timestamp_close,
        "incomplete": case.incomplete,
    }
    cut = data.draw(st.integers(0, trades.height))
    processor = rb.RangeBarProcessor(case.threshold, **options)
    first = processor.push(trades[:cut])
    processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    bars = pl.concat([first, processor.push(trades[cut:]), processor.finish()])
    assert_same_bits(bars, rb.range_bars(trades, case.threshold, **options))


KEYS = {
    "string": pl.Series(["a", "b", None, "a"]),
    "categorical": pl.Series(["a", "b", "a", "b"], dtype=pl.Categorical),
    "enum": pl.Series(["a", "b", "a", "b"], dtype=pl.Enum(["a", "b"])),
    "integer": pl.Series([1, 2, 1, None], dtype=pl.UInt8),
    "boolean": pl.Series([True, False, None, True]),
    "date": pl.Series([date(2024, 1, 1), date(2024, 1, 2)] * 2),
    "datetime": pl.Series([datetime(2024, 1, 1)] * 4).dt.replace_time_zone("Europe/Berlin"),
    "decimal": pl.Series([Decimal("1.5"), Decimal("2.5")] * 2),
    "struct": pl.Series([{"x": 1, "y": "a"}, {"x": 2, "y": "b"}] * 2),
    "float": pl.Series([1.0, float("nan"), 1.0, float("nan")]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type_survive_a_checkpoint(kind):
    trades = pl.DataFrame(
        {
            "key": KEYS[kind],
            "timestamp": [1, 2, 3, 4],
            "price": [1.0, 2.0, 3.0, 4.0],
            "quantity": 1.0,
        }
    )
    options: dict[str, Any] = {"by": "key", "incomplete": "keep"}
    processor = rb.RangeBarProcessor(250, **options)
    first = processor.push(trades[:2])
    processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    assert_same_bits(
        pl.concat([first, pushed(processor, [trades[2:]])]), rb.range_bars(trades, 250, **options)
    )


def test_a_refused_batch_leaves_no_trace():
    trades = over_days(600)
    bad = trades[300:400].with_columns(
        price=pl.when(pl.int_range(100) == 99).then(float("nan")).otherwise("price"),
        symbol=pl.lit("new"),
    )
    processor = rb.RangeBarProcessor(250, **OPTIONS)
    processor.push(trades[:300])
    before = processor.checkpoint()
    table = pl.concat([trades[300:350], bad])
    for refused in (bad, table, table.lazy(), table.to_arrow()):
        with pytest.raises(rb.InvalidTradeError, match="price must be finite, got NaN"):
            processor.push(refused)
        assert processor.checkpoint() == before
    with pytest.raises(rb.InvalidTradeError, match="row 300: price"):
        processor.push_trade(
            timestamp=trades["timestamp"][300],
            price=-1.0,
            quantity=1.0,
            is_buyer_maker=True,
            agg_trade_id=10**6,
            first_trade_id=10**6,
            last_trade_id=10**6,
            key="newer",
        )
    assert processor.checkpoint() == before


def test_a_first_push_that_is_refused_leaves_a_new_processor():
    processor = rb.RangeBarProcessor(250)
    before = processor.checkpoint()
    bad = pa.table({"timestamp": [1, 0], "price": [1.0, 1.0], "quantity": [1.0, 1.0]})
    with pytest.raises(rb.InvalidTradeError, match="go backwards"):
        processor.push(bad)
    assert processor.checkpoint() == before
    # Even one of other columns goes on from here.
    assert (
        processor.push(pl.DataFrame({"timestamp": [0], "price": [1], "quantity": [1]})).height == 0
    )


def test_open_bars_disturb_nothing():
    trades = over_days(500)
    processor = rb.RangeBarProcessor([100, 250], **OPTIONS)
    bars = []
    for start in range(0, 500, 50):
        bars.append(processor.push(trades[start : start + 50]))
        seen = rb.range_bars(trades[: start + 50], [100, 250], **OPTIONS)
        assert_same_bits(processor.open_bars(), seen.tail(processor.open_bars().height))
        assert not processor.open_bars()["is_complete"].any()
    assert_same_bits(
        pl.concat([*bars, processor.finish()]), rb.range_bars(trades, [100, 250], **OPTIONS)
    )


def test_a_finished_processor_takes_no_more():
    processor = rb.RangeBarProcessor(250)
    trades = pl.DataFrame({"timestamp": [1], "price": [1.0], "quantity": [1.0]})
    processor.push(trades)
    processor.finish()
    with pytest.raises(rb.RangeBarError, match="finished"):
        processor.push(trades)
    with pytest.raises(rb.RangeBarError, match="finished"):
        processor.push_trade(timestamp=2, price=1.0, quantity=1.0)


def test_single_trades_are_the_same_as_frames():
    trades = over_days(400)
    processor = rb.RangeBarProcessor([100, 250], **OPTIONS)
    bars = [
        processor.push_trade(key=row.pop("symbol"), **row) for row in trades.iter_rows(named=True)
    ]
    closed = [frame for frame in bars if frame is not None]
    assert_same_bits(
        pl.concat([*closed, processor.finish()]), rb.range_bars(trades, [100, 250], **OPTIONS)
    )


def test_single_trades_with_two_keys_and_aware_times():
    zone = timezone(timedelta(hours=2))
    processor = rb.RangeBarProcessor(250, by=["venue", "symbol"])
    bars = None
    for i, price in enumerate([100.0, 101.0]):
        bars = processor.push_trade(
            timestamp=datetime(2024, 1, 1, 2, i, tzinfo=zone),
            price=price,
            quantity=1.0,
            key=("x", 1),
        )
    assert bars is not None
    assert bars.select("venue", "symbol").row(0) == ("x", 1)
    assert bars["open_time"].item().astimezone(UTC) == datetime(2024, 1, 1, tzinfo=UTC)
    with pytest.raises(TypeError, match="a value for each"):
        processor.push_trade(timestamp=3, price=1.0, quantity=1.0, key="x")


def test_a_single_trade_needs_what_those_before_had():
    processor = rb.RangeBarProcessor(250)
    processor.push(pl.DataFrame({"timestamp": [1], "price": [1.0], "quantity": [1.0]}))
    with pytest.raises(TypeError, match="push_trade needs quantity="):
        processor.push_trade(timestamp=2, price=1.0)


def producers() -> dict[str, Any]:
    trades = over_days(300).drop("symbol")
    table = trades.to_arrow()
    made: dict[str, Any] = {
        "table": table,
        "batch": table.combine_chunks().to_batches()[0],
        "reader": pa.RecordBatchReader.from_batches(
            table.schema, table.to_batches(max_chunksize=7)
        ),
        "polars": trades,
        "lazy": trades.lazy(),
    }
    pandas = pytest.importorskip("pandas")
    made["pandas"] = pandas.DataFrame({c: trades[c].to_numpy() for c in trades.columns})
    duckdb = pytest.importorskip("duckdb")
    made["duckdb"] = duckdb.connect().from_arrow(table)
    return made


@pytest.mark.parametrize("kind", ["table", "batch", "reader", "polars", "lazy", "pandas", "duckdb"])
def test_any_producer_of_arrow(kind):
    trades = over_days(300).drop("symbol")
    processor = rb.RangeBarProcessor(250)
    bars = processor.push(producers()[kind])
    want = rb.range_bars(trades, 250)
    times = pl.col("open_time", "close_time").dt.cast_time_unit("us")
    assert_same_bits(bars.with_columns(times), want.with_columns(times))
    assert processor.report.rows == 300
    assert pa.table(bars).num_rows == want.height


def test_what_is_no_frame_of_trades():
    processor = rb.RangeBarProcessor(250)
    with pytest.raises(TypeError, match="Arrow PyCapsule interface"):
        processor.push([1, 2, 3])  # type: ignore[arg-type]


def test_missing_trades_are_reported():
    trades = walk(100).drop("symbol")
    processor = rb.RangeBarProcessor(250)
    processor.push(trades[:40])
    assert processor.report == rb.PushReport(rows=40)
    assert processor.report.is_contiguous
    processor.push(pl.concat([trades[45:50], trades[51:60]]))
    assert processor.report == rb.PushReport(14, 0, 6, 2, (40, 39, 45))
    assert not processor.report.is_contiguous


def test_repeated_trades_are_refused_or_skipped():
    trades = walk(100).drop("symbol")
    want = rb.range_bars(trades, 250, incomplete="keep")
    for kind in ("error", "skip"):
        processor = rb.RangeBarProcessor(250, incomplete="keep", on_overlap=kind)
        bars = [processor.push(trades[:60])]
        if kind == "error":
            with pytest.raises(rb.InvalidTradeError, match="agg_trade_id must rise") as raised:
                processor.push(trades[50:])
            assert (raised.value.row, raised.value.value) == (60, "50")
            bars.append(processor.push(trades[60:]))
        else:
            bars.append(processor.push(trades[50:]))
            assert processor.report == rb.PushReport(rows=50, skipped=10)
        assert_same_bits(pl.concat([*bars, processor.finish()]), want)


def test_without_ids_times_tell_after_a_checkpoint():
    trades = walk(100).select("timestamp", "price", "quantity")
    processor = rb.RangeBarProcessor(250, incomplete="keep", on_overlap="skip")
    bars = [processor.push(trades[:60])]
    processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    bars.append(processor.push(trades))
    assert processor.report == rb.PushReport(rows=100, skipped=60)
    assert_same_bits(
        pl.concat([*bars, processor.finish()]), rb.range_bars(trades, 250, incomplete="keep")
    )


def test_threads_take_turns():
    processor = rb.RangeBarProcessor(250, by="symbol", incomplete="keep")
    parts = [walk(2000).with_columns(symbol=pl.lit(f"T{i}")) for i in range(6)]
    got: dict[int, pl.DataFrame] = {}

    def work(i: int) -> None:
        got[i] = pl.concat([processor.push(parts[i][n : n + 50]) for n in range(0, 2000, 50)])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(6):
        want = rb.range_bars(parts[i], 250, by="symbol")
        assert_same_bits(got[i], want)


def test_dtypes_must_stay():
    processor = rb.RangeBarProcessor(250)
    processor.push(pl.DataFrame({"timestamp": [1], "price": [1.0], "quantity": [1.0]}))
    with pytest.raises(rb.RangeBarError, match="column 'price' was f64 .* and is i64 now"):
        processor.push(pl.DataFrame({"timestamp": [1], "price": [1], "quantity": [1.0]}))
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="'quantity'"):
        processor.push(pl.DataFrame({"timestamp": [1], "price": [1.0]}))
