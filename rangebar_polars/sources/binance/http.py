"""HTTP with patience: retries, waiting when told to, and resuming a broken transfer.

Nothing that a server sends is trusted: every answer has a largest size and a slowest pace, and
whatever goes wrong with one comes out as `FetchError`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import random
import time
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rangebar_polars._endings import POLL_SECONDS, raise_if_interrupted
from rangebar_polars.sources.binance.errors import ArchiveError, FetchError
from rangebar_polars.sources.binance.transfer import (
    SlowServerError,
    Sockets,
    Stopped,
    Transfer,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    import httpx

__all__ = ["Http", "parse_checksum", "sha256_of"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_CHUNK: Final = 1 << 20
_SHA256_DIGITS: Final = 64
_BANNED: Final = 418  # what this exchange says to those who went on after 429
_LONGEST_WAIT_S: Final = 300.0
_GAIN: Final = 16 << 10
"""Bytes that make patience new: a server that gives less between its failures is failing."""

MAX_TEXT: Final = 64 << 10
"""Bytes of a checksum, at most; real ones have about a hundred."""
MAX_JSON: Final = 4 << 20
"""Bytes of a page of a thousand trades, at most; real ones have 150 thousand."""
MAX_FILE: Final = 16 << 30
"""Bytes of a zip, at most; a month of the busiest symbol has about one billion."""
_SHOWN: Final = 200


class _RetryError(Exception):  # never leaves this file
    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


def sha256_of(path: Path, stop: threading.Event | None = None) -> str:
    """Return the hash of a file as 64 hex digits; raises Stopped once ``stop`` is set."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if stop is not None and stop.is_set():
                raise Stopped
            digest.update(chunk)
    return digest.hexdigest()


