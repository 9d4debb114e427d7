"""One request and its answer, with a limit to how long and how much.

The timeouts of an HTTP client hold for each read: a server that sends a byte a second never meets
them. So a thread of its own does the talking, and whoever wants the answer waits for it as long as
it sees fit, and leaves at once when the run is over.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import httpx

__all__ = ["SlowServerError", "Stopped", "Transfer"]

_POLL_S = 0.1
_CHUNKS_AHEAD = 4
_SLOWEST = 1024
"""Bytes a second below which an answer is not worth waiting for."""


class Stopped(Exception):  # noqa: N818 - not an error: the consumer has left
    """Raised inside a transfer that nobody wants any more."""


class SlowServerError(Exception):
    """The answer took too long; a later attempt may fare better."""


class _Left(Exception):  # noqa: N818 - never leaves this file
    """Ends the thread of an answer that nobody reads any more."""


@dataclass
class Transfer:
    """
    A request under way; a context manager, which gives the answer up on leaving.

    Parameters
    ----------
    client
        Any ``httpx.Client``.
    method, url, params, headers
        What to ask.
    patience_s
        How long the first byte may take, and each next ``patience_s`` KiB.
    stop
        Ends the wait once set.
    """

    client: httpx.Client
    method: str
    url: str
    patience_s: float
    params: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    stop: threading.Event | None = None
    _arrived: queue.Queue[Any] = field(default_factory=lambda: queue.Queue(_CHUNKS_AHEAD))
    _left: threading.Event = field(default_factory=threading.Event)
    _head: httpx.Response | None = None

    def __enter__(self) -> Self:
        # A daemon: where it waits for a server that never answers, the program need not.
        threading.Thread(target=self._talk, name="rangebar-http", daemon=True).start()
        try:
            self._head = self._take(time.monotonic() + self.patience_s)
        except BaseException:
            self._left.set()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()

    @property
    def status(self) -> int:
        """The status code."""
        assert self._head is not None
        return self._head.status_code

    @property
    def answer_headers(self) -> httpx.Headers:
        """The headers of the answer."""
        assert self._head is not None
        return self._head.headers

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it comes, not decoded.

        Raises
        ------
        SlowServerError
            Below 1 KiB a second.
        """
        deadline, count = time.monotonic() + self.patience_s, 0
        while (chunk := self._take(deadline)) is not None:
            yield chunk
            count += len(chunk)
            if count >= _SLOWEST * self.patience_s:
                deadline, count = time.monotonic() + self.patience_s, 0

    def body(self, limit: int) -> bytes | None:
        """Return the whole body, or None where it is larger than ``limit`` bytes.

        Raises
        ------
        SlowServerError
            Where it takes longer than ``patience_s``.
        """
        deadline, body = time.monotonic() + self.patience_s, bytearray()
        while (chunk := self._take(deadline)) is not None:
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    def _take(self, deadline: float) -> Any:
        while True:
            if self.stop is not None and self.stop.is_set():
                raise Stopped
            left = deadline - time.monotonic()
            if left <= 0:
                problem = f"slower than {_SLOWEST} bytes a second for {self.patience_s:g} s"
                raise SlowServerError(problem)
            try:
                thing = self._arrived.get(timeout=min(left, _POLL_S))
            except queue.Empty:
                continue
            if isinstance(thing, BaseException):
                raise thing
            return thing

    def _talk(self) -> None:
        try:
            with self.client.stream(
                self.method,
                self.url,
                params=self.params,
                headers=self.headers,
                follow_redirects=True,
            ) as answer:
                self._put(answer)
                for chunk in answer.iter_raw():
                    self._put(chunk)
            self._put(None)
        except _Left:
            return
        except BaseException as error:  # noqa: BLE001 - handed on
            self._put(error, last=True)

    def _put(self, thing: Any, *, last: bool = False) -> None:
        while not self._left.is_set():
            try:
                self._arrived.put(thing, timeout=_POLL_S)
            except queue.Full:
                continue
            return
        if not last:
            raise _Left
