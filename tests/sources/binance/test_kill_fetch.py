"""A fetch that is killed at any instant: the next run completes, and equals a clean one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.store import TradeStore
from tests.support.archive_server import serve
from tests.support.children import child_environment
from tests.support.made_files import BTC, day_trades, publish

KILLS = 50
DAYS = [date(2024, 1, 29) + timedelta(days=n) for n in range(6)]

# A file is taken in so quickly that a kill would hardly ever hit it: it is announced, and slowed.
CHILD = """
import sys, time
from rangebar_polars.sources.binance import scan_binance
from rangebar_polars.store import TradeStore
from rangebar_polars.store.parquet import DayWriter
close = DayWriter.close
def slow_close(writer):
    print("staging", flush=True)
    time.sleep(0.005)
    close(writer)
DayWriter.close = slow_close
plan = scan_binance("BTCUSDT", sys.argv[3], sys.argv[4], market="um",
    store=TradeStore(sys.argv[1]), base_url=sys.argv[2], backoff_s=0.01)
print("ready", flush=True)
print(plan.select("agg_trade_id").collect().height)
"""


def start_child(root: Path, url: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), url, str(DAYS[0]), str(DAYS[-1])],
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def finish(child: subprocess.Popen[str]) -> int:
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    return int(out.split()[-1])


def wait_for_staging(child: subprocess.Popen[str], times: int) -> None:
    """Come back when a file is taken in for so many times, or there are none left."""
    assert child.stdout is not None
    for line in child.stdout:
        times -= line == "staging\n"
        if times == 0:
            return


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_fetches_end_in_the_same_store(tmp_path: Path) -> None:
    rows = 8000
    frames = [day_trades(BTC, day, rows, 1 + rows * n) for n, day in enumerate(DAYS)]
    trades = pl.concat(frames)
    for day, frame in zip(DAYS, frames, strict=True):
        publish(tmp_path / "served", BTC, frame, day)
    rng = random.Random(7)
    seen: Counter[str] = Counter()
    with serve(tmp_path / "served") as server:
        with start_child(tmp_path / "clean", server.url) as child:
            started = time.monotonic()
            assert finish(child) == trades.height
        whole_run = time.monotonic() - started
        attempt, kills = 0, 0
        while kills < KILLS:
            attempt += 1
            root = tmp_path / f"store-{attempt}"
            # The same store is killed again and again, until a run gets through.
            for turn in range(8):
                with start_child(root, server.url) as child:
                    if turn % 2:
                        wait_for_staging(child, rng.randrange(1, 3))
                        time.sleep(rng.uniform(0, 0.01))
                    else:
                        time.sleep(rng.uniform(0, whole_run))
                    child.send_signal(signal.SIGKILL)
                kills += 1
                seen[state(root)] += 1
                found = stored(root)
                # Whole days, each as it was published, or not there.
                have = found["timestamp"].dt.date().unique().sort().to_list()
                assert_frame_equal(
                    found,
                    trades.filter(pl.col("timestamp").dt.date().is_in(have)),
                    check_exact=True,
                )
            with start_child(root, server.url) as child:
                assert finish(child) == trades.height
            assert_frame_equal(stored(root), trades, check_exact=True)
            assert TradeStore(root).verify().is_empty()
            leftovers = [p for p in (root / "meta").rglob("*") if p.suffix in {".part", ".tmp"}]
            assert leftovers == []
    assert {"downloading", "staging"} <= set(seen), seen


def stored(root: Path) -> pl.DataFrame:
    store = TradeStore(root)
    if not store.symbols():
        return pl.DataFrame(schema=BTC.schema)
    return store.scan("BTCUSDT", columns=list(BTC.schema)).collect()


def state(root: Path) -> str:
    names = [p.name for p in (root / "meta").rglob("*")]
    if any(name.endswith(".tmp") for name in names):
        return "staging"
    return "downloading" if any(name.endswith(".part") for name in names) else "between"


def test_two_processes_that_fetch_the_same_days(tmp_path: Path) -> None:
    for number, day in enumerate(DAYS):
        publish(tmp_path / "served", BTC, day_trades(BTC, day, 500, 1 + 500 * number), day)
    with serve(tmp_path / "served") as server:
        children = [start_child(tmp_path / "store", server.url) for _ in range(3)]
        for child in children:
            with child:
                assert finish(child) == 500 * len(DAYS)
        # One fetches a file, the others wait for it and take it from the store.
        assert len(server.asked(".zip")) == len(DAYS)
    assert TradeStore(tmp_path / "store").verify().is_empty()
