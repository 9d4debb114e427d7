"""Resuming lazily: `resume_bars`."""

from __future__ import annotations

import polars as pl
import pytest

import rangebar_polars as rb
from tests.support.compare import assert_same_bits
from tests.support.sources import CountingSource
from tests.support.trades import walk


def start_of(trades: pl.DataFrame, **options) -> str:
    processor = rb.RangeBarProcessor([100, 250], by="symbol", **options)
    processor.push(trades)
    return processor.checkpoint()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_resumed_bars_are_those_of_one_run(engine):
    trades = walk(3000)
    want = rb.range_bars(trades, [100, 250], by="symbol")
    text = start_of(trades[:1000])
    first = rb.range_bars(trades[:1000], [100, 250], by="symbol")
    bars, handle = rb.resume_bars(trades[1000:2000].lazy(), text)
    second = bars.collect(engine=engine)
    third, last = rb.resume_bars(trades[2000:].lazy(), handle.checkpoint())
    assert_same_bits(pl.concat([first, second, third.collect(engine=engine)]), want)
    assert last.report.rows == 1000
    # Collected twice, it is the same twice.
    assert_same_bits(bars.collect(), second)


def test_a_checkpoint_exists_only_at_the_end():
    trades = walk(3000)
    text = start_of(trades[:1000])
    bars, handle = rb.resume_bars(trades[1000:].lazy(), text)
    assert not handle.is_done
    for _ in range(2):
        with pytest.raises(rb.RangeBarError, match="not been consumed to their end"):
            handle.checkpoint()
        bars.head(3).collect()
    broken = trades[1000:].with_columns(
        price=pl.when(pl.int_range(2000) == 1999).then(None).otherwise("price")
    )
    failing, failed = rb.resume_bars(broken.lazy(), text)
    with pytest.raises(rb.InvalidTradeError, match="row 2999: price must not be null"):
        failing.collect()
    assert not failed.is_done
    bars.collect()
    assert handle.is_done


def test_pushed_down_columns_and_predicates_do_not_change_the_checkpoint():
    trades = walk(2000)
    text = start_of(trades[:500])
    whole, first = rb.resume_bars(trades[500:].lazy(), text)
    whole.collect()
    part, second = rb.resume_bars(trades[500:].lazy(), text)
    some = part.filter(pl.col("symbol") == "S1").select("close").collect()
    assert some.height == whole.filter(pl.col("symbol") == "S1").collect().height
    assert first.checkpoint() == second.checkpoint()


def test_trades_from_before_are_not_even_read(tmp_path):
    trades = walk(20_000).drop("symbol").with_columns(timestamp=pl.int_range(20_000))
    trades.write_parquet(tmp_path / "t.parquet", row_group_size=1000)
    processor = rb.RangeBarProcessor(250, on_overlap="skip")
    processor.push(trades[:19_000])
    bars, handle = rb.resume_bars(pl.scan_parquet(tmp_path / "t.parquet"), processor.checkpoint())
    want = rb.range_bars(trades, 250).filter(pl.col("last_agg_trade_id") >= 19_000)
    assert_same_bits(bars.collect(), want)
    # The filter has gone into the scan: one trade, the last of before, came by again.
    assert (handle.report.rows, handle.report.skipped) == (1001, 1)


def test_a_source_is_stopped_early():
    trades = walk(20_000)
    source = CountingSource([trades[i : i + 100] for i in range(0, 20_000, 100)])
    bars, _ = rb.resume_bars(source.scan(), start_of(trades[:0]))
    assert bars.head(5).collect().height == 5
    assert source.batches_read < 100
