"""From a symbol and two dates to bars."""

from __future__ import annotations

import logging
import operator
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, TypeAlias, Unpack, cast, get_args

import polars as pl

from rangebar_polars._options import BarKeywords, BarOptions, shows_keywords
from rangebar_polars._source import Request, lazy_source
from rangebar_polars._time import DAY_US, day_number
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.frames import range_bars
from rangebar_polars.rules import IntoRule
from rangebar_polars.sources.binance.archive import (
    days_until,
    scan_archive,
    scan_binance,
)
from rangebar_polars.sources.binance.errors import MissingDaysError
from rangebar_polars.sources.binance.files import Feed, Kind, Market
from rangebar_polars.sources.binance.options import (
    ARCHIVE_DEFAULTS,
    Access,
    ArchiveKeywords,
    resolve_access,
)
from rangebar_polars.sources.binance.planning import LATE_DAYS
from rangebar_polars.sources.binance.report import FetchReport
from rangebar_polars.store.time_range import Instant, TimeRange

__all__ = ["ArchiveBarKeywords", "get_n_range_bars", "get_range_bars"]

_log = logging.getLogger(__name__)

Period: TypeAlias = Literal["1d", "1mo"]

_LONGEST_GAP = 31
"""Periods without any trade after which a history is taken to begin."""


class ArchiveBarKeywords(BarKeywords, ArchiveKeywords, total=False):
    """What makes bars, and how to get at the archive."""


@shows_keywords(ArchiveBarKeywords, **ARCHIVE_DEFAULTS)
def get_range_bars(
    symbol: str | Iterable[str],
    start: Instant,
    end: Instant | None = None,
    rule: IntoRule | Iterable[IntoRule] = 250,
    *,
    market: Market = "spot",
    kind: Kind = "aggTrades",
    report: FetchReport | None = None,
    **keywords: Unpack[ArchiveBarKeywords],
) -> pl.LazyFrame:
    """Range bars of a symbol of Binance over any range of dates, as a lazy frame.

    Trades that the store lacks are fetched when the frame is collected; see `scan_binance`.

    Parameters
    ----------
    symbol
        One symbol, or several: then a column ``symbol`` comes first, and each has its own bars.
    start, end
        As in `scan_binance`: dates are whole UTC days, both included.
    rule
        Decimal basis points (250 is 0.25%), a text such as ``"0.25%"``, a preset, a rule, or a
        list of these; see `range_bars`.
    market, kind
        As in `scan_binance`.
    report
        A `FetchReport` to be filled in by the next run (one symbol only).
    reset, reset_offset, max_gap, time_unit, incomplete, same_timestamp_close, decimals, on_overlap
        As in `range_bars`. Days are UTC. With a reset the bars of a period do not depend on where
        the range begins, but for their ``bar_id``.
    store, missing, recent, checksum, revalidate, base_url, rest_url, client, retries
        As in `scan_binance`.
    backoff_s, progress
        Likewise.

    Returns
    -------
    LazyFrame
        The columns of `range_bars`, ``open_time`` and ``close_time`` as Datetime("us") in UTC.

    Raises
    ------
    ValueError, TypeError
        At the call: unknown market or kind, values out of range, options that make no sense.
    MissingDaysError, ArchiveError, FetchError, InvalidTradeError
        When collected.

    Examples
    --------
    >>> import rangebar_polars as rb
    >>> bars = rb.get_range_bars("BTCUSDT", "2024-01", "2024-06", "0.25%")
    >>> bars.collect_schema().names()[:6]
    ['bar_id', 'open_time', 'close_time', 'open', 'high', 'low']
    """
    archive, bar = _parted(keywords)
    if isinstance(symbol, str):
        trades = scan_binance(
            symbol, start, end, market=market, kind=kind, report=report, **archive
        )
        return range_bars(trades, rule, **bar)
    symbols = [Feed(name, market, kind).symbol for name in symbol]
    if not symbols:
        msg = "symbol must name at least one, got an empty list"
        raise ValueError(msg)
    repeated = sorted({name for name in symbols if symbols.count(name) > 1})
    if repeated:
        msg = f"symbol names {', '.join(repeated)} more than once"
        raise ValueError(msg)
    if report is not None:
        msg = "report= takes one symbol: ask for the symbols one by one to have reports"
        raise ValueError(msg)
    frames = [
        scan_binance(name, start, end, market=market, kind=kind, **archive).select(
            pl.lit(name).alias("symbol"), pl.all()
        )
        for name in symbols
    ]
    return range_bars(pl.concat(frames), rule, by="symbol", **bar)


