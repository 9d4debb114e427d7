"""`scan_binance`: the public archive as a lazy frame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Unpack

import polars as pl

from rangebar_polars import _time
from rangebar_polars._options import shows_keywords
from rangebar_polars._source import Request, lazy_source
from rangebar_polars.sources.binance.files import Feed, Kind, Market
from rangebar_polars.sources.binance.options import (
    ARCHIVE_DEFAULTS,
    Access,
    ArchiveKeywords,
    resolve_access,
)
from rangebar_polars.sources.binance.report import FetchReport
from rangebar_polars.sources.binance.session import Session
from rangebar_polars.store.time_range import Instant, TimeRange, parse_time_range

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["days_until", "scan_archive", "scan_binance"]


_FIRST_DAY = date(2017, 1, 1)
"""The exchange opened later that year."""


@shows_keywords(ArchiveKeywords, **ARCHIVE_DEFAULTS)
def scan_binance(
    symbol: str,
    start: Instant,
    end: Instant | None = None,
    *,
    market: Market = "spot",
    kind: Kind = "aggTrades",
    report: FetchReport | None = None,
    **keywords: Unpack[ArchiveKeywords],
) -> pl.LazyFrame:
    """Scan trades of the Binance public archive, fetching what is not in the store yet.

    Nothing is fetched before the frame is collected. Then each file is downloaded (the next one
    meanwhile), checked, decoded in batches into the store, and read from there: memory does not
    grow with the range, and the next scan reads the store.

    Parameters
    ----------
    symbol
        As the exchange writes it: ``"BTCUSDT"``, ``"BTCUSD_PERP"``; made upper case.
    start, end
        Dates (or texts such as ``"2024-01-31"`` and ``"2024-01"``) are whole UTC days, both
        included; a datetime is an instant, as an end exclusive. Default end: yesterday, or now
        with ``recent=True``. Neither may lie in the future.
    market
        ``"spot"``, ``"um"`` (USD-margined futures) or ``"cm"`` (coin-margined futures, whose
        quantities are contracts).
    kind
        ``"aggTrades"``, or ``"trades"``: single trades, which carry their id as
        ``agg_trade_id``, ``first_trade_id`` and ``last_trade_id`` alike.
    report
        A `FetchReport` to be filled in by the next run.
    store : TradeStore, optional
        Where trades are kept. Default: ``TradeStore()``.
    missing : {"error", "skip"}
        What to do about days that the archive lacks. Such days raise before anything is
        fetched, or are left out, logged, and listed in ``report``.
    recent : bool
        Take days at the end that are not published yet from the exchange's REST service
        (``kind="aggTrades"`` only).
    checksum : bool
        Check every file against its published sha256 (default).
    revalidate : bool
        Ask for the published hash of stored files too, and fetch those that were replaced
        (default). ``False`` trusts the store, and needs no network where it has all days. Where
        nobody answers, stored files are used with an `UncheckedFilesWarning`.
    base_url, rest_url : str, optional
        Other servers with the same layout.
    client : httpx.Client, optional
        For proxies, limits and timeouts. It is not closed.
    retries, backoff_s : int, float
        How often, and after how many seconds first, to try again on 429, 418, 5xx and broken
        transfers, which are resumed where they broke.
    progress : bool
        Show bars of days and bytes (needs tqdm).

    Returns
    -------
    LazyFrame
        ``timestamp`` Datetime("us"), ``price``, ``quantity`` Float64, ``is_buyer_maker``
        Boolean, ``agg_trade_id``, ``first_trade_id``, ``last_trade_id`` Int64; for spot
        ``is_best_match``, for trades ``quote_quantity`` (coin-margined: ``base_quantity``).
        Sorted by ``agg_trade_id``, each once.

    Raises
    ------
    ValueError, TypeError
        At the call: an unknown market or kind, options that make no sense, a symbol that the
        exchange cannot have, an end before the start or in the future.
    MissingDaysError
        When collected: days that the archive lacks.
    ArchiveError, BrokenLineError
        When collected: a file that is damaged, names file, line and text. Nothing of it is
        stored.
    FetchError
        When collected: the server refused, answered something else, or we gave up.

    Examples
    --------
    >>> import rangebar_polars as rb
    >>> trades = rb.scan_binance("BTCUSDT", "2024-01-01", "2024-03-31")
    >>> trades.collect_schema().names()[:4]
    ['timestamp', 'price', 'quantity', 'is_buyer_maker']
    """
    feed = Feed(symbol, market, kind)
    access = resolve_access(keywords, feed)
    time_range = days_until(start, end, recent=access.recent)
    return scan_archive(feed, access, time_range, FetchReport() if report is None else report)


def scan_archive(
    feed: Feed, access: Access, time_range: TimeRange, report: FetchReport
) -> pl.LazyFrame:
    """`scan_binance` with everything checked already."""
    source = _ArchiveTrades(feed, access, time_range, report)
    return lazy_source(
        source.frames,
        pl.Schema(feed.schema),
        name="BINANCE TRADES",
        detail=f"{feed.description}; {time_range.first_day} to {time_range.last_day}",
        pure=False,
    )


@dataclass(frozen=True)
class _ArchiveTrades:
    """The trades of a range of days. A plain object, so that a plan can be pickled."""

    feed: Feed
    access: Access
    time_range: TimeRange
    report: FetchReport

    def frames(self, request: Request) -> Generator[pl.DataFrame, None, None]:
        """Fetch and read; see `rangebar_polars._source`."""
        self.report.clear()

        def narrowed(trades: pl.LazyFrame) -> pl.LazyFrame:
            trades = _within(trades, self.time_range)
            # Row groups that no predicate lets through are not even read.
            for predicate in request.predicate_on(list(self.feed.schema)):
                trades = trades.filter(predicate)
            return trades.select(request.columns)

        with Session(self.feed, self.access, self.report) as running:
            ahead = request.n_rows is None
            yield from running.batches(self.time_range, narrowed, ahead=ahead)


def days_until(start: Instant | None, end: Instant | None, *, recent: bool) -> TimeRange:
    """Return the time from ``start`` to ``end``, by default to the last day that can be had.

    Raises
    ------
    ValueError
        Where an end does not name a date, does not come after the start, or lies in the future.
    """
    today = _time.utc_today()
    last = today if recent else today - timedelta(days=1)
    begin = parse_time_range(_FIRST_DAY if start is None else start, None)
    if begin.first_day > last:
        msg = f"start ({start}) must not come after the last day that can be had, {last}"
        raise ValueError(msg)
    if end is None:
        return TimeRange(begin.start, TimeRange.of_days(last, last).end)
    time_range = parse_time_range(_FIRST_DAY if start is None else start, end)
    if time_range.last_day > today:
        msg = f"end ({end}) lies in the future, today is {today}: leave it out for all there is"
        raise ValueError(msg)
    return time_range


def _within(trades: pl.LazyFrame, time_range: TimeRange) -> pl.LazyFrame:
    if time_range.whole_days:
        return trades
    low, high = (pl.lit(us).cast(pl.Datetime("us")) for us in (time_range.start, time_range.end))
    return trades.filter(pl.col("timestamp").is_between(low, high, closed="left"))
