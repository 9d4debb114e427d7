"""A write that is killed at any instant has happened, or has not."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.store import Origin, TradeStore
from rangebar_polars.store.commit import needs_recovery
from rangebar_polars.store.layout import series
from tests.support.children import child_environment
from tests.support.trades import days_of_trades

KILLS = 50

# The folder syncs of a commit are slowed down, or it would be over before a kill could hit it;
# and its beginning is announced, so that some kills can be aimed at it.
CHILD = """
import os, sys, time
from datetime import date
import polars as pl
from rangebar_polars.store import Origin, TradeStore
from rangebar_polars.store import commit
slow, sync = float(sys.argv[3]), commit.sync_directory
def slow_sync(folder):
    time.sleep(slow)
    sync(folder)
commit.sync_directory = slow_sync
carry_out = commit._carry_out
def announced(*arguments):
    print("committing", flush=True)
    carry_out(*arguments)
commit._carry_out = announced
store, frame = TradeStore(sys.argv[1]), pl.scan_parquet(sys.argv[2])
origin = Origin(os.path.basename(sys.argv[2]), "0" * 64, date(2024, 1, 1), date(2024, 1, 1))
print("ready", flush=True)
store.write("BTC", frame, origin=origin, on_conflict="replace")
print("done", flush=True)
"""


def start_child(root: Path, frame: Path, slow: float) -> subprocess.Popen[str]:
    """Start a write, and come back when it is about to begin."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), str(frame), str(slow)],
        env=child_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def wait_for_commit(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "committing\n"


def finish(child: subprocess.Popen[str]) -> None:
    child.communicate(timeout=120)
    assert child.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_write_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    old = days_of_trades(datetime(2024, 1, 30), 5, 50_000)
    # Overlaps what is stored on every day, and adds two.
    new = days_of_trades(datetime(2024, 1, 30), 7, 70_000, seed=4)
    frame = tmp_path / "new.parquet"
    new.write_parquet(frame)
    base, root = tmp_path / "base", tmp_path / "store"
    TradeStore(base).write("BTC", old)
    shutil.copytree(base, root)
    with start_child(root, frame, 0.002) as child:
        started = time.monotonic()
        wait_for_commit(child)
        until_commit = time.monotonic() - started
        finish(child)
    whole_run = time.monotonic() - started
    expected = TradeStore(root).scan("BTC").collect()
    rng = random.Random(20)
    seen: Counter[str] = Counter()
    store, place = TradeStore(root), series(root, "trades", "BTC")
    for kill in range(KILLS):
        shutil.rmtree(root)
        shutil.copytree(base, root)
        with start_child(root, frame, 0.002) as child:
            if kill % 2:  # anywhere in the commit, however long a busy machine took to get there
                wait_for_commit(child)
                time.sleep(rng.uniform(0, whole_run - until_commit))
            else:
                time.sleep(rng.uniform(0, whole_run))
            child.send_signal(signal.SIGKILL)
        decided = needs_recovery(place)
        phase = phase_of(root, decided=decided)
        found = store.scan("BTC").collect()
        happened = "0" * 64 in {o.sha256 for o in store.origins("BTC", source="trades").values()}
        assert_frame_equal(found, expected if happened else old, check_exact=True)
        assert happened or not decided
        assert not needs_recovery(place)
        seen[phase] += 1
        if seen.total() % 10 == 0:  # the next run completes, and clears up
            with start_child(root, frame, 0) as child:
                finish(child)
            assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
            assert store.verify().is_empty()
            assert not list((root / "meta").rglob("staging-*"))
    assert {"staging", "committing", "done"} <= set(seen), seen


def phase_of(root: Path, *, decided: bool) -> str:
    if decided:
        return "committing"
    if list((root / "meta").rglob("*.tmp")):
        return "staging"
    return "done" if (root / "meta/source=trades/symbol=BTC/sources.json").exists() else "before"


def test_two_processes_that_write_one_symbol_lose_nothing(tmp_path: Path) -> None:
    trades = days_of_trades(datetime(2024, 1, 30), 4, 40_000)
    root = tmp_path / "store"
    children: list[subprocess.Popen[str]] = []
    for part in range(4):
        # Every part has rows of every day, and shares some with the next.
        rows = trades.with_row_index("i").filter(pl.col("i") % 5 - part <= 1).drop("i")
        rows = rows.filter(pl.col("agg_trade_id") % 4 >= part - 1)
        frame = tmp_path / f"{part}.parquet"
        rows.write_parquet(frame)
        children.append(start_child(root, frame, 0.001))
    for child in children:
        with child:
            finish(child)
    written = pl.concat([pl.read_parquet(tmp_path / f"{part}.parquet") for part in range(4)])
    expected = written.unique("agg_trade_id").sort("agg_trade_id")
    store = TradeStore(root)
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
    assert len(store.origins("BTC", source="trades")) == 4
    assert store.verify().is_empty()


def test_a_store_with_a_decided_change_is_finished_by_whoever_looks(tmp_path: Path) -> None:
    from rangebar_polars.store import commit

    trades = days_of_trades(datetime(2024, 1, 30), 3, 300)
    store = TradeStore(tmp_path)
    store.write("BTC", trades[:100])
    carry_out = commit._carry_out  # pyright: ignore[reportPrivateUsage]

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    commit._carry_out = killed  # pyright: ignore[reportPrivateUsage]
    try:
        with pytest.raises(Killed):
            store.write(
                "BTC", trades, origin=Origin("a", "1" * 64, *[trades["timestamp"][0].date()] * 2)
            )
    finally:
        commit._carry_out = carry_out  # pyright: ignore[reportPrivateUsage]
    moved = tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert_frame_equal(TradeStore(moved).scan("BTC").collect(), trades, check_exact=True)
    assert not list((moved / "meta").rglob("staging-*"))
