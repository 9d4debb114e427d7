"""The process that is interrupted: one door after the other, again and again, and what is left.

It prints one JSON object a line: that it begins, and how it ended.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from polars.exceptions import PanicException

import rangebar_polars as rb
from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars._prefetch import VARIABLE
from rangebar_polars.store import TradeStore

__all__ = ["DOORS"]

T = TypeVar("T")

DAYS = ("2024-01-29", "2024-02-03")
GRACE_S = 2.0


class World:
    """Where a door finds its trades and leaves what it makes."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.file = folder / "trades.parquet"
        self.url = url
        self.dataset = folder / "bars"
        self.store = folder / "store"
        self.fetched = folder / "fetched"
        self.processor = rb.RangeBarProcessor(50, by=None)
        self.more: dict[str, Any] = {}
        if self.file.exists():
            self.frame = pl.read_parquet(self.file)
            self.processor.push(self.frame[:1000])
            self.checkpoint = self.processor.checkpoint()

    def file_scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self.file)


def collect(world: World, engine: Any) -> None:
    rb.range_bars(world.file_scan(), 50, by=None).collect(engine=engine)


def sink(world: World) -> None:
    path = world.folder / "sunk.parquet"
    rb.range_bars(world.file_scan(), 50, by=None).sink_parquet(path)


def ids(world: World, engine: Any) -> None:
    lazy = rb.with_bar_id(world.file_scan(), 50, by=None)
    lazy.select(pl.col("bar_id").max()).collect(engine=engine)


def resume(world: World) -> None:
    bars, handle = rb.resume_bars(world.file_scan(), world.checkpoint, on_overlap="skip")
    done = False
    try:
        bars.collect(engine="streaming")
        done = True
    finally:
        assert handle.is_done or not done


def update(world: World) -> None:
    rb.update_bars(world.file_scan(), world.dataset, 50, by=None)


def check_update(world: World, outcome: str) -> None:
    parts = list(world.dataset.glob("*.parquet"))
    if outcome == "done":
        assert len(parts) == 1
    if parts:  # it may have happened just before the signal
        height = rb.range_bars(world.frame, 50, by=None).height
        assert pl.read_parquet(parts).height == height
        again = rb.update_bars(world.file_scan(), world.dataset, 50, by=None)
        assert again.bars == 0


def push(world: World, trades: Callable[[World], Any]) -> None:
    world.processor = rb.RangeBarProcessor.from_checkpoint(world.checkpoint)
    before = world.processor.checkpoint()
    after = world.more.get("after")
    world.more["allowed"] = {before} if after is None else {before, after}
    world.processor.push(trades(world))
    world.more["after"] = world.processor.checkpoint()


def check_push(world: World, outcome: str) -> None:
    # The batch was taken, or it was not, and the processor says so.
    if outcome != "done" and "after" in world.more:
        assert world.processor.checkpoint() in world.more["allowed"]


def rest_lazy(world: World) -> pl.LazyFrame:
    return world.file_scan().slice(1000)


def rest_eager(world: World) -> pl.DataFrame:
    return world.frame[1000:]


def write(world: World) -> None:
    TradeStore(world.store).write("S", world.file_scan(), source="s")


def check_write(world: World, outcome: str) -> None:
    store = TradeStore(world.store)
    stored = store.scan("S").select(pl.len()).collect().item() if store.symbols() else 0
    assert stored == world.frame.height or (outcome != "done" and stored == 0), stored
    assert store.verify().is_empty()


def scan(world: World) -> None:
    TradeStore(world.folder / "full").scan("S").select(pl.all().last()).collect(engine="streaming")


def verify(world: World) -> None:
    assert TradeStore(world.folder / "full").verify().is_empty()


def fetch(world: World, engine: Any) -> None:
    store = TradeStore(world.fetched)
    given: dict[str, Any] = {"market": "um", "store": store, "base_url": world.url}
    trades = rb.scan_binance("BTCUSDT", *DAYS, **given)
    trades.select(pl.len()).collect(engine=engine)


