"""Going on lazily: `resume_bars`, and data sets that grow by `update_bars`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import polars as pl
import pytest

import rangebar_polars as rb
from tests.support.children import child_environment
from tests.support.compare import assert_same_bits
from tests.support.seeded import walk
from tests.support.sources import CountingSource


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


class TestUpdate:
    def test_day_by_day_is_all_at_once(self, tmp_path):
        trades = walk(3000)
        for start in range(0, 3000, 500):
            report = rb.update_bars(trades[start : start + 500].lazy(), tmp_path, 250, by="symbol")
            assert report.path is not None
            assert report.trades.is_contiguous or start >= 0
        bars = pl.read_parquet(tmp_path / "*.parquet")
        assert_same_bits(bars, rb.range_bars(trades, 250, by="symbol"))
        text = (tmp_path / "checkpoint.json").read_text()
        assert json.loads(text)["body"]["rows"] == 3000
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "checkpoint.json",
            *(f"part-{i:08}.parquet" for i in range(6)),
        ]

    @pytest.mark.parametrize("drop", [[], ["agg_trade_id"]])
    def test_twice_adds_nothing(self, tmp_path, drop):
        trades = walk(2000).drop("symbol", *drop)
        rb.update_bars(trades[:1200].lazy(), tmp_path, 250)
        again = rb.update_bars(trades[:1200].lazy(), tmp_path, 250)
        assert (again.path, again.bars) == (None, 0)
        rb.update_bars(trades.lazy(), tmp_path, 250)
        rb.update_bars(trades.lazy(), tmp_path, 250)
        if drop:
            # Trades 1199 and 1200 happened at one instant; without ids the second looks repeated.
            trades = pl.concat(
                [
                    trades[:1200],
                    trades[1200:].filter(pl.col("timestamp") > trades["timestamp"][1199]),
                ]
            )
        assert_same_bits(pl.read_parquet(tmp_path / "*.parquet"), rb.range_bars(trades, 250))

    def test_other_settings_are_refused(self, tmp_path):
        trades = walk(500).lazy()
        rb.update_bars(trades, tmp_path, 250, by="symbol")
        with pytest.raises(rb.CheckpointError, match=r"thresholds=\[250\], not \[100\]"):
            rb.update_bars(trades, tmp_path, 100, by="symbol")
        with pytest.raises(rb.CheckpointError, match="by="):
            rb.update_bars(trades, tmp_path, 250)

    def test_a_bad_trade_changes_nothing(self, tmp_path):
        trades = walk(1000)
        rb.update_bars(trades[:500].lazy(), tmp_path, 250)
        before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        bad = trades[500:].with_columns(quantity=-pl.col("quantity") - 1)
        with pytest.raises(rb.InvalidTradeError, match="row 500: quantity"):
            rb.update_bars(bad.lazy(), tmp_path, 250)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before

    def test_a_directory_of_something_else(self, tmp_path):
        walk(5).write_parquet(tmp_path / "part-00000000.parquet")
        with pytest.raises(rb.CheckpointError, match="has no checkpoint in it"):
            rb.update_bars(walk(5).lazy(), tmp_path, 250)


CHILD = """
import os, pathlib, sys, time
import polars as pl
import rangebar_polars as rb
from rangebar_polars import resume

def announce(phase):
    os.write(1, (phase + "\\n").encode())
    time.sleep(0.003)  # or every phase but the longest would be over before a kill arrives

def before(owner, name, phase):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        announce(phase(args) if callable(phase) else phase)
        return real(*args, **kwargs)
    setattr(owner, name, wrapped)

before(pl.LazyFrame, "sink_parquet", lambda a: "bars" if ".bars." in str(a[1]) else "part")
before(os, "fsync", "flush")
before(os, "link", "link")
before(resume, "_write_beside", "beside")
before(pathlib.Path, "replace", "replace")
trades = pl.scan_parquet(sys.argv[1]).head(int(sys.argv[3]))
announce("ready")
rb.update_bars(trades, sys.argv[2], 250, by="symbol")
announce("done")
"""
PHASES = ["ready", "bars", "part", "flush", "link", "beside", "replace", "done"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_any_instant_an_update_has_happened_or_has_not(tmp_path):
    trades = walk(20_000)
    source, target = tmp_path / "trades.parquet", tmp_path / "bars"
    trades.write_parquet(source, row_group_size=2000)
    luck = random.Random(1)
    killed: Counter[str] = Counter()
    rows = 0
    for turn in range(200):
        # Mostly something new to add, or there would be little to kill.
        rows = min(rows + luck.randrange(1, 200), trades.height)
        arguments = [sys.executable, "-c", CHILD, str(source), str(target), str(rows)]
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, text=True, env=child_environment()
        ) as child:
            assert child.stdout is not None
            # A phase in turn, the first or a later time that it is reached, and a moment more.
            phase, times, last = PHASES[turn % len(PHASES)], luck.randrange(1, 3), "start"
            for line in child.stdout:
                last = line.strip()
                times -= last == phase
                if times == 0 or last == "done":
                    break
            time.sleep(luck.random() * 0.005)
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split()
        killed[(rest or [last])[-1]] += 1
        if target.exists() and turn % 10 == 0 and any(target.glob("*.parquet")):
            so_far = pl.read_parquet(target / "*.parquet")
            want = rb.range_bars(trades, 250, by="symbol").head(so_far.height)
            assert_same_bits(so_far, want)
    assert set(killed) >= set(PHASES), killed
    rb.update_bars(trades.lazy(), target, 250, by="symbol")
    assert_same_bits(pl.read_parquet(target / "*.parquet"), rb.range_bars(trades, 250, by="symbol"))
    assert not list(target.glob(".*")), "what killed updates left behind is cleared up"
