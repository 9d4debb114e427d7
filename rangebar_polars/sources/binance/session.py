"""From the archive into the store, file by file, with the next one on its way meanwhile."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from filelock import FileLock, Timeout

from rangebar_polars._plan import Stop
from rangebar_polars.sources.binance.decode import decode_csv
from rangebar_polars.sources.binance.errors import ArchiveError, MissingDaysError
from rangebar_polars.sources.binance.files import ARCHIVE_URL, REST_URLS, ArchiveFile, Feed
from rangebar_polars.sources.binance.http import Http, parse_checksum, sha256_of
from rangebar_polars.sources.binance.planning import Plan, Step, make_plan
from rangebar_polars.sources.binance.report import FetchReport, Progress, TqdmProgress
from rangebar_polars.sources.binance.rest import fetch_recent
from rangebar_polars.sources.binance.transfer import Stopped
from rangebar_polars.sources.binance.unzip import csv_blocks, open_csv
from rangebar_polars.store import Origin, TradeStore
from rangebar_polars.store.layout import Series, series
from rangebar_polars.store.reading import read_part
from rangebar_polars.store.time_range import TimeRange
from rangebar_polars.store.typed import acquire
from rangebar_polars.store.writing import write_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType
    from typing import Self

    import httpx
    import polars as pl

__all__ = ["Access", "Missing", "Session"]

_log = logging.getLogger(__name__)
_POLL_S = 0.5
_TIMEOUT_S = 30.0

Missing: TypeAlias = Literal["error", "skip"]


@dataclass(frozen=True)
class Access:
    """How to get at the archive: everything but what is asked for."""

    store: TradeStore
    missing: Missing = "error"
    recent: bool = False
    checksum: bool = True
    revalidate: bool = True
    base_url: str = ARCHIVE_URL
    rest_url: str | None = None
    client: httpx.Client | None = None
    retries: int = 6
    backoff_s: float = 0.5
    progress: bool = False


@dataclass(frozen=True)
class _Download:
    """A file on disk and the lock that keeps other processes from fetching it too."""

    path: Path
    sha256: str
    lock: FileLock


def utc_today() -> date:
    """Return today's date in UTC."""
    return datetime.now(UTC).date()