def get(world: World) -> None:
    store = TradeStore(world.fetched)
    given: dict[str, Any] = {"market": "um", "store": store, "base_url": world.url}
    rb.get_range_bars("BTCUSDT", *DAYS, 50, **given).collect(engine="streaming")


def check_fetch(world: World, outcome: str) -> None:
    assert TradeStore(world.fetched).verify().is_empty()


DOORS: dict[str, Callable[[World], None]] = {
    "collect streaming": partial(collect, engine="streaming"),
    "collect in memory": partial(collect, engine="in-memory"),
    "sink": sink,
    "ids streaming": partial(ids, engine="streaming"),
    "ids in memory": partial(ids, engine="in-memory"),
    "resume": resume,
    "update": update,
    "push lazy": partial(push, trades=rest_lazy),
    "push": partial(push, trades=rest_eager),
    "store write": write,
    "store scan": scan,
    "store verify": verify,
    "fetch streaming": partial(fetch, engine="streaming"),
    "fetch in memory": partial(fetch, engine="in-memory"),
    "get": get,
}

CHECKS: dict[str, Callable[[World, str], None]] = {
    "update": check_update,
    "push lazy": check_push,
    "push": check_push,
    "store write": check_write,
    "fetch streaming": check_fetch,
    "fetch in memory": check_fetch,
    "get": check_fetch,
}


def one_round(door: Callable[[World], None], world: World) -> str:
    outcome = "late"  # the door had been left when the signal came
    try:
        try:
            door(world)
            outcome = "done"
        except KeyboardInterrupt:
            outcome = "interrupted"
            time.sleep(0.001)  # Python's own answer comes behind that of Polars
        except PanicException as error:
            raise_if_interrupt(error)
            raise
    except KeyboardInterrupt:
        outcome = "interrupted" if outcome == "late" else outcome
    return outcome


def calmly(do: Callable[[], T]) -> T:
    """Do it, though a signal may come late: one a round, to which two answer."""
    try:
        try:
            return do()
        except KeyboardInterrupt:
            return do()
    except KeyboardInterrupt:
        return do()
    except PanicException as error:  # Polars asks Python for something, which is interrupted
        assert "KeyboardInterrupt" in str(error), error
        return do()


class Line:
    """Something to say, once: in one step, so that it may be tried again after a signal."""

    def __init__(self, **what: Any) -> None:
        self._what = what
        self._said: list[int] = []

    def say(self) -> None:
        line = json.dumps(self._what).encode() + b"\n"
        if not self._said:
            self._said.extend(map(os.write, (1,), (line,)))


class Word:
    """The parent's word that no signal for this round comes any more; heard in one step, too."""

    def __init__(self) -> None:
        self._heard: list[bytes] = []

    def wait(self) -> None:
        if not self._heard:
            self._heard.extend(map(os.read, (0,), (1,)))


def left_over(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix in {".tmp", ".part"}
        or any(name.startswith("staging-") for name in (path.name, path.parent.name))
    ]


def settled(folder: Path) -> tuple[dict[str, Any], float]:
    """What is still left after a while of grace, and how long it took."""
    began = time.monotonic()
    while True:
        threads = [t.name for t in threading.enumerate() if t.name.startswith("rangebar")]
        left: dict[str, Any] = {
            "threads": threads,
            "files": left_over(folder),
            "variable": os.environ.get(VARIABLE),
        }
        took = time.monotonic() - began
        if not any(left.values()) or took > GRACE_S:
            return left, took
        time.sleep(0.005)


def main(name: str, folder: Path, url: str, rounds: int) -> None:
    world = World(folder, url)
    door, check = DOORS[name], CHECKS.get(name, lambda world, outcome: None)
    for number in range(rounds):
        for made in (world.dataset, world.store, world.fetched):
            shutil.rmtree(made, ignore_errors=True)
        Line(begin=number).say()
        outcome = one_round(door, world)
        at = calmly(time.monotonic)
        left, took = calmly(partial(settled, folder))
        calmly(partial(check, world, outcome))
        calmly(Line(outcome=outcome, at=at, settled=took, left=left).say)
        calmly(Word().wait)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
