"""Work on several things at once, with the results in order and few of them in memory."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from rangebar_polars._threads import Task, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

__all__ = ["ordered_map"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def ordered_map(
    work: Callable[[_In], _Out], things: Iterable[_In], workers: int
) -> Generator[_Out]:
    """Yield ``work(thing)`` for each, in order; at most ``workers`` things are ahead.

    ``things`` is drawn from on the caller's thread. Closing the generator drops what is ahead.
    """
    waiting: deque[Task[_Out]] = deque()
    pool = Workers(workers, "rangebar-work")
    try:
        for thing in things:
            waiting.append(pool.submit(partial(work, thing)))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.close()
