"""Threads that work for one run, and end with it however it ends.

Not those of `concurrent.futures`: they take no more work once the main thread has ended, though
others go on, and who waits for their results waits deaf to Ctrl-C.
"""

from __future__ import annotations

import queue
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from rangebar_polars._endings import POLL_SECONDS, OwnThread, is_ending, raise_if_interrupted

__all__ = ["Cancelled", "Task", "Workers"]

_T = TypeVar("_T")


class Cancelled(Exception):  # noqa: N818 - not an error: nobody wants the result any more
    """What a task ends with whose workers were closed before it began."""


class Task(Generic[_T]):
    """Something to be done by a worker, for one who waits for the result, or does not."""

    def __init__(self, work: Callable[[], _T], otherwise: Callable[[], object] | None) -> None:
        self._work = work
        self._otherwise = otherwise
        # Without a lock of Python's, which Ctrl-C could leave held.
        self._outcome: queue.SimpleQueue[tuple[list[_T], BaseException | None]]
        self._outcome = queue.SimpleQueue()
        self._unwanted: Callable[[_T], object] | None = None

    def run(self) -> None:
        """Do it."""
        work = self._work
        del self._work  # nor what it works on, which may be large
        try:
            self._outcome.put(([work()], None))
        except BaseException as error:  # noqa: BLE001 - handed on
            self._outcome.put(([], error))
        self._throw_away()
        # Or the error, which has this frame, would keep it alive: until Python looks for cycles.
        del self, work

    def cancel(self) -> None:
        """Do not begin it."""
        if self._otherwise is not None:
            self._otherwise()
        self._outcome.put(([], Cancelled()))

    def result(self) -> _T:
        """Wait for the result, once.

        Raises
        ------
        KeyboardInterrupt
            For Ctrl-C in a query of Polars, whichever thread waits.
        BaseException
            What the work raised.
        """
        while True:
            with suppress(queue.Empty):
                results, error = self._outcome.get(timeout=POLL_SECONDS)
                break
            raise_if_interrupted()
        if error is None:
            return results[0]
        try:
            raise error
        finally:
            del self, error  # as in `run`

    def abandon(self, unwanted: Callable[[_T], object]) -> None:
        """Wait for it no more; a result, now or later, goes to ``unwanted``."""
        self._unwanted = unwanted
        self._throw_away()

    def _throw_away(self) -> None:
        if self._unwanted is not None:
            with suppress(queue.Empty):
                for result in self._outcome.get_nowait()[0]:
                    self._unwanted(result)


class _Line:
    """Tasks that wait, and whether more may come; all that a worker knows of its owner."""

    def __init__(self, owner: Workers) -> None:
        self.tasks: queue.SimpleQueue[Task[object]] = queue.SimpleQueue()
        self.closed = False
        self._owner = weakref.ref(owner)

    def is_over(self) -> bool:
        return self.closed or self._owner() is None or is_ending()


class Workers:
    """Up to ``count`` threads, begun when there is work for them."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._begun = 0
        self._line = _Line(self)

    def submit(
        self, work: Callable[[], _T], *, otherwise: Callable[[], object] | None = None
    ) -> Task[_T]:
        """
        Have something done; at the end of the program, when no thread starts, here and now.

        Parameters
        ----------
        otherwise
            Called if the workers are closed before it is begun.
        """
        task = Task(work, otherwise)
        if is_ending():
            task.run()
            return task
        if self._line.closed:
            task.cancel()
            return task
        self._line.tasks.put(task)  # pyright: ignore[reportArgumentType] - a line of all kinds
        if self._begun < self._count:
            self._begun += 1
            OwnThread(target=_work_off, args=(self._line,), name=self._name, daemon=False).start()
        return task

    def close(self) -> None:
        """Take no more; what is under way ends by itself, and what waits is cancelled."""
        self._line.closed = True


def _work_off(line: _Line) -> None:
    try:
        while not line.is_over():
            with suppress(queue.Empty):
                line.tasks.get(timeout=POLL_SECONDS).run()
                continue
            # Polars drops a generator that it ended for Ctrl-C some time later, and its owner.
            raise_if_interrupted()
    except KeyboardInterrupt:
        line.closed = True
    with suppress(queue.Empty):
        while True:
            line.tasks.get_nowait().cancel()