@dataclass
class Http:
    """A client and how patient to be with the server behind it.

    Parameters
    ----------
    client
        Any ``httpx.Client``: proxies, headers, limits and timeouts are its business.
    retries
        Attempts after the first that may fail without a gain worth mentioning.
    backoff_s
        First pause in seconds; it doubles each time. A ``Retry-After`` takes its place.
    sleep
        Does the pauses.
    stop
        Ends transfers and pauses once set.
    patience_s
        Seconds that an answer may take to begin; a file then has to come at 1 KiB a second,
        anything else within as many seconds again.
    sockets
        Gets to know the client's connections.
    """

    client: httpx.Client
    retries: int = 6
    backoff_s: float = 0.5
    sleep: Callable[[float], object] = time.sleep
    stop: threading.Event | None = None
    patience_s: float = 60.0
    sockets: Sockets = field(default_factory=Sockets)
    on_bytes: Callable[[int], None] = field(default=lambda _count: None)
    on_size: Callable[[int], None] = field(default=lambda _count: None)

    def text(self, url: str) -> str | None:
        """Return the body at ``url``, 64 KiB at most; None where there is none (404)."""

        def once() -> str | None:
            with self._asked("GET", url) as answer:
                if not self._found(answer, url):
                    return None
                return _body(answer, url, MAX_TEXT).decode("utf-8", "replace")

        return self._patiently(url, once)

    def exists(self, url: str) -> bool:
        """Whether there is anything at ``url``."""

        def once() -> bool:
            with self._asked("HEAD", url) as answer:
                return self._found(answer, url)

        return self._patiently(url, once)

    def json(self, url: str, params: dict[str, Any]) -> Any:
        """Return the JSON at ``url``, 4 MiB at most; raises FetchError where there is none."""

        def once() -> Any:
            with self._asked("GET", url, params=params) as answer:
                if not self._found(answer, url):
                    raise FetchError(url, "404: not found")
                body = _body(answer, url, MAX_JSON)
            try:
                return json.loads(body)
            except (ValueError, RecursionError) as error:
                problem = f"the answer is not JSON ({error}): {body[:_SHOWN]!r}"
                raise _RetryError(problem) from error

        return self._patiently(url, once)

    def file(self, url: str, part: Path) -> None:
        """Download ``url`` to ``part``, resuming behind what is there already.

        Raises
        ------
        FetchError
            After the last retry, and at once on a 404 or another answer that time won't change.
        """
        validator: str | None = None

        def once() -> None:
            nonlocal validator
            have = part.stat().st_size if part.exists() else 0
            headers: dict[str, str] = {}
            if have:
                headers["Range"] = f"bytes={have}-"
                if validator is not None:
                    headers["If-Range"] = validator
            with self._asked("GET", url, headers=headers) as answer:
                if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    if have and _full_size(answer) == have:
                        return
                    part.unlink(missing_ok=True)
                    problem = "status 416: the file changed while it was fetched"
                    raise _RetryError(problem)
                resumed = answer.status == HTTPStatus.PARTIAL_CONTENT
                if resumed and not (have and _begins_at(answer, have)):
                    part.unlink(missing_ok=True)
                    problem = "the server sent another part of the file than was asked for"
                    raise _RetryError(problem)
                if not resumed and not self._found(answer, url):
                    raise FetchError(url, "404: not found")
                # Weak validators cannot vouch for bytes.
                etag = answer.answer_headers.get("ETag", "")
                validator = etag if etag.startswith('"') else None
                self._save(answer, url, part, have if resumed else 0)

        self._patiently(url, once, lambda: part.stat().st_size if part.exists() else 0)

    def _asked(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Transfer:
        # Not packed: what unpacks to gigabytes would have to be stopped while it does.
        headers = {"Accept-Encoding": "identity", **(headers or {})}
        return Transfer(
            self.client, method, url, self.patience_s, params, headers, self.stop, self.sockets
        )

    def _save(self, answer: Transfer, url: str, part: Path, have: int) -> None:
        coding = answer.answer_headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise FetchError(url, f"sent as {coding!r}, which was not asked for")
        length = answer.answer_headers.get("Content-Length", "")
        size = int(length) if _is_number(length) else 0
        if have + size > MAX_FILE:
            raise FetchError(url, f"refused: {have + size} bytes, the limit is {MAX_FILE}")
        self.on_size(size)
        with part.open("ab" if have else "wb") as file:
            # Chunks as they come: gathered into larger ones, a break would lose what it gathered.
            for chunk in answer.chunks():
                have += len(chunk)
                if have > MAX_FILE:
                    raise FetchError(url, f"refused: more than {MAX_FILE} bytes")
                file.write(chunk)
                self.on_bytes(len(chunk))

    def _found(self, answer: Transfer, url: str) -> bool:
        """Whether there is a body; raises for every status but 200 and 404."""
        status = answer.status
        if status == HTTPStatus.OK:
            return True
        if status == HTTPStatus.NOT_FOUND:
            return False
        problem = f"status {status}"
        if (
            status in {HTTPStatus.TOO_MANY_REQUESTS, _BANNED}
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            after = _retry_after(answer)
            if after is not None and after > _LONGEST_WAIT_S:
                # Asking again before that would only make the exchange's ban longer.
                raise FetchError(url, f"{problem}, and it asks for a wait of {after:.0f} s")
            raise _RetryError(problem, after)
        if status >= HTTPStatus.BAD_REQUEST and answer.method != "HEAD":
            # The exchange says there what it did not like.
            said = " ".join((answer.body(MAX_TEXT) or b"").decode("utf-8", "replace").split())
            problem += f": {said[:_SHOWN]}" if said else ""
        raise FetchError(url, problem)

    def _patiently(
        self, url: str, once: Callable[[], _T], gained: Callable[[], int] = lambda: 0
    ) -> _T:
        import httpx  # noqa: PLC0415 - an extra

        failures, best = 0, gained()
        while True:
            if self.stop is not None and self.stop.is_set():
                raise Stopped
            after: float | None = None
            try:
                return once()
            except _RetryError as error:
                problem, after = str(error), error.after
            except SlowServerError as error:
                problem = str(error)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise FetchError(url, f"{type(error).__name__}: {error}") from error
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            except httpx.HTTPError as error:  # too many redirects, say
                raise FetchError(url, f"{type(error).__name__}: {error}") from error
            now = gained()
            if now >= best + _GAIN:
                failures, best = 0, now
            failures += 1
            if failures > self.retries:
                raise FetchError(url, f"gave up after {failures} attempts: {problem}")
            pause = after
            if pause is None:
                # Jitter, so that many clients do not come back at the same instant.
                pause = self.backoff_s * 2 ** (failures - 1) * random.uniform(0.5, 1.0)
            pause = min(pause, _LONGEST_WAIT_S)
            _log.info("%s: %s, again in %.1f s", url, problem, pause)
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        if self.stop is None or self.sleep is not time.sleep:
            self.sleep(seconds)
            return
        until = time.monotonic() + seconds
        while not self.stop.is_set() and (left := until - time.monotonic()) > 0:
            self.stop.wait(min(left, POLL_SECONDS))
            raise_if_interrupted()


def _body(answer: Transfer, url: str, limit: int) -> bytes:
    """The body, unpacked where a server packs it though asked not to."""
    coding = answer.answer_headers.get("Content-Encoding", "identity").strip().lower()
    body = answer.body(limit)
    if body is not None and coding in {"gzip", "x-gzip"}:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            body = unpacker.decompress(body, limit + 1)
        except zlib.error as error:
            problem = f"the answer is not the gzip that it says it is: {error}"
            raise _RetryError(problem) from error
        if len(body) > limit:
            body = None
        elif not unpacker.eof:
            problem = "the answer is gzip that ends early"
            raise _RetryError(problem)
    elif coding not in {"", "identity"}:
        raise FetchError(url, f"sent as {coding!r}, which was not asked for")
    if body is None:
        raise FetchError(url, f"refused: an answer of more than {limit} bytes")
    return body


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < len(str(2**63))


def _retry_after(answer: Transfer) -> float | None:
    text = answer.answer_headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text) if _is_number(text) else math.inf
    try:
        then = parsedate_to_datetime(text)
        if then.tzinfo is None:
            then = then.replace(tzinfo=UTC)
        return max(0.0, (then - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _begins_at(answer: Transfer, offset: int) -> bool:
    return answer.answer_headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _full_size(answer: Transfer) -> int | None:
    size = answer.answer_headers.get("Content-Range", "").rpartition("/")[2]
    return int(size) if _is_number(size) else None


def parse_checksum(text: str, name: str) -> str:
    """Return the hash in the text of a ``.CHECKSUM`` file.

    Raises
    ------
    ArchiveError
        Where the text does not hold a hash of the file ``name``.
    """
    words = text.split()
    good = (
        bool(words)
        and len(words[0]) == _SHA256_DIGITS
        and all(c in "0123456789abcdefABCDEF" for c in words[0])
        and (len(words) == 1 or words[1].lstrip("*") == name)
    )
    if not good:
        raise ArchiveError(f"{name}.CHECKSUM", f"expected the sha256 of {name}, got {text[:80]!r}")
    return words[0].lower()
