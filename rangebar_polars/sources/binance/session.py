"""One run over the archive: what the store lacks is fetched, stored and read, file by file."""

from __future__ import annotations

import logging
import threading
import warnings
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from rangebar_polars import _time
from rangebar_polars._endings import Stop, raise_if_interrupted
from rangebar_polars._threads import Workers
from rangebar_polars.exceptions import InvalidTradeError
from rangebar_polars.sources.binance.decode import decode_csv, line_of_trade
from rangebar_polars.sources.binance.downloads import Download, Downloads
from rangebar_polars.sources.binance.errors import (
    ArchiveError,
    BrokenLineError,
    FetchError,
    MissingDaysError,
    UncheckedFilesWarning,
)
from rangebar_polars.sources.binance.files import REST_URLS, ArchiveFile, Feed
from rangebar_polars.sources.binance.planning import (
    LATE_DAYS,
    Plan,
    Published,
    Step,
    Stored,
    make_plan,
)
from rangebar_polars.sources.binance.report import FetchReport, Progress, TqdmProgress
from rangebar_polars.sources.binance.rest import fetch_recent
from rangebar_polars.sources.binance.transfer import Stopped
from rangebar_polars.sources.binance.unzip import csv_blocks, open_csv
from rangebar_polars.store import Origin
from rangebar_polars.store.layout import Series, series
from rangebar_polars.store.reading import read_part
from rangebar_polars.store.time_range import TimeRange
from rangebar_polars.store.writing import write_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from datetime import date
    from types import TracebackType
    from typing import Self

    import polars as pl

    from rangebar_polars.sources.binance.options import Access

__all__ = ["Session"]

_log = logging.getLogger(__name__)

_RETRIES_IF_STORED = 2
"""For an answer that is good to have, but that the trades do not depend on."""


