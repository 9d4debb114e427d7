"""How a run learns that it is to end: Ctrl-C in a query of Polars, the program's end, a fork."""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Final

import polars as pl

from rangebar_polars.exceptions import RangeBarError

__all__ = [
    "POLL_SECONDS",
    "OwnThread",
    "Stop",
    "is_ending",
    "raise_if_interrupted",
    "refuse_in_fork",
]

POLL_SECONDS: Final = 0.1
"""How long whoever waits may go without a look whether it is to end."""

_PROBE: Final = pl.Series([0])


class OwnThread(threading.Thread):
    """A thread of this package, which works for another one, and ends when that has ended."""


def raise_if_interrupted() -> None:
    """
    Raise, in any thread, while a query of Polars is being ended by Ctrl-C.

    Python tells its main thread alone, which waits for the query and does not listen. Polars
    tells its own threads whenever they do something, but not one that waits in Python code.

    Raises
    ------
    KeyboardInterrupt
        Until every query that was running has ended.
    """
    # Any operation does: Polars looks for Ctrl-C at the beginning of each.
    _PROBE.rechunk()


def is_ending() -> bool:
    """
    Whether the program ends, and Python waits for nobody but threads of this package.

    The end of the main thread alone tells nothing: others go on, and Python waits for them.
    """
    if threading.main_thread().is_alive():
        return False
    return not any(
        thread.is_alive() and not thread.daemon and not isinstance(thread, OwnThread)
        for thread in threading.enumerate()
    )


_forked: list[bool] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _forked.append(True))


def refuse_in_fork() -> None:
    """
    Raise in a forked child, where a lazy frame would wait for ever.

    Polars starts its threads when it is imported, and a fork has none but the one that forked.

    Raises
    ------
    RangeBarError
        Says what to do.
    """
    if _forked:
        msg = (
            "lazy frames cannot be collected in a forked process: the threads of Polars are not "
            "in it; start processes by 'spawn' or 'forkserver', as "
            "multiprocessing.get_context('spawn') does"
        )
        raise RangeBarError(msg)


class Stop(threading.Event):
    """
    An event that also counts as set once the program ends.

    Polars drops a generator that it needs no further some time later, perhaps never before the
    interpreter goes; threads that wait for a consumer must not wait beyond that. A run that
    begins so late, as one in an `atexit` handler, has its consumer in it and is not stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self._late = is_ending()
        # Not the event's own, with a lock that Ctrl-C could leave held.
        self._is_set = False

    def set(self) -> None:
        """Stop."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._is_set or (not self._late and is_ending())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set; returns whether it is."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, POLL_SECONDS))
        return self.is_set()
