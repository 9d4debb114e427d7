"""HTTP with patience: retries, waiting when told to, and taking up a broken transfer."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from rangebar_polars.sources.binance.errors import ArchiveError, FetchError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx

__all__ = ["Http", "Stopped", "parse_checksum", "sha256_of"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_CHUNK = 1 << 20
_SHA256_DIGITS = 64
_BANNED = 418  # what this exchange says to those who went on after 429
_LONGEST_WAIT_S = 300.0


class Stopped(Exception):  # noqa: N818 - no error: the consumer has left
    """Raised inside a transfer that nobody wants any more."""


class _Retry(Exception):  # noqa: N818 - never leaves this file
    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


def sha256_of(path: Path) -> str:
    """Return the hash of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
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
        Attempts after the first that may fail without a single byte gained.
    backoff_s
        First pause in seconds; it doubles each time. A ``Retry-After`` takes its place.
    sleep
        Does the pauses.
    stop
        Ends transfers and pauses once set.
    """

    client: httpx.Client
    retries: int = 6
    backoff_s: float = 0.5
    sleep: Callable[[float], object] = time.sleep
    stop: threading.Event | None = None
    on_bytes: Callable[[int], None] = field(default=lambda _count: None)
    on_size: Callable[[int], None] = field(default=lambda _count: None)

    def text(self, url: str) -> str | None:
        """Return the body at ``url``; None where there is none (404)."""

        def once() -> str | None:
            response = self.client.get(url, follow_redirects=True)
            return response.text if self._checked(response, url) else None

        return self._patiently(url, once)

    def exists(self, url: str) -> bool:
        """Whether there is anything at ``url``."""

        def once() -> bool:
            response = self.client.head(url, follow_redirects=True)
            return bool(self._checked(response, url))

        return self._patiently(url, once)

    def json(self, url: str, params: dict[str, Any]) -> Any:
        """Return the JSON at ``url``; raises FetchError where there is none."""

        def once() -> Any:
            response = self.client.get(url, params=params, follow_redirects=True)
            if not self._checked(response, url):
                raise FetchError(url, "404: no such thing")
            return response.json()

        return self._patiently(url, once)

    def file(self, url: str, part: Path) -> None:
        """Download ``url`` to ``part``, going on from what is there already.

        Raises
        ------
        FetchError
            After the last retry, and at once on a 404 or another answer that time won't change.
        """
        validator: str | None = None

        def once() -> None:
            nonlocal validator
            have = part.stat().st_size if part.exists() else 0
            headers = {"Accept-Encoding": "identity"}
            if have:
                headers["Range"] = f"bytes={have}-"
                if validator is not None:
                    headers["If-Range"] = validator
            with self._stream(url, headers) as response:
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    if _full_size(response) == have:
                        return
                    part.unlink()
                    problem = "the file changed while it was fetched"
                    raise _Retry(problem)
                if not self._checked(response, url):
                    raise FetchError(url, "404: no such file")
                # Weak validators cannot vouch for bytes.
                etag = response.headers.get("ETag", "")
                validator = etag if etag.startswith('"') else None
                goes_on = response.status_code == HTTPStatus.PARTIAL_CONTENT
                self._save(response, part, append=goes_on)

        self._patiently(url, once, lambda: part.stat().st_size if part.exists() else 0)

    def _stream(self, url: str, headers: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        return self.client.stream("GET", url, headers=headers, follow_redirects=True)

    def _save(self, response: httpx.Response, part: Path, *, append: bool) -> None:
        if append and not _begins_at(response, part.stat().st_size):
            part.unlink()
            problem = "the server went on from another place than asked"
            raise _Retry(problem)
        length = response.headers.get("Content-Length", "")
        self.on_size(int(length) if length.isdigit() else 0)
        with part.open("ab" if append else "wb") as file:
            # Chunks as they come: gathered into larger ones, a break would lose what it gathered.
            for chunk in response.iter_raw():
                self._go_on()
                file.write(chunk)
                self.on_bytes(len(chunk))

    def _checked(self, response: httpx.Response, url: str) -> bool:
        """Whether there is a body; raises for every status but success and 404."""
        status = response.status_code
        if status == HTTPStatus.NOT_FOUND:
            return False
        if (
            status in {HTTPStatus.TOO_MANY_REQUESTS, _BANNED}
            or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            problem = f"status {status}"
            raise _Retry(problem, _retry_after(response))
        if status >= HTTPStatus.BAD_REQUEST:
            raise FetchError(url, f"status {status}")
        return True

    def _patiently(
        self, url: str, once: Callable[[], _T], gained: Callable[[], int] = lambda: 0
    ) -> _T:
        import httpx  # noqa: PLC0415 - an extra

        failures, best = 0, gained()
        while True:
            self._go_on()
            after: float | None = None
            try:
                return once()
            except _Retry as error:
                problem, after = str(error), error.after
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            now = gained()
            failures = 1 if now > best else failures + 1
            best = now
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
        if self.stop is not None and self.sleep is time.sleep:
            self.stop.wait(seconds)
        else:
            self.sleep(seconds)

    def _go_on(self) -> None:
        if self.stop is not None and self.stop.is_set():
            raise Stopped


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _begins_at(response: httpx.Response, offset: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")


def _full_size(response: httpx.Response) -> int | None:
    size = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(size) if size.isdigit() else None


def parse_checksum(text: str, name: str) -> str:
    """Return the hash in the text of a ``.CHECKSUM`` file.

    Raises
    ------
    ArchiveError
        Where the text is no hash of the file ``name``.
    """
    words = text.split()
    good = (
        bool(words)
        and len(words[0]) == _SHA256_DIGITS
        and all(c in "0123456789abcdefABCDEF" for c in words[0])
        and (len(words) == 1 or words[1].lstrip("*") == name)
    )
    if not good:
        raise ArchiveError(f"{name}.CHECKSUM", f"no sha256 of {name} in it: {text[:80]!r}")
    return words[0].lower()