class Session:
    """One run over the archive. Use it as a context manager: leaving it ends every transfer."""

    def __init__(self, feed: Feed, access: Access, report: FetchReport) -> None:
        self.feed = feed
        self.access = access
        self.report = report
        self._series: Series = series(access.store.root, feed.source, feed.symbol)
        self._stop = Stop()
        self._exits = ExitStack()
        self._progress = TqdmProgress(feed.symbol) if access.progress else Progress()
        # Files are stored on one thread, not on whichever asks: the C library keeps freed memory
        # for each thread, and Polars asks from another one each time.
        self._storing = Workers(1, "rangebar-store")
        self._downloads = Downloads(
            access,
            self._series.meta / "downloads",
            lambda file, sha256: self._stored(file.first_day, file.last_day).has(file, sha256),
            self._stop,
            report,
            self._progress,
        )
        self._empty: set[date] = set()
        self._unreachable = threading.Event()
        self._problem = ""

    def __enter__(self) -> Self:
        self._exits.enter_context(self._progress)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Ctrl-C may come twice in a row, from Polars and from Python.
        try:
            self._close(kind)
        except KeyboardInterrupt:
            self._close(kind)
            raise

    def _close(self, kind: type[BaseException] | None) -> None:
        failed = kind is not None and issubclass(kind, Exception) and kind is not Stopped
        try:
            raise_if_interrupted()
        except KeyboardInterrupt:  # whatever it was that failed of it
            failed = False
        # After an error the next run resumes; of one that somebody has ended nothing is to stay.
        self._downloads.close(keep=failed)
        self._storing.close()
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
        days = list(time_range.days())
        plan = self._plan(days)
        self._downloads.clear_old(step.file for step in plan.steps if step.file is not None)
        self._warn_of_unchecked()
        self._missing(plan.missing)
        _log.info("%s: %d files, %d days missing", self._name, len(plan.steps), len(plan.missing))
        self._progress.expect_days(sum(len(step.days()) for step in plan.steps))
        behind: Step | None = None
        for index, step in enumerate(plan.steps):
            self._store(step, plan.steps[index + 1 :] if ahead else [])
            self._progress.add_days(len(step.days()))
            if behind is not None:
                yield from self._read(behind, time_range, work)
            behind = step
        if behind is not None:
            yield from self._read(behind, time_range, work)

    @property
    def _name(self) -> str:
        return f"{self.feed.source}/{self.feed.symbol}"

    def _stored(self, first: date, last: date) -> Stored:
        """What the store has now, as far as it touches these days."""
        origins = self.access.store.origins(self.feed.symbol, source=self.feed.source)
        files = self._series.day_files(TimeRange.of_days(first, last))
        return Stored(origins, {day for day, _ in files})

    def _plan(self, days: list[date], *, months: bool = True) -> Plan:
        stored = self._stored(days[0], days[-1])

        def ask(file: ArchiveFile) -> Published | None:
            origin = stored.origins.get(file.name)
            if origin is None:
                return self._downloads.probe(file)
            return self._ask_about_stored(file, origin)

        return make_plan(
            self.feed,
            days,
            _time.utc_today(),
            stored,
            lambda files: self._downloads.ask_all(ask, files),
            months=months,
            recent=self.access.recent and months,
        )

    def _ask_about_stored(self, file: ArchiveFile, origin: Origin) -> Published:
        """Look whether a stored file was replaced; it is used as it is where nobody answers."""
        as_it_is = Published(origin.sha256)
        if not self.access.revalidate:
            return as_it_is
        if not self._unreachable.is_set():
            try:
                published = self._downloads.probe(file, retries=_RETRIES_IF_STORED)
            except FetchError as error:
                # Once is enough: a year of files would wait for as many timeouts.
                self._unreachable.set()
                problem = str(error)
            except ArchiveError as error:  # a page that asks to log in, say
                problem = str(error)
            else:
                if published is not None:
                    return published
                problem = f"{file.name} is not published any more"
            _log.info("%s", problem)
            self._problem = problem
        self.report.unchecked.append(file.name)
        return as_it_is

    def _warn_of_unchecked(self) -> None:
        unchecked = self.report.unchecked
        if unchecked:
            unchecked.sort()
            warnings.warn(
                UncheckedFilesWarning(self._name, list(unchecked), self._problem), stacklevel=2
            )

    def _missing(self, days: list[date]) -> None:
        if not days:
            return
        self.report.missing_days = sorted({*self.report.missing_days, *days})
        if self.access.missing == "error":
            by_rest = self.feed.kind == "aggTrades" and not self.access.recent
            late = by_rest and days[-1] >= _time.utc_today() - timedelta(days=LATE_DAYS)
            raise MissingDaysError(self._name, days, recent=late)
        _log.warning("%s: no trades for %s", self._name, ", ".join(map(str, days)))

    def _read(
        self, step: Step, time_range: TimeRange, work: Callable[[pl.LazyFrame], pl.LazyFrame]
    ) -> Generator[pl.DataFrame]:
        have = self._days_of(step)
        if step.file is None:
            self.report.recent_days += [day for day in step.days() if day in have]
        elif step.file.monthly:
            self._missing([day for day in step.days() if day not in have | self._empty])
        part = TimeRange.of_days(step.first_day, step.last_day)
        yield from read_part(self._series, part, time_range, work)

    def _days_of(self, step: Step) -> set[date]:
        """Days of a step that are stored."""
        part = TimeRange.of_days(step.first_day, step.last_day)
        return {day for day, _ in self._series.day_files(part)}

    def _store(self, step: Step, following: list[Step]) -> None:
        file = step.file
        if file is None:
            url = self.access.rest_url or REST_URLS[self.feed.market]
            http = self._downloads.http()
            fetch_recent(self.feed, self._series, step.first_day, step.last_day, http, url)
            return
        if step.stored:
            self._downloads.forget(file, step.sha256)
            self.report.reused.append(file.name)
            return
        upcoming = next((s for s in following if s.file is not None and not s.stored), None)
        download = self._downloads.take(file, step.sha256)
        if upcoming is not None and upcoming.file is not None:
            self._downloads.request(upcoming.file, upcoming.sha256)
        if download is None:  # another process was faster
            self.report.reused.append(file.name)
        else:
            take_in = partial(self._take_in, download, file)
            let_go = partial(self._downloads.let_go, download)
            self._storing.submit(take_in, otherwise=let_go).result()
            self.report.fetched.append(file.name)
        self._complete(step, file)

    def _complete(self, step: Step, file: ArchiveFile) -> None:
        """Look by day for the days that a file of a month turned out to lack."""
        have = self._days_of(step)
        lacking = [day for day in step.days() if day not in have]
        if not lacking:
            return
        if not file.monthly:
            _log.warning("%s: published without a trade", file.name)
            self._empty.update(lacking)
            return
        for daily in self._plan(lacking, months=False).steps:
            self._store(daily, [])

    def _take_in(self, download: Download, file: ArchiveFile) -> None:
        """Store a file. On a thread of its own, which may go on a while when nobody waits."""
        try:
            self._write(download, file)
        except (Stopped, KeyboardInterrupt):
            self._downloads.let_go(download)
            raise
        except ArchiveError:
            download.path.unlink(missing_ok=True)
            raise
        else:
            download.path.unlink(missing_ok=True)
        finally:
            download.lock.release()

    def _write(self, download: Download, file: ArchiveFile) -> None:
        origin = Origin(file.name, download.sha256, file.first_day, file.last_day)
        try:
            with open_csv(download.path, file.name) as csv:
                blocks = self._while_wanted(csv_blocks(csv, file.name))
                # Closed at once: an error would keep its threads until it is forgotten.
                with closing(decode_csv(blocks, file)) as trades:
                    write_batches(self._series, trades, origin)
        except InvalidTradeError as error:
            raise _in_terms_of_the_file(error, download, file) from error

    def _while_wanted(self, blocks: Iterable[bytes]) -> Generator[bytes]:
        for block in blocks:
            if self._stop.is_set():  # the program ends: half a file is not worth waiting for
                raise Stopped
            yield block


def _in_terms_of_the_file(
    error: InvalidTradeError, download: Download, file: ArchiveFile
) -> BrokenLineError:
    """Say which line it was that the store cannot keep."""
    with open_csv(download.path, file.name) as csv:
        line, text = line_of_trade(csv_blocks(csv, file.name), file, error.row)
    return BrokenLineError(file.name, line, text, str(error).partition(": ")[2])
