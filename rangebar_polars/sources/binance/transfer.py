"""One request and its answer, with a limit to how long and how much.

The timeouts of an HTTP client hold for each read: a server that sends a byte a second never meets
them. So a thread of its own does the talking, and whoever wants the answer waits for it as long as
it sees fit, and leaves at once when the run is over, or Ctrl-C ends a query.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rangebar_polars._endings import POLL_SECONDS, is_ending, raise_if_interrupted

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    import httpx

__all__ = ["SlowServerError", "Sockets", "Stopped", "Transfer"]

_CHUNKS_AHEAD = 4
_SLOWEST = 1024
"""Bytes a second below which an answer is not worth waiting for."""


class Stopped(Exception):  # noqa: N818 - not an error: the consumer has left
    """Raised inside a transfer that nobody wants any more."""

    def __init__(self) -> None:
        super().__init__("the program ended before the archive's files were there")


class Sockets:
    """The connections of a client, so that whoever waits on one for a server can be woken."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Note a connection; what httpx calls at every step of a request."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._open.append(found)

    def shut_down(self) -> None:
        """End whatever is sent or received."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


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
    sockets: Sockets = field(default_factory=Sockets)
    # Without a lock of Python's, which Ctrl-C could leave held.
    _arrived: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue[Any])
    _room: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue[None])
    _left: bool = False
    _head: httpx.Response | None = None
    _answer: Generator[Any] | None = None

    def __post_init__(self) -> None:
        for _ in range(_CHUNKS_AHEAD):
            self._room.put(None)

    def __enter__(self) -> Self:
        if is_ending():
            # Python starts no more threads: then without a deadline but the client's own.
            self._answer = self._talk()
        else:
            # A daemon: where it waits for a server that never answers, the program need not.
            threading.Thread(target=self._send, name="rangebar-http", daemon=True).start()
        try:
            self._head = self._take(time.monotonic() + self.patience_s)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        self._left = True
        if self._answer is not None:
            self._answer.close()

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
            if self._answer is not None:
                return next(self._answer)
            try:
                thing = self._arrived.get(timeout=min(left, POLL_SECONDS))
            except queue.Empty:
                raise_if_interrupted()
                continue
            self._room.put(None)
            if isinstance(thing, BaseException):
                raise thing
            return thing

    def _talk(self) -> Generator[Any]:
        """Give the head of the answer, the chunks of its body, and None at its end."""
        with self.client.stream(
            self.method,
            self.url,
            params=self.params,
            headers=self.headers,
            follow_redirects=True,
            extensions={"trace": self.sockets.trace},
        ) as answer:
            yield answer
            yield from answer.iter_raw()
        yield None

    def _send(self) -> None:
        try:
            for thing in self._talk():
                self._put(thing)
        except _Left:
            return
        except BaseException as error:  # noqa: BLE001 - handed on
            self._put(error, last=True)

    def _put(self, thing: Any, *, last: bool = False) -> None:
        while not self._left:
            with contextlib.suppress(queue.Empty):
                self._room.get(timeout=POLL_SECONDS)
                self._arrived.put(thing)
                return
        if not last:
            raise _Left