class Session:
    """One run over the archive. Use it as a context manager: leaving it ends every transfer."""

    def __init__(self, feed: Feed, access: Access, report: FetchReport) -> None:
        self.feed = feed
        self.access = access
        self.report = report
        self._place: Series = series(access.store.root, feed.source, feed.symbol)
        self._stop = Stop()
        self._exits = ExitStack()
        self._progress = Progress()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rangebar-fetch")
        # Files are taken in on one thread, not on whichever asks: the C library keeps freed
        # memory for each thread, and Polars asks from another one each time.
        self._storing = ThreadPoolExecutor(1, thread_name_prefix="rangebar-store")
        self._coming: dict[Step, Future[_Download | None]] = {}
        self._http: Http | None = None

    def __enter__(self) -> Self:
        if self.access.progress:
            self._progress = TqdmProgress(self.feed.symbol)
        self._exits.enter_context(self._progress)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for future in self._coming.values():
            future.add_done_callback(_let_go)
        # No wait for a transfer: it sees `stop` at its next chunk, or its client closed.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._storing.shutdown(wait=False)
        self._exits.close()

    def batches(
        self,
        time_range: TimeRange,
        work: Callable[[pl.LazyFrame], pl.LazyFrame],
        *,
        ahead: bool = True,
    ) -> Generator[pl.DataFrame]:
        """Fetch what the store lacks, and yield the trades of the days asked for, in batches.

        The trades of a file come once the file behind it is stored as well: a trade near
        midnight may stand in the file of the next day. ``work`` filters and selects.

        Parameters
        ----------
        ahead
            Whether to download the next file while one is stored and read. Not where the
            consumer may well stop before it.
        """
        plan = self._plan(time_range)
        self._progress.expect_days(sum(step.days for step in plan.steps))
        behind: Step | None = None
        for index, step in enumerate(plan.steps):
            self._store(step, plan.steps[index + 1 :] if ahead else [])
            self._progress.add_days(step.days)
            if behind is not None:
                yield from self._part(behind, time_range, work)
            behind = step
        if behind is not None:
            yield from self._part(behind, time_range, work)

    def _plan(self, time_range: TimeRange) -> Plan:
        access, name = self.access, f"{self.feed.source}/{self.feed.symbol}"
        origins = access.store.origins(self.feed.symbol, source=self.feed.source)
        plan = make_plan(
            self.feed,
            list(time_range.days()),
            utc_today(),
            origins,
            self._probe,
            revalidate=access.revalidate,
            recent=access.recent,
        )
        self._missing(plan.missing, name)
        _log.info("%s: %d files, %d days missing", name, len(plan.steps), len(plan.missing))
        return plan

    def _missing(self, days: list[date], name: str) -> None:
        if not days:
            return
        self.report.missing_days = sorted({*self.report.missing_days, *days})
        if self.access.missing == "error":
            raise MissingDaysError(name, days)
        _log.warning("%s: no trades for %s", name, ", ".join(map(str, days)))

    def _part(
        self, step: Step, time_range: TimeRange, work: Callable[[pl.LazyFrame], pl.LazyFrame]
    ) -> Generator[pl.DataFrame]:
        part = TimeRange.of_days(step.first_day, step.last_day)
        have = {day for day, _ in self._place.day_files(part)}
        # A month can be published without some of its days.
        lacking = [day for day in part.days() if day not in have]
        self._missing(lacking, f"{self.feed.source}/{self.feed.symbol}")
        if step.file is None:
            self.report.recent_days += [day for day in part.days() if day in have]
        yield from read_part(self._place, part, time_range, work)

    def _store(self, step: Step, following: list[Step]) -> None:
        if step.file is None:
            url = self.access.rest_url or REST_URLS[self.feed.market]
            http = self._get_http()
            fetch_recent(self.feed, self._place, step.first_day, step.last_day, http, url)
            return
        if step.stored:
            # Left by a run that was killed right after it had stored the file.
            self._part_file(step.file, step.sha256).unlink(missing_ok=True)
            self.report.reused.append(step.file.name)
            return
        download = self._request(step).result()
        upcoming = next((s for s in following if s.file is not None and not s.stored), None)
        if upcoming is not None:
            self._request(upcoming)
        if download is None:  # another process was faster
            self.report.reused.append(step.file.name)
            return
        del self._coming[step]
        try:
            self._storing.submit(self._take_in, download, step.file).result()
        finally:
            download.lock.release()
        self.report.fetched.append(step.file.name)

    def _take_in(self, download: _Download, file: ArchiveFile) -> None:
        origin = Origin(file.name, download.sha256, file.first_day, file.last_day)
        try:
            with open_csv(download.path, file.name) as csv:
                trades = decode_csv(self._while_wanted(csv_blocks(csv, file.name)), file)
                write_batches(self._place, trades, origin)
        except ArchiveError:
            download.path.unlink(missing_ok=True)
            raise
        download.path.unlink(missing_ok=True)

    def _while_wanted(self, blocks: Iterable[bytes]) -> Generator[bytes]:
        for block in blocks:
            if self._stop.is_set():  # the program ends: half a file is not worth waiting for
                raise Stopped
            yield block

    # Below this line: what runs on other threads.

    def _request(self, step: Step) -> Future[_Download | None]:
        if step not in self._coming:
            self._coming[step] = self._pool.submit(self._download, step)
        return self._coming[step]

    def _download(self, step: Step) -> _Download | None:
        file = step.file
        assert file is not None
        folder = self._place.meta / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{file.name}.lock", thread_local=False)
        self._acquire(lock)
        try:
            known = self.access.store.origins(self.feed.symbol, source=self.feed.source)
            if file.name in known and known[file.name].sha256 == step.sha256:
                lock.release()
                return None
            path, sha256 = self._transfer(folder, file, step.sha256)
        except BaseException:
            lock.release()
            raise
        return _Download(path, sha256, lock)

    def _transfer(self, folder: Path, file: ArchiveFile, sha256: str | None) -> tuple[Path, str]:
        """Fetch and check a file; one that was replaced meanwhile is asked for once more."""
        url = f"{self.access.base_url.rstrip('/')}/{file.path}"
        for attempt in (1, 2):
            part = self._part_file(file, sha256)
            for stale in folder.glob(f"{file.name}.*.part"):
                if stale != part or sha256 is None:
                    stale.unlink()
            self._get_http().file(url, part)
            found = sha256_of(part)
            if sha256 in {None, found}:
                return part, found
            part.unlink()
            if attempt == 1:
                _log.warning("%s: hash mismatch, fetching again", file.name)
                sha256 = self._probe(file)[1] or sha256
        problem = f"its sha256 differs from the published one: {found}, expected {sha256}"  # pyright: ignore[reportPossiblyUnboundVariable]
        raise ArchiveError(file.name, problem)

    def _part_file(self, file: ArchiveFile, sha256: str | None) -> Path:
        # The hash in the name: what is left of another version is never gone on with.
        version = (sha256 or "unchecked")[:16]
        return self._place.meta / "downloads" / f"{file.name}.{version}.part"

    def _acquire(self, lock: FileLock) -> None:
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                acquire(lock, _POLL_S)
            except Timeout:
                continue
            return

    def _probe(self, file: ArchiveFile) -> tuple[bool, str | None]:
        url = f"{self.access.base_url.rstrip('/')}/{file.path}"
        http = self._get_http()
        if not self.access.checksum:
            return http.exists(url), None
        text = http.text(f"{url}.CHECKSUM")
        return (False, None) if text is None else (True, parse_checksum(text, file.name))

    def _get_http(self) -> Http:
        # Made at the first need: a range that is stored and not revalidated needs no network.
        if self._http is None:
            client = self.access.client
            if client is None:
                client = self._exits.enter_context(_default_client())
            made = Http(client, self.access.retries, self.access.backoff_s, stop=self._stop)
            self._http = replace(
                made, on_bytes=self._count_bytes, on_size=self._progress.expect_bytes
            )
        return self._http

    def _count_bytes(self, count: int) -> None:
        self.report.bytes_downloaded += count
        self._progress.add_bytes(count)


def _let_go(future: Future[_Download | None]) -> None:
    """Give up a file that nobody waits for any more; what is there is gone on with next time."""
    if not future.cancelled() and future.exception() is None:
        download = future.result()
        if download is not None:
            download.lock.release()


def _default_client() -> httpx.Client:
    try:
        import httpx  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "the archive needs httpx: pip install 'rangebar_polars[binance]'"
        raise ImportError(msg) from error
    return httpx.Client(timeout=_TIMEOUT_S)
