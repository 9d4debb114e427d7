"""Data sets of bars that grow by `update_bars`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

pytest.importorskip("filelock", reason="growing data sets need the extra 'dataset'")

import rangebar_polars as rb
from rangebar_polars import dataset
from tests.support.children import child_environment
from tests.support.compare import assert_same_bits
from tests.support.trades import walk


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "bars"


class TestUpdate:
    def test_day_by_day_is_all_at_once(self, data):
        trades = walk(3000)
        reports = [
            rb.update_bars(trades[start : start + 500].lazy(), data, 250, by="symbol")
            for start in range(0, 3000, 500)
        ]
        assert all(report.path is not None for report in reports)
        report = reports[-1]
        bars = pl.read_parquet(data)
        assert_same_bits(bars, rb.range_bars(trades, 250, by="symbol"))
        # The checkpoint goes on where the data set ends, here as in the last part's metadata.
        assert report.path is not None
        metadata = pl.read_parquet_metadata(report.path)
        assert json.loads(report.checkpoint)["body"]["rows"] == 3000
        assert metadata["rangebar_polars.checkpoint"] == report.checkpoint

    @pytest.mark.parametrize("drop", [[], ["agg_trade_id"]])
    def test_twice_adds_nothing(self, data, drop):
        trades = walk(2000).drop("symbol", *drop)
        rb.update_bars(trades[:1200].lazy(), data, 250)
        again = rb.update_bars(trades[:1200].lazy(), data, 250)
        assert (again.path, again.bars) == (None, 0)
        rb.update_bars(trades.lazy(), data, 250)
        rb.update_bars(trades.lazy(), data, 250)
        if drop:
            # Trades 1199 and 1200 happened at one instant; without ids the second looks repeated.
            trades = pl.concat(
                [
                    trades[:1200],
                    trades[1200:].filter(pl.col("timestamp") > trades["timestamp"][1199]),
                ]
            )
        assert_same_bits(pl.read_parquet(data), rb.range_bars(trades, 250))

    def test_other_settings_are_refused(self, data):
        trades = walk(500).lazy()
        rb.update_bars(trades, data, 250, by="symbol")
        with pytest.raises(rb.CheckpointError, match=r"rule=Range\(250\), not Range\(100\)"):
            rb.update_bars(trades, data, 100, by="symbol")
        with pytest.raises(rb.CheckpointError, match="by="):
            rb.update_bars(trades, data, 250, by=None)
        # The same in other words: the key is what it would be by default.
        assert rb.update_bars(trades, data, "0.25%").path is None

    def test_a_bad_trade_changes_nothing(self, data):
        trades = walk(1000)
        rb.update_bars(trades[:500].lazy(), data, 250)
        before = {p.name: p.read_bytes() for p in data.iterdir()}
        bad = trades[500:].with_columns(quantity=-pl.col("quantity") - 1)
        with pytest.raises(rb.InvalidTradeError, match="row 500: quantity"):
            rb.update_bars(bad.lazy(), data, 250)
        assert {p.name: p.read_bytes() for p in data.iterdir()} == before

    def test_a_directory_of_something_else(self, data):
        data.mkdir()
        walk(5).write_parquet(data / "part-00000000.parquet")
        with pytest.raises(rb.CheckpointError, match="has no checkpoint in it"):
            rb.update_bars(walk(5).lazy(), data, 250)


class TestWhere:
    @pytest.mark.parametrize(
        "url",
        ["s3://bucket/bars", Path("s3://bucket/bars"), "gs://b/x", "file:///tmp/bars"],
        ids=str,
    )
    def test_a_url_is_refused_before_anything_is_written(self, tmp_path, monkeypatch, url):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ValueError, match="path must be a local path"):
            rb.update_bars(walk(100).lazy(), url, 250)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_is_refused(self, data):
        data.write_text("")
        with pytest.raises(NotADirectoryError, match="bars is a file"):
            rb.update_bars(walk(100).lazy(), data, 250)

    @pytest.mark.parametrize("name", ["bars[1]", "b*rs?", "[a-z]", "s p a c e", "币安"])
    def test_a_path_is_taken_as_it_is_written(self, tmp_path, name):
        trades = walk(1000)
        # What the pattern would match, if it were taken for one.
        for other in ("bars1", "bars", "a"):
            (tmp_path / other).mkdir()
            (tmp_path / other / "part-00000000.parquet").write_bytes(b"somebody else's")
        for start in (0, 500):
            rb.update_bars(trades[start : start + 500].lazy(), tmp_path / name, 250, by="symbol")
        parts = sorted((tmp_path / name).iterdir())
        assert [part.name for part in parts] == ["part-00000000.parquet", "part-00000001.parquet"]
        bars = pl.concat([pl.read_parquet(part.read_bytes()) for part in parts])
        assert_same_bits(bars, rb.range_bars(trades, 250, by="symbol"))

    def test_a_relative_path_and_a_link_are_the_same_data_set(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        trades = walk(1000).lazy()
        rb.update_bars(trades, "bars", 250)
        Path("link").symlink_to("bars")
        assert rb.update_bars(trades, "link", 250).path is None
        assert {path.name for path in tmp_path.iterdir()} == {"bars", "link", ".bars.update"}

    def test_another_file_system_is_refused(self, data, monkeypatch):
        other = Path("/dev/shm", uuid.uuid4().hex)
        if not other.parent.is_dir() or other.parent.stat().st_dev == data.parent.stat().st_dev:
            pytest.skip("needs a second file system at /dev/shm")
        monkeypatch.setattr(dataset, "_work_directory", lambda _: other)
        try:
            with pytest.raises(rb.RangeBarError, match="use a directory inside"):
                rb.update_bars(walk(10).lazy(), data, 250)
        finally:
            other.rmdir()


@pytest.mark.parametrize("inside", ["", "venue=spot/symbol=BTCUSDT"])
def test_a_plain_scan_of_the_directory_reads_it_at_any_instant(tmp_path, monkeypatch, inside):
    trades = walk(2000).drop("symbol")
    tree = tmp_path / "bars"
    rb.update_bars(trades[:500].lazy(), tree / inside, 250)
    want = pl.read_parquet(tree)
    seen = []

    def looking(owner, name):
        real = getattr(owner, name)

        def wrapped(*args, **kwargs):
            seen.append((name, pl.read_parquet(tree).equals(want)))
            result = real(*args, **kwargs)
            seen.append((name, pl.read_parquet(tree).equals(want)))
            return result

        monkeypatch.setattr(owner, name, wrapped)

    looking(dataset, "resume_from")
    looking(pl.LazyFrame, "sink_parquet")
    looking(os, "fsync")
    rb.update_bars(trades[500:].lazy(), tree / inside, 250)
    # The last sync is of the directory, once the new part is there.
    assert seen == [
        *[("resume_from", True)] * 2,
        *[("sink_parquet", True)] * 4,
        *[("fsync", True)] * 2,
        *[("fsync", False)] * 2,
    ]
    assert_same_bits(
        pl.read_parquet(tree, hive_partitioning=False).sort("open_time"),
        rb.range_bars(trades, 250).sort("open_time"),
    )


def test_threads_take_turns(data):
    trades = walk(4000)
    for turn in range(10):
        target = data / str(turn)
        together = threading.Barrier(4)

        def update(until, target=target, together=together):
            together.wait()
            return rb.update_bars(trades[:until].lazy(), target, 250, by="symbol")

        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(update, [1000, 2000, 3000, 4000]))
        bars = pl.read_parquet(target)
        assert_same_bits(bars, rb.range_bars(trades, 250, by="symbol"))
        assert sum(report.bars for report in reports) == bars.height


CHILD = """
import os, sys, time
import polars as pl
import rangebar_polars as rb

