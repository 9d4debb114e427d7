"""The thread that runs a lazy plan: its batches, one after the other, for whoever takes them."""

from __future__ import annotations

import queue
import time
import weakref
from collections.abc import Callable, Container, Generator
from contextlib import suppress
from typing import Final

import polars as pl

from rangebar_polars._endings import (
    POLL_SECONDS,
    OwnThread,
    is_ending,
    raise_if_interrupt,
    raise_if_interrupted,
    refuse_in_fork,
)
from rangebar_polars._prefetch import bounded_prefetch

__all__ = ["run_plan", "with_columns_only"]

_Work = Callable[[pl.DataFrame], pl.DataFrame | None]

_LAST_BATCH_SECONDS: Final = 1.0
"""How long Ctrl-C waits for the batch that is being worked on."""


class _Taker:
    """Lives as long as the generator that takes: however it ends, this is gone then."""


class _End:
    """The end of a plan, and what it ended with."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Handoff:
    """
    A place for one thing, between the thread that runs the plan and the one that takes bars.

    A `queue.Queue(1)`, but one that a giver can be sent home from: without that, whoever stops
    taking would leave a thread of Polars waiting for ever. There is no lock in it: Ctrl-C may
    strike the taker anywhere, and would leave a lock of Python's held for ever.
    """

    def __init__(self, taker: _Taker) -> None:
        self.things: queue.SimpleQueue[pl.DataFrame | _End] = queue.SimpleQueue()
        self.room: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.room.put(None)
        self.stopped = False
        self.forsaken = False
        self._taker = weakref.ref(taker)

    def put(self, thing: pl.DataFrame) -> None:
        """
        Hand over `thing`, when there is room; drop it if nobody takes any more.

        Raises
        ------
        KeyboardInterrupt
            For Ctrl-C.
        """
        while not self.is_over():
            # Not for ever, as nobody wakes a waiter when the program ends.
            with suppress(queue.Empty):
                self.room.get(timeout=POLL_SECONDS)
                self.things.put(thing)
                return
            raise_if_interrupted()

    def is_over(self) -> bool:
        """Whether nobody takes any more."""
        if not self.forsaken and is_ending():
            self.forsaken = True
        return self.stopped or self.forsaken or self._taker() is None

    def take(self, giver: OwnThread) -> pl.DataFrame | _End:
        """What is handed over, once it is."""
        while True:
            with suppress(queue.Empty):
                thing = self.things.get(timeout=POLL_SECONDS)
                self.room.put(None)
                return thing
            raise_if_interrupted()
            if not giver.is_alive() and self.things.empty():
                msg = "the process was forked while bars were made, which go to the other one"
                return _End(RuntimeError(msg))

    def wait_for_end(self) -> None:
        """Wait a while for the giver. Not by `join`, which only threads of Python may call."""
        deadline = time.monotonic() + _LAST_BATCH_SECONDS
        with suppress(queue.Empty):
            while not isinstance(
                self.things.get(timeout=max(0.0, deadline - time.monotonic())), _End
            ):
                pass


def run_plan(plan: pl.LazyFrame, work: _Work) -> Generator[pl.DataFrame, None, None]:
    """
    Run `plan` in Polars' streaming engine, and give what `work` makes of each batch.

    The work is done on the engine's side of the handoff, so that what waits there is small, and
    the engine decodes the next batches meanwhile. Not `collect_batches`: that ends as if all
    were well when the plan panics.

    Parameters
    ----------
    plan
        A lazy frame. Its batches come in order.
    work
        Called with one batch at a time; may give None. Empty results are dropped.

    Raises
    ------
    BaseException
        Whatever the plan or `work` raised, as it was.
    RangeBarError
        In a forked process, where the plan would never end.
    RuntimeError
        If the program has ended, and only a daemon thread, or none, still wanted the bars.
    """
    refuse_in_fork()
    if is_ending():
        yield from _run_here(plan, work)
        return
    # A local of this generator alone: nothing that the other thread holds may refer to it.
    taker = _Taker()
    handoff = _Handoff(taker)
    # Not a daemon: killed inside Polars at exit, a daemon takes the whole process down.
    giver = OwnThread(target=_give, args=(plan, work, handoff), name="rangebar-plan", daemon=False)
    try:
        giver.start()
        while not isinstance(thing := handoff.take(giver), _End):
            yield thing
            # Not to be held while waiting for the next one: that would be a batch more in memory.
            del thing
        error = thing.error
        del thing
    except KeyboardInterrupt:
        handoff.stopped = True
        handoff.room.put(None)
        # Polars and Python both answer to Ctrl-C, and the second may come right here. What was
        # begun is awaited all the same: whoever puts a state back must be the last to touch it.
        try:
            handoff.wait_for_end()
        except KeyboardInterrupt:
            handoff.wait_for_end()
        raise
    finally:
        # No call of a Python function, so that Ctrl-C cannot come between. And no join: whoever
        # leaves early, often a thread of Polars itself, need not wait.
        handoff.stopped = True
        handoff.room.put(None)
    if error is not None:
        try:
            raise error
        finally:
            del error  # or it would keep all of this alive, and be kept by it


def _give(plan: pl.LazyFrame, work: _Work, handoff: _Handoff) -> None:
    def on_batch(batch: pl.DataFrame) -> bool:
        # True tells the engine to stop early.
        if handoff.is_over():
            return True
        made = work(batch)
        if made is not None and made.height > 0:
            handoff.put(made)
        return handoff.is_over()

    end = _End(None)
    try:
        with bounded_prefetch():
            plan.sink_batches(on_batch, maintain_order=True, engine="streaming")
        if handoff.forsaken:
            msg = "the program has ended, and the rest of the bars was not made"
            raise RuntimeError(msg)
    except BaseException as raised:  # noqa: BLE001 - handed on, a panic too
        end = _End(raised)
        try:
            raise_if_interrupt(raised)
        except KeyboardInterrupt as interrupt:
            end = _End(interrupt)
    handoff.things.put(end)
    del end  # or the error in it, which has this frame, would keep it alive


def _run_here(plan: pl.LazyFrame, work: _Work) -> Generator[pl.DataFrame, None, None]:
    """
    Run a plan when the program ends, as in an `atexit` handler.

    Python then starts no thread any more, and waits for none. So results are gathered.
    """
    gathered: list[pl.DataFrame] = []

    def on_batch(batch: pl.DataFrame) -> bool:
        made = work(batch)
        if made is not None and made.height > 0:
            gathered.append(made)
        return False

    error: BaseException | None = None
    try:
        with bounded_prefetch():
            plan.sink_batches(on_batch, maintain_order=True, engine="streaming")
    except BaseException as raised:  # noqa: BLE001 - raised below, behind what came before it
        error = raised
    gathered.reverse()
    while gathered:
        yield gathered.pop()
    if error is not None:
        raise error


def with_columns_only(plan: pl.LazyFrame, schema: pl.Schema, names: Container[str]) -> pl.LazyFrame:
    """
    `plan`, of the given schema, with no other columns than these, in its own order.

    A scan asked for columns in another order than the file's puts a step behind itself that
    moves them, in which up to a dozen row groups pile up.
    """
    return plan.select([name for name in schema if name in names])
