"""Files on their way from the archive, asked for and fetched on other threads than the reader's."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from rangebar_polars._threads import Task, Workers
from rangebar_polars.sources.binance.errors import ArchiveError
from rangebar_polars.sources.binance.http import Http, parse_checksum, sha256_of
from rangebar_polars.sources.binance.planning import Published
from rangebar_polars.sources.binance.transfer import Sockets, Stopped
from rangebar_polars.store.typed import acquire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import httpx

    from rangebar_polars.sources.binance.files import ArchiveFile
    from rangebar_polars.sources.binance.options import Access
    from rangebar_polars.sources.binance.report import FetchReport, Progress

__all__ = ["Download", "Downloads"]

_log = logging.getLogger(__name__)
_POLL_S = 0.5
_TIMEOUT_S = 30.0
_PROBES = 8
_KEPT_S = 24 * 3600.0
"""How long a file that came in part waits for a run that wants it."""


@dataclass(frozen=True)
class Download:
    """A checked file on disk, and the lock that keeps other processes from fetching it too."""

    path: Path
    sha256: str
    lock: FileLock


class Downloads:
    """
    The archive's answers and files, each fetched once.

    Parameters
    ----------
    access
        Servers, client and patience.
    folder
        Where files lie until they are stored.
    is_stored
        Whether a file is in the store with this hash; asked once its lock is held, as another
        process may have been faster.
    stop
        Ends every transfer once set.
    """

    def __init__(
        self,
        access: Access,
        folder: Path,
        is_stored: Callable[[ArchiveFile, str | None], bool],
        stop: threading.Event,
        report: FetchReport,
        progress: Progress,
    ) -> None:
        self._access = access
        self._folder = folder
        self._is_stored = is_stored
        self._stop = stop
        self._report = report
        self._progress = progress
        self._exits = ExitStack()
        self._fetching = Workers(1, "rangebar-fetch")
        self._coming: dict[str, Task[Download | None]] = {}
        self._sockets = Sockets()
        self._keep = False
        self._http: Http | None = None
        self._http_lock = threading.Lock()

    def close(self, *, keep: bool) -> None:
        """Give up whatever is under way, and set `stop`.

        Parameters
        ----------
        keep
            Whether what has come already stays for the next run to resume.
        """
        self._keep = keep
        # No wait for a transfer: it sees `stop` soon.
        self._stop.set()
        for task in self._coming.values():
            task.abandon(self.let_go)
        self._fetching.close()
        self._sockets.shut_down()
        self._exits.close()

    def let_go(self, download: Download | None) -> None:
        """Give up a file that nobody waits for any more."""
        if download is not None:
            if not self._keep:
                download.path.unlink(missing_ok=True)
            download.lock.release()

    def ask_all(
        self, ask: Callable[[ArchiveFile], Published | None], files: Iterable[ArchiveFile]
    ) -> list[Published | None]:
        """Ask about several files at a time; the answers come in their order."""
        probing = Workers(_PROBES, "rangebar-probe")
        try:
            tasks = [probing.submit(partial(ask, file)) for file in files]
            return [task.result() for task in tasks]
        finally:
            probing.close()

    def probe(self, file: ArchiveFile, *, retries: int | None = None) -> Published | None:
        """Ask the archive about a file; None where it is not published.

        Raises
        ------
        FetchError
            Where the server does not answer.
        ArchiveError
            Where the published hash is not readable as one.
        """
        http = self.http()
        if retries is not None:
            http = replace(http, retries=min(retries, http.retries))
        url = file.url(self._access.base_url)
        if not self._access.checksum:
            return Published(None) if http.exists(url) else None
        text = http.text(f"{url}.CHECKSUM")
        return None if text is None else Published(parse_checksum(text, file.name))

    def request(self, file: ArchiveFile, sha256: str | None) -> Task[Download | None]:
        """Have a file fetched. None comes out where another process has stored it meanwhile."""
        if file.name not in self._coming:
            self._coming[file.name] = self._fetching.submit(partial(self._download, file, sha256))
        return self._coming[file.name]

    def take(self, file: ArchiveFile, sha256: str | None) -> Download | None:
        """Wait for a file; whoever takes it releases its lock."""
        download = self.request(file, sha256).result()
        del self._coming[file.name]
        return download

    def forget(self, file: ArchiveFile, sha256: str | None) -> None:
        """Remove what a run left behind that was killed right after it had stored the file."""
        self._part(file, sha256).unlink(missing_ok=True)

    def clear_old(self, wanted: Iterable[ArchiveFile]) -> None:
        """Remove what runs that failed or were killed have left, and none has asked for since.

        Not what this one wants, nor what another process is fetching.
        """
        if not self._folder.is_dir():
            return
        names = {file.name for file in wanted}
        for part in self._folder.glob("*.part"):
            name = part.name.rsplit(".", 2)[0]  # without the hash
            try:
                if name in names or time.time() - part.stat().st_mtime < _KEPT_S:
                    continue
                lock = FileLock(self._folder / f"{name}.lock", thread_local=False)
                acquire(lock, 0)
            except (Timeout, FileNotFoundError):
                continue
            part.unlink(missing_ok=True)
            lock.release()

    def http(self) -> Http:
        """Make the client at the first need: what is stored and trusted needs no network."""
        with self._http_lock:
            if self._http is None:
                access = self._access
                client = access.client
                if client is None:
                    client = self._exits.enter_context(_default_client())
                self._http = Http(
                    client,
                    access.retries,
                    access.backoff_s,
                    stop=self._stop,
                    sockets=self._sockets,
                    on_bytes=self._count_bytes,
                    on_size=self._progress.expect_bytes,
                )
            return self._http

    def _count_bytes(self, count: int) -> None:
        self._report.bytes_downloaded += count
        self._progress.add_bytes(count)

    def _download(self, file: ArchiveFile, sha256: str | None) -> Download | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{file.name}.lock", thread_local=False)
        self._acquire(lock)
        try:
            if self._is_stored(file, sha256):
                lock.release()
                return None
            path, found = self._transfer(file, sha256)
        except BaseException as error:
            if isinstance(error, Stopped | KeyboardInterrupt) and not self._keep:
                for part in self._parts(file):
                    part.unlink(missing_ok=True)
            lock.release()
            raise
        return Download(path, found, lock)

    def _acquire(self, lock: FileLock) -> None:
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                acquire(lock, _POLL_S)
            except Timeout:
                continue
            return

    def _transfer(self, file: ArchiveFile, sha256: str | None) -> tuple[Path, str]:
        """Fetch and check a file; one that was replaced meanwhile is asked for once more."""
        found = ""
        for attempt in (1, 2):
            part = self._part(file, sha256)
            for stale in self._parts(file):
                if stale != part or sha256 is None:
                    stale.unlink()
            self.http().file(file.url(self._access.base_url), part)
            found = sha256_of(part, self._stop)
            if sha256 in {None, found}:
                return part, found
            part.unlink()
            if attempt == 1:
                _log.warning("%s: hash mismatch, fetching again", file.name)
                published = self.probe(file)
                sha256 = sha256 if published is None else published.sha256
        problem = f"its sha256 differs from the published one: {found}, expected {sha256}"
        raise ArchiveError(file.name, problem)

    def _parts(self, file: ArchiveFile) -> list[Path]:
        """What there is of a file, of whatever version of it."""
        found = self._folder.iterdir()
        return [p for p in found if p.name.startswith(f"{file.name}.") and p.suffix == ".part"]

    def _part(self, file: ArchiveFile, sha256: str | None) -> Path:
        # The hash in the name: what is left of another version is never resumed.
        version = (sha256 or "unchecked")[:16]
        return self._folder / f"{file.name}.{version}.part"


def _default_client() -> httpx.Client:
    try:
        import httpx  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "the archive needs httpx: pip install 'rangebar_polars[binance]'"
        raise ImportError(msg) from error
    return httpx.Client(timeout=_TIMEOUT_S)
