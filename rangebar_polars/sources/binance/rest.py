"""The days that are not in the archive yet, from the exchange itself, by id."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from rangebar_polars._time import DAY_US
from rangebar_polars.exceptions import InvalidTradeError
from rangebar_polars.sources.binance.errors import FetchError
from rangebar_polars.store.parquet import read_footer
from rangebar_polars.store.time_range import TimeRange
from rangebar_polars.store.writing import write_batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from rangebar_polars.sources.binance.files import Feed
    from rangebar_polars.sources.binance.http import Http
    from rangebar_polars.store.layout import Series

__all__ = ["RestTrades", "fetch_recent"]

_LIMIT: Final = 1000
_HOUR_MS: Final = 3_600_000
_PAGES_A_COMMIT: Final = 200
MOST_PAGES: Final = 100_000
"""Pages of one run: ten times what the busiest symbol has had in a day."""

_FASTER: Final = 8
"""How much further back each guess at the first id looks than the one before."""

_INTEGER: Final = pl.Int64()
_DECIMAL: Final = pl.String()
_FIELDS: Final = {
    "a": ("agg_trade_id", _INTEGER),
    "p": ("price", _DECIMAL),
    "q": ("quantity", _DECIMAL),
    "f": ("first_trade_id", _INTEGER),
    "l": ("last_trade_id", _INTEGER),
    "T": ("timestamp", _INTEGER),
    "m": ("is_buyer_maker", pl.Boolean()),
    "M": ("is_best_match", pl.Boolean()),
}
_NUMBER: Final = re.compile(r"\d{1,20}(\.\d{1,20})?", re.ASCII)
_LAST_MS: Final = 10**13
"""Times beyond the year 2286 are not in milliseconds."""

_INT64: Final = 2**63


def fetch_recent(
    feed: Feed, series: Series, first: date, last: date, http: Http, base_url: str
) -> None:
    """Store the aggregate trades of the days from ``first`` to ``last``, as far as there are any.

    It resumes behind what is stored without a gap, and stores as it goes: a break loses little.

    Raises
    ------
    FetchError
        Where the service does not answer, or with something else than trades.
    """
    trades = RestTrades(feed, http, base_url)
    days = TimeRange.of_days(first, last)
    following = _behind_stored(series, days)
    if following is None:
        following = trades.first_id_since(days.start // 1000)
    if following is None:
        return
    pages = trades.between(following, days)
    try:
        for page in pages:
            write_batches(series, chain([page], islice(pages, _PAGES_A_COMMIT - 1)))
    except InvalidTradeError as error:
        raise FetchError(trades.url, f"a trade that cannot be stored: {error}") from error


def _behind_stored(series: Series, days: TimeRange) -> int | None:
    """The id behind the trades that are stored from the first of these days on, without a gap."""
    following: int | None = None
    for day, path in series.day_files(TimeRange(days.start - DAY_US, days.end)):
        footer = read_footer(path)
        if following is None:
            if day > days.first_day:  # a later run began there
                return None
        elif not footer.first_id <= following:
            return following
        following = max(following or 0, footer.last_id + 1)
    return following


class RestTrades:
    """Pages of aggregate trades of one symbol, checked: nothing that a server says is trusted."""

    def __init__(self, feed: Feed, http: Http, base_url: str) -> None:
        self.url = f"{base_url.rstrip('/')}/aggTrades"
        self._feed = feed
        self._http = http
        columns = feed.schema
        self._fields = {key: known for key, known in _FIELDS.items() if known[0] in columns}

    def between(self, from_id: int, days: TimeRange) -> Iterator[pl.DataFrame]:
        """Yield the trades of some days, from an id on that is not behind their first."""
        start, end = days.start // 1000, days.end // 1000
        longest = 1
        for _ in range(MOST_PAGES):
            page = self._page(fromId=from_id)
            frame = self._frame(page).filter(
                pl.col("timestamp").dt.epoch("ms").is_between(start, end, closed="left")
            )
            if frame.height:
                yield frame
            # The newest page is shorter than those before; what a server thinks is a whole page
            # may be less than was asked for.
            longest = max(longest, len(page))
            if len(page) < longest or page[-1]["T"] >= end:
                return
            from_id = page[-1]["a"] + 1
        raise FetchError(self.url, f"still not at the end after {MOST_PAGES} pages")

    def first_id_since(self, start: int) -> int | None:
        """Return the id of the first trade at or after a time in milliseconds, if there is one.

        An active symbol has one within the hour that the service looks ahead of a time. Otherwise
        ids are bisected, as they rise with time: a silence of any length costs the same.
        """
        window = self._page(startTime=start, endTime=start + _HOUR_MS - 1, limit=1)
        if window:
            return int(window[0]["a"])
        page = self._page()
        if not page or page[-1]["T"] < start:
            return None
        found, back = page[-1]["a"], _LIMIT
        # Back, by longer and longer leaps, until before the time.
        while page[0]["T"] >= start:
            found = page[0]["a"]
            if found == 0:
                return 0
            page = self._page(fromId=max(0, found - back))
            back *= _FASTER
            if not page or page[0]["a"] >= found:  # nothing before it is left
                return found
        # All ids below `low` are before the time, and `found` is not; none between is below it
        # from `high` on.
        low, high = page[0]["a"], found
        while True:
            since = next((trade["a"] for trade in page if trade["T"] >= start), None)
            if since is not None and page[0]["T"] < start:
                return int(since)
            if since is None:
                low = page[-1]["a"] + 1
            if low >= high:
                return int(found)
            middle = low if high - low <= _LIMIT else (low + high) // 2
            page = self._page(fromId=middle)
            if not page or page[0]["T"] >= start:
                high = middle
                found = min(found, page[0]["a"]) if page else found

    def _page(self, *, limit: int = _LIMIT, **query: int) -> list[dict[str, Any]]:
        """One answer, in which every trade is one and ids rise from the one asked for on."""
        params = {"symbol": self._feed.symbol, **query, "limit": limit}
        answer = self._http.json(self.url, params)
        if not isinstance(answer, list):
            self._refuse(f"expected a list of trades, got {str(answer)[:100]!r}")
        page = cast("list[Any]", answer)
        lowest: int = query.get("fromId", 0)
        for number, trade in enumerate(page):
            if not isinstance(trade, dict):
                self._refuse(f"trade {number} is not an object: {str(trade)[:100]!r}")
            self._check(number, cast("dict[str, Any]", trade), lowest)
            lowest = int(trade["a"]) + 1  # pyright: ignore[reportUnknownArgumentType]
        return page[:limit]

    def _check(self, number: int, trade: dict[str, Any], lowest: int) -> None:
        for key, (name, dtype) in self._fields.items():
            value = trade.get(key)
            if dtype == _INTEGER:
                good = type(value) is int and 0 <= value < _INT64
            elif dtype == _DECIMAL:
                good = isinstance(value, str) and _NUMBER.fullmatch(value) is not None
            else:
                good = isinstance(value, bool)
            if not good:
                self._refuse(f"trade {number} has the {name} {str(value)[:100]!r}")
        if trade["T"] >= _LAST_MS:
            self._refuse(f"trade {number} has the time {trade['T']}, expected milliseconds")
        if trade["a"] < lowest:
            self._refuse(f"trade {number} has the id {trade['a']}, expected {lowest} at least")

    def _refuse(self, problem: str) -> None:
        raise FetchError(self.url, f"not what was asked for: {problem}")

    def _frame(self, page: list[dict[str, Any]]) -> pl.DataFrame:
        data = {name: [trade[key] for trade in page] for key, (name, _) in self._fields.items()}
        frame = pl.DataFrame(data, schema=dict(self._fields.values()))
        return frame.select(
            pl.col("timestamp").cast(pl.Datetime("ms")).cast(pl.Datetime("us")),
            pl.col("price", "quantity").cast(pl.Float64),
            pl.exclude("timestamp", "price", "quantity"),
        ).select(list(self._feed.schema))
