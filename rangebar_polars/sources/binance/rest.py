"""The days that are not in the archive yet, from the exchange itself, by `fromId`."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import polars as pl

from rangebar_polars._time import DAY_US
from rangebar_polars.store.parquet import read_footer
from rangebar_polars.store.time_range import TimeRange
from rangebar_polars.store.writing import write_batches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from rangebar_polars.sources.binance.files import Feed
    from rangebar_polars.sources.binance.http import Http
    from rangebar_polars.store.layout import Series

__all__ = ["fetch_recent"]

_LIMIT = 1000
_HOUR_MS = 3_600_000
_PAGES_A_COMMIT = 200
_FIELDS = {
    "a": ("agg_trade_id", pl.Int64()),
    "p": ("price", pl.String()),
    "q": ("quantity", pl.String()),
    "f": ("first_trade_id", pl.Int64()),
    "l": ("last_trade_id", pl.Int64()),
    "T": ("timestamp", pl.Int64()),
    "m": ("is_buyer_maker", pl.Boolean()),
    "M": ("is_best_match", pl.Boolean()),
}


def fetch_recent(feed: Feed, place: Series, first: date, last: date, http: Http, url: str) -> None:
    """Store the aggregate trades of the days from ``first`` to ``last``, as far as there are any.

    It goes on behind what is stored, and stores as it goes: a break loses little.
    """
    pages = _pages(feed, place, TimeRange.of_days(first, last), http, f"{url}/aggTrades")
    for page in pages:
        write_batches(place, chain([page], islice(pages, _PAGES_A_COMMIT - 1)))


def _pages(
    feed: Feed, place: Series, time_range: TimeRange, http: Http, url: str
) -> Iterator[pl.DataFrame]:
    start, end = time_range.start // 1000, time_range.end // 1000
    following = _behind_stored(place, time_range)
    if following is None:
        following = _first_id(feed, start, end, http, url)
    while following is not None:
        params = {"symbol": feed.symbol, "fromId": following, "limit": _LIMIT}
        page: list[dict[str, Any]] = http.json(url, params)
        frame = _frame(feed, page).filter(
            pl.col("timestamp").dt.epoch("ms").is_between(start, end, closed="left")
        )
        if frame.height:
            yield frame
        # A short page is the newest one; one that reaches past the end is the last of interest.
        done = len(page) < _LIMIT or page[-1]["T"] >= end
        following = None if done else page[-1]["a"] + 1


def _behind_stored(place: Series, time_range: TimeRange) -> int | None:
    known = place.day_files(TimeRange(time_range.start - DAY_US, time_range.end))
    return read_footer(known[-1][1]).last_id + 1 if known else None


def _first_id(feed: Feed, start: int, end: int, http: Http, url: str) -> int | None:
    # The service looks at most an hour ahead of a time.
    for since in range(start, end, _HOUR_MS):
        window = {"startTime": since, "endTime": since + _HOUR_MS - 1, "limit": 1}
        page: list[dict[str, Any]] = http.json(url, {"symbol": feed.symbol, **window})
        if page:
            return int(page[0]["a"])
    return None


def _frame(feed: Feed, page: list[dict[str, Any]]) -> pl.DataFrame:
    fields = {key: known for key, known in _FIELDS.items() if known[0] in feed.schema}
    data = {name: [trade[key] for trade in page] for key, (name, _) in fields.items()}
    frame = pl.DataFrame(data, schema=dict(fields.values()))
    return frame.select(
        pl.col("timestamp").cast(pl.Datetime("ms")).cast(pl.Datetime("us")),
        pl.col("price", "quantity").cast(pl.Float64),
        pl.exclude("timestamp", "price", "quantity"),
    ).select(list(feed.schema))
