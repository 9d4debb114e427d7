"""What is stored, what is missing, and what is broken."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from rangebar_polars._time import day_of
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.batches import iter_batches
from rangebar_polars.store.columns import ID
from rangebar_polars.store.grid import DIVISOR
from rangebar_polars.store.manifest import read_manifest
from rangebar_polars.store.parquet import Footer, checked_row_groups, exact_sums, read_footer
from rangebar_polars.store.reading import scan_series
from rangebar_polars.store.time_range import parse_time_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rangebar_polars.store.layout import Series

__all__ = ["gaps", "info", "verify"]

_INFO = {
    "source": pl.String(),
    "symbol": pl.String(),
    "first_day": pl.Date(),
    "last_day": pl.Date(),
    "days": pl.UInt32(),
    "rows": pl.UInt64(),
    "bytes": pl.UInt64(),
    "bytes_per_row": pl.Float64(),
}
_GAPS = {
    "kind": pl.String(),
    "after": pl.Datetime("us"),
    "before": pl.Datetime("us"),
    "after_id": pl.Int64(),
    "before_id": pl.Int64(),
    "missing": pl.Int64(),
}
_PROBLEMS = {
    "source": pl.String(),
    "symbol": pl.String(),
    "file": pl.String(),
    "problem": pl.String(),
}


def info(places: Sequence[Series]) -> pl.DataFrame:
    """See `TradeStore.info`."""
    rows: list[tuple[Any, ...]] = []
    for place in places:
        days = place.day_files()
        if not days:
            continue
        count = sum(read_footer(path).rows for _, path in days)
        size = sum(path.stat().st_size for _, path in days)
        known = (place.source, place.symbol, days[0][0], days[-1][0], len(days), count, size)
        rows.append((*known, round(size / count, 3) if count else None))
    return pl.DataFrame(rows, schema=_INFO, orient="row")


def gaps(place: Series) -> pl.DataFrame:
    """See `TradeStore.gaps`."""
    found: list[tuple[Any, ...]] = []
    days = [day for day, _ in place.day_files()]
    for before, after in pairwise(days):
        missing = (after - before).days - 1
        if missing:
            first = datetime.combine(before + timedelta(days=1), datetime.min.time())
            last = datetime.combine(after, datetime.min.time()) - timedelta(microseconds=1)
            found.append(("missing_day", first, last, None, None, missing))
    trades = scan_series(place, parse_time_range(None, None)).select("timestamp", ID)
    last_row: pl.DataFrame | None = None
    for batch in iter_batches(trades):
        # The last trade of the batch before goes in front, or a jump between the two is lost.
        joined = batch if last_row is None else pl.concat([last_row, batch])
        last_row = joined.tail(1)
        found += _jumps(joined)
    frame = pl.DataFrame(found, schema=_GAPS, orient="row")
    return frame.sort("after", maintain_order=True)


def _jumps(trades: pl.DataFrame) -> list[tuple[Any, ...]]:
    step = pl.col(ID) - pl.col(ID).shift()
    return (
        trades.select(
            pl.when(step > 0).then(pl.lit("id_jump")).otherwise(pl.lit("id_reset")).alias("kind"),
            pl.col("timestamp").shift().alias("after"),
            pl.col("timestamp").alias("before"),
            pl.col(ID).shift().alias("after_id"),
            pl.col(ID).alias("before_id"),
            pl.when(step > 0).then(step - 1).alias("missing"),
        )
        .filter(pl.col("before_id") - pl.col("after_id") != 1)
        .rows()
    )


def verify(places: Sequence[Series]) -> pl.DataFrame:
    """See `TradeStore.verify`."""
    rows: list[tuple[str, str, str, str]] = []
    for place in places:
        for day, path in place.day_files():
            file = path.relative_to(place.root).as_posix()
            rows += [(place.source, place.symbol, file, text) for text in _problems(day, path)]
        try:
            read_manifest(place.manifest)
        except RangeBarError as error:
            rows.append((place.source, place.symbol, place.manifest.name, str(error)))
    return pl.DataFrame(rows, schema=_PROBLEMS, orient="row")


def _problems(day: date, path: Path) -> Iterator[str]:
    try:
        footer = read_footer(path)
    except RangeBarError as error:
        yield str(error)
        return
    rows, last_id = 0, None
    sums = dict.fromkeys(footer.sums, 0)
    try:
        for group in checked_row_groups(path):
            yield from _group_problems(group, footer, day, rows, last_id)
            rows += group.height
            last_id = group[ID][-1]
            for name, total in exact_sums(group).items():
                sums[name] = sums.get(name, 0) + total
    except (OSError, ValueError) as error:  # what pyarrow raises about damaged pages
        yield f"unreadable from row {rows} on: {error}"
        return
    if rows != footer.rows:
        yield f"{rows} rows, {footer.rows} were noted"
    for name, total in sums.items():
        if total != footer.sums.get(name):
            yield f"the sum of {name} is {total}, {footer.sums.get(name)} was noted"


def _group_problems(
    group: pl.DataFrame, footer: Footer, day: date, row: int, last_id: int | None
) -> Iterator[str]:
    ids = group[ID]
    if last_id is not None:
        ids = pl.concat([pl.Series(ID, [last_id], dtype=pl.Int64), ids])
    falls = ids.diff().slice(1) <= 0
    if falls.any():
        at = (falls.arg_max() or 0) + (0 if last_id is not None else 1)
        yield f"row {row + at}: ids do not rise ({group[ID][at]})"
    if not group[ID].is_between(footer.first_id, footer.last_id).all():
        yield f"ids outside the noted {footer.first_id} to {footer.last_id}"
    times = group["timestamp"].to_physical()
    first, last = times.min(), times.max()
    if isinstance(first, int) and isinstance(last, int) and {day_of(first), day_of(last)} != {day}:
        yield f"times from {day_of(first)} to {day_of(last)} in the file of {day}"
    if not (group[DIVISOR] == footer.divisor).all():
        yield f"price has another divisor than the noted {footer.divisor}"
