"""Work on several things at once, with the results in order and few of them in memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

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
    waiting: deque[Future[_Out]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="rangebar-work") as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(work, thing))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