def announce(phase):
    os.write(1, (phase + "\\n").encode())
    time.sleep(0.003)  # or every phase but the longest would be over before a kill arrives

def before(owner, name, phases):
    real = getattr(owner, name)
    phases = iter(phases)
    def wrapped(*args, **kwargs):
        announce(next(phases))
        return real(*args, **kwargs)
    setattr(owner, name, wrapped)

trades = pl.scan_parquet(sys.argv[1]).head(int(sys.argv[3]))
before(pl.LazyFrame, "sink_parquet", ["bars", "part"])
before(os, "fsync", ["flush", "folder"])
before(os, "link", ["link"])
announce("ready")
rb.update_bars(trades, sys.argv[2], 250, by="symbol")
announce("done")
"""
PHASES = ["ready", "bars", "part", "flush", "link", "folder", "done"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_at_any_instant_an_update_has_happened_or_has_not(tmp_path):
    trades = walk(20_000)
    source, target = tmp_path / "trades.parquet", tmp_path / "bars"
    trades.write_parquet(source, row_group_size=2000)
    luck = random.Random(1)
    killed: Counter[str] = Counter()
    rows = 0
    for turn in range(20 * len(PHASES)):
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
        if turn % 10 == 0 and target.exists() and any(target.iterdir()):
            so_far = pl.read_parquet(target)
            want = rb.range_bars(trades, 250, by="symbol").head(so_far.height)
            assert_same_bits(so_far, want)
    assert set(killed) >= set(PHASES), killed
    rb.update_bars(trades.lazy(), target, 250, by="symbol")
    assert_same_bits(pl.read_parquet(target), rb.range_bars(trades, 250, by="symbol"))
    left = list((tmp_path / ".bars.update").iterdir())
    assert [path.name for path in left] == ["lock"], "what killed updates left is cleared up"


def test_processes_take_turns(tmp_path):
    trades = walk(20_000)
    source, target = tmp_path / "trades.parquet", tmp_path / "bars"
    trades.write_parquet(source)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(source), str(target), str(rows)],
            stdout=subprocess.PIPE,
            env=child_environment(),
        )
        for rows in (10_000, 20_000, 15_000)
    ]
    for child in children:
        output, _ = child.communicate(timeout=60)
        assert output.split()[-1] == b"done"
    assert_same_bits(pl.read_parquet(target), rb.range_bars(trades, 250, by="symbol"))
