"""The thread that runs a lazy plan: its batches, one after the other, for whoever takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Generator
from typing import Any

import polars as pl

from rangebar_polars._prefetch import bounded_prefetch

__all__ = ["Stop", "run_plan", "with_columns_only"]


_POLL_SECONDS = 0.2
_ABANDONED_SECONDS = 2.0


class Stop(threading.Event):
    """
    An event that also counts as set once the program ends.

    Polars drops a generator that it needs no further some time later, perhaps never before the
    interpreter goes; threads that wait for a consumer must not wait beyond that.
    """

    def is_set(self) -> bool:
        """Whether to stop."""
        return super().is_set() or not threading.main_thread().is_alive()


class _Handoff:
    """
    A place for one thing, between the thread that runs the plan and the one that takes bars.

    A `queue.Queue(1)`, but one that a giver can be sent home from: without that, whoever stops
    taking would leave a thread of Polars waiting for ever.

    The end of the main thread tells nothing: another may go on taking, as Python waits for it. So
    a giver leaves only if nobody has come for a while, and says so to whoever comes later.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._things: list[Any] = []
        self._taken_at = time.monotonic()
        self.stop = threading.Event()

    def put(self, thing: Any) -> None:
        """Hand over `thing`, when there is room; drop it if nobody takes any more."""
        with self._changed:
            while self._things and not self.stop.is_set():
                # Not for ever, as nobody wakes a waiter when the program ends.
                self._changed.wait(_POLL_SECONDS)
                if self._is_abandoned():
                    self.stop.set()
            if not self.stop.is_set():
                self._things.append(thing)
            self._changed.notify_all()

    def _is_abandoned(self) -> bool:
        silence = time.monotonic() - self._taken_at
        return not threading.main_thread().is_alive() and silence > _ABANDONED_SECONDS

    def take(self) -> Any:
        """
        What is handed over, once it is.

        Raises
        ------
        RuntimeError
            If the giver has left, so that the rest would be missing.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._things or self.stop.is_set())
            if not self._things:
                msg = "the program ended, and nobody took the rest of the bars for a while"
                raise RuntimeError(msg)
            thing = self._things.pop()
            self._taken_at = time.monotonic()
            self._changed.notify_all()
            return thing

    def close(self) -> None:
        """Take no more."""
        self.stop.set()
        with self._changed:
            self._changed.notify_all()


class _End:
    """The end of a plan, and what it ended with."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def run_plan(
    plan: pl.LazyFrame, work: Callable[[pl.DataFrame], pl.DataFrame | None]
) -> Generator[pl.DataFrame, None, None]:
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
    """
    handoff = _Handoff()

    def on_batch(batch: pl.DataFrame) -> bool:
        made = work(batch)
        if made is not None and made.height > 0:
            handoff.put(made)
        # True tells the engine to stop early.
        return handoff.stop.is_set()

    def run() -> None:
        error: BaseException | None = None
        try:
            with bounded_prefetch():
                plan.sink_batches(on_batch, maintain_order=True, engine="streaming")
        except BaseException as raised:  # noqa: BLE001 - handed on, a panic too
            error = raised
        handoff.put(_End(error))

    # Not a daemon: killed inside Polars at exit, a daemon takes the whole process down.
    threading.Thread(target=run, name="rangebar-plan", daemon=False).start()
    try:
        while True:
            thing = handoff.take()
            if isinstance(thing, _End):
                break
            yield thing
            # Not to be held while waiting for the next one: that would be a batch more in memory.
            del thing
        if thing.error is not None:
            raise thing.error
    finally:
        # No join: whoever leaves early, often a thread of Polars itself, need not wait.
        try:
            handoff.close()
        except KeyboardInterrupt:
            # Polars closes this generator when Ctrl-C ends a query, and Python may raise the
            # very same Ctrl-C right here; the plan must be stopped all the same.
            handoff.close()
            raise


def with_columns_only(plan: pl.LazyFrame, schema: pl.Schema, names: Container[str]) -> pl.LazyFrame:
    """
    `plan`, of the given schema, with no other columns than these, in its own order.

    A scan asked for columns in another order than the file's puts a step behind itself that
    moves them, in which up to a dozen row groups pile up.
    """
    return plan.select([name for name in schema if name in names])
