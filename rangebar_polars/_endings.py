"""How a run learns that it is to end: Ctrl-C in a query of Polars, the program's end, a fork."""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from typing import Final

import polars as pl

from rangebar_polars.exceptions import RangeBarError

__all__ = [
    "POLL_SECONDS",
    "RUNS",
    "OwnThread",
    "Stop",
    "is_ending",
    "raise_if_interrupt",
    "raise_if_interrupted",
    "refuse_in_fork",
    "stay_at_exit",
]

POLL_SECONDS: Final = 0.1
"""How long whoever waits may go without a look whether it is to end."""

_SIGNS: Final = ("__POLARS_ABORT_KEYBOARD_INTERRUPT", "type: <class 'KeyboardInterrupt'>")

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


def raise_if_interrupt(error: BaseException) -> None:
    """
    Raise where ``error`` is what Ctrl-C has become on its way through Polars.

    Whoever takes an error for a fault of a file or of a trade asks here first: some steps of
    Polars, such as its Parquet writer, panic when they are stopped.

    Raises
    ------
    KeyboardInterrupt
        From ``error``.
    """
    if isinstance(error, pl.exceptions.PanicException):
        text = str(error)
        if any(sign in text for sign in _SIGNS):
            raise KeyboardInterrupt from error


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


RUNS: Final[set[object]] = set()
"""Runs of sources that have begun, as far as they may yet want to run Python code."""


def stay_at_exit(run: object) -> None:
    """
    Never return, if the program ends and only a daemon thread can be waiting for this run.

    Once the interpreter goes, a thread of Polars that as much as tries to run Python code takes
    the whole process down. One that waits for ever does not, and ends with the process.
    """
    main = threading.main_thread()
    if not is_ending() or threading.get_ident() == main.ident:
        return
    # A plan that ends has told so just before. Another one may be waiting for this run itself.
    until = time.monotonic() + 2 * POLL_SECONDS
    while any(isinstance(thread, OwnThread) for thread in threading.enumerate()):
        if time.monotonic() > until:
            return
        time.sleep(0.005)
    frame = sys._current_frames().get(main.ident or 0)  # noqa: SLF001 - its public name
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    if frame is None or frame.f_code in _NO_HANDLER:
        RUNS.discard(run)
        forever = threading.Lock()
        forever.acquire()
        forever.acquire()


def _wait_for_runs() -> None:
    """Let runs for daemon threads come to where they stay; some never do, as nobody takes."""
    until = time.monotonic() + 5 * POLL_SECONDS
    while RUNS and time.monotonic() < until:
        time.sleep(0.005)


# What the main thread is in when it is in no `atexit` handler that waits for bars.
_NO_HANDLER: Final = {vars(threading)["_shutdown"].__code__, _wait_for_runs.__code__}

atexit.register(_wait_for_runs)

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