@shows_keywords(ArchiveBarKeywords, **{**ARCHIVE_DEFAULTS, "reset": "1d"})
def get_n_range_bars(
    symbol: str,
    n: int,
    end: Instant | None = None,
    rule: IntoRule = 250,
    *,
    market: Market = "spot",
    kind: Kind = "aggTrades",
    **keywords: Unpack[ArchiveBarKeywords],
) -> pl.LazyFrame:
    """Return the last ``n`` range bars of a symbol, reading no more days than it takes.

    Where a range bar closes depends on where the first one opened. So these bars begin anew
    with each UTC day, or month: they are the last ``n`` of ``get_range_bars(..., reset=reset)``
    from any start, which lets days be read backwards and no more of them than needed.

    Parameters
    ----------
    symbol
        As the exchange writes it.
    n
        How many bars, at least 1.
    end
        As in `scan_binance`. Default: the last published day, or now with ``recent=True``.
    rule
        One rule; see `get_range_bars`.
    market, kind
        As in `scan_binance`.
    reset
        ``"1d"`` or ``"1mo"``.
    max_gap, time_unit, incomplete, same_timestamp_close, decimals, on_overlap
        As in `range_bars`. ``reset_offset`` does not go with days read backwards.
    store, missing, recent, checksum, revalidate, base_url, rest_url, client, retries
        As in `scan_binance`. With ``missing="skip"`` days without trades are passed over, and
        there are fewer than ``n`` bars where the history is too short for more.
    backoff_s, progress
        Likewise.

    Returns
    -------
    LazyFrame
        ``n`` bars, oldest first, with the columns of `range_bars`. ``bar_id`` counts these bars
        from 0.

    Raises
    ------
    ValueError, TypeError
        At the call: ``n`` below 1, values that are not allowed, options that make no sense.
    RangeBarError
        When collected: the history has fewer bars.

    Examples
    --------
    >>> import rangebar_polars as rb
    >>> bars = rb.get_n_range_bars("BTCUSDT", 500, end="2024-06-30")
    >>> "close" in bars.collect_schema()
    True
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        msg = f"n must be a whole number of bars, got {n!r}"
        raise TypeError(msg)
    n = operator.index(n)
    if n < 1:
        msg = f"n must be at least 1, got {n}"
        raise ValueError(msg)
    archive, bar = _parted(keywords)
    reset: Any = bar.pop("reset", "1d")
    if reset not in get_args(Period):
        msg = f"reset must be '1d' or '1mo', got {reset!r}"
        raise ValueError(msg)
    if bar.pop("reset_offset", None) is not None:
        msg = "reset_offset does not work here: days are read backwards, whole UTC days each"
        raise ValueError(msg)
    options = BarOptions.of(rule, bar, one="get_n_range_bars")
    feed = Feed(symbol, market, kind)
    access = resolve_access(archive, feed)
    time_range = None if end is None else days_until(None, end, recent=access.recent)
    source = _LastBars(feed, n, time_range, reset, access, rule, bar)
    last = "the last day" if time_range is None else str(time_range.last_day)
    return lazy_source(
        source.frames,
        source.schema(),
        name="LAST RANGE BARS",
        detail=f"{options.detail}; {feed.description}; {n} bars up to {last}; reset: {reset}",
        pure=False,
    )


def _parted(keywords: ArchiveBarKeywords) -> tuple[ArchiveKeywords, BarKeywords]:
    """Keywords of the archive, and those of the bars."""
    given: dict[str, Any] = dict(keywords)
    archive = {name: given.pop(name) for name in ARCHIVE_DEFAULTS if name in given}
    return cast("ArchiveKeywords", archive), cast("BarKeywords", given)


@dataclass(frozen=True)
class _LastBars:
    """Reads period after period backwards, until there are enough bars."""

    feed: Feed
    n: int
    time_range: TimeRange | None
    """Up to where; None: up to the last day that can be had when it runs."""
    reset: Period
    access: Access
    rule: IntoRule
    keywords: BarKeywords

    def schema(self) -> pl.Schema:
        """Columns of the bars; all options are checked on the way."""
        return self._bars_of(pl.LazyFrame(schema=self.feed.schema)).collect_schema()

    def frames(self, request: Request) -> Generator[pl.DataFrame, None, None]:
        """
        All `n` bars at once; see `rangebar_polars._source`.

        Which bars are the last ones is known at the beginning of the first only, so that neither
        a predicate nor a number of rows can spare a day.
        """
        time_range = self.time_range or days_until(None, None, recent=self.access.recent)
        found: list[pl.DataFrame] = []
        have = silent = 0
        for period in _backwards(time_range, self.reset):
            late = LATE_DAYS if self.time_range is None and not have else 0
            bars, traded = self._read(period, request.columns, may_lack=late - silent)
            found.append(bars)
            have += bars.height
            silent = 0 if traded else silent + 1
            if have >= self.n:
                break
            if silent > _LONGEST_GAP:
                self._too_short(have, time_range)
                break
        bars = pl.concat(reversed(found)).tail(self.n)
        if "bar_id" in bars.columns:
            # Each period has counted from 0.
            bars = bars.with_columns(bar_id=pl.int_range(pl.len(), dtype=pl.UInt32))
        yield bars

    def _bars_of(self, trades: pl.LazyFrame) -> pl.LazyFrame:
        return range_bars(trades, self.rule, **self.keywords)

    def _read(
        self, period: TimeRange, columns: list[str], *, may_lack: int
    ) -> tuple[pl.DataFrame, bool]:
        """
        Return the bars of a period, and whether it had any trades.

        Parameters
        ----------
        may_lack
            So many days at the end may not be published yet.
        """
        report = FetchReport()
        trades = scan_archive(self.feed, self.access, period, report)
        bars = self._bars_of(trades).select(columns)
        try:
            made = bars.collect(engine="streaming")
        except MissingDaysError as error:
            there = _without_last_days(period, error.days)
            if there is None or len(error.days) > may_lack:
                raise
            if there.start >= there.end:
                return bars.clear().collect(), False
            return self._read(there, columns, may_lack=0)
        return made, len(report.missing_days) < len(list(period.days()))

    def _too_short(self, have: int, time_range: TimeRange) -> None:
        problem = (
            f"{self.feed.symbol} has {have} bars up to {time_range.last_day}, "
            f"{self.n} were asked for"
        )
        if self.access.missing == "error":
            raise RangeBarError(problem)
        _log.warning("%s", problem)


def _without_last_days(period: TimeRange, missing: list[date]) -> TimeRange | None:
    """The period up to the missing days, if these are its last ones."""
    if missing[-1] != period.last_day or (missing[-1] - missing[0]).days >= len(missing):
        return None
    return TimeRange(period.start, max(period.start, day_number(missing[0]) * DAY_US))


def _backwards(time_range: TimeRange, reset: Period) -> Iterator[TimeRange]:
    """Yield the days or months of a range from the last to the first."""
    last: date = time_range.last_day
    while last >= time_range.first_day:
        first = last if reset == "1d" else last.replace(day=1)
        whole = TimeRange.of_days(first, last)
        yield TimeRange(max(whole.start, time_range.start), min(whole.end, time_range.end))
        last = first - timedelta(days=1)
