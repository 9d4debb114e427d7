"""Batches of a lazy frame, in order, a few at a time in memory."""

from __future__ import annotations

import threading
from contextlib import closing
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING

import polars as pl

from rangebar_polars._prefetch import bounded_prefetch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

__all__ = ["Stop", "iter_batches"]

_SLICE = 262_144
_POLL_S = 0.2


class Stop(threading.Event):
    """An event that also counts as set once the program ends.

    Polars drops a generator that it needs no further some time later, perhaps never before the
    interpreter goes; threads that wait for a consumer must not wait beyond that.
    """

    def is_set(self) -> bool:
        """Whether to stop."""
        return super().is_set() or not threading.main_thread().is_alive()


def iter_batches(frame: pl.LazyFrame | pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows of ``frame`` in order.

    The plan runs on a thread of its own and waits while nobody takes its batches. Not
    ``collect_batches``: that one ends quietly where the plan panics. Whatever the plan raises is
    raised here, with its own type; a generator that is closed early stops the plan.
    """
    if isinstance(frame, pl.DataFrame):
        yield from frame.iter_slices(_SLICE)
        return
    with closing(_run(frame)) as batches:
        yield from batches


def _run(frame: pl.LazyFrame) -> Generator[pl.DataFrame]:
    queue: Queue[pl.DataFrame | BaseException | None] = Queue(1)
    stop = Stop()

    def put(item: pl.DataFrame | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                queue.put(item, timeout=_POLL_S)
            except Full:
                continue
            return False
        return True

    def work() -> None:
        end: BaseException | None = None
        try:
            with bounded_prefetch():
                frame.sink_batches(put, maintain_order=True, engine="streaming")
        except BaseException as error:  # noqa: BLE001 - carried over to the consumer as it is
            end = error
        put(end)

    # Not a daemon: killed inside Polars at exit, a daemon takes the whole process down.
    thread = threading.Thread(target=work, name="rangebar-batches", daemon=False)
    thread.start()
    try:
        while True:
            try:
                item = queue.get(timeout=_POLL_S)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            if item.height:
                yield item
    finally:
        # No join: whoever leaves early, often a thread of Polars itself, need not wait.
        stop.set()
