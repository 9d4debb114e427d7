"""What is stored, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from rangebar_polars.store.parquet import read_footer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rangebar_polars.store.layout import Series

__all__ = ["info"]

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
