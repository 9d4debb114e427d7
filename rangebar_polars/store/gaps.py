"""What is missing between the first stored trade and the last."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from rangebar_polars.store.batches import iter_batches
from rangebar_polars.store.columns import ID
from rangebar_polars.store.reading import scan_series
from rangebar_polars.store.time_range import parse_time_range

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from rangebar_polars.store.layout import Series

__all__ = ["gaps"]

_GAPS = {
    "kind": pl.String(),
    "after": pl.Datetime("us"),
    "before": pl.Datetime("us"),
    "after_id": pl.Int64(),
    "before_id": pl.Int64(),
    "missing": pl.Int64(),
}
_FIRST, _LAST = "first_trade_id", "last_trade_id"


def gaps(place: Series) -> pl.DataFrame:
    """See `TradeStore.gaps`."""
    found = _missing_days([day for day, _ in place.day_files()])
    trades = scan_series(place, parse_time_range(None, None))
    stored = trades.collect_schema()
    wanted = ["timestamp", *(name for name in (ID, _FIRST, _LAST) if name in stored)]
    last_row: pl.DataFrame | None = None
    for batch in iter_batches(trades.select(wanted)):
        # The last trade of the batch before goes in front, or a jump between the two is lost.
        joined = batch if last_row is None else pl.concat([last_row, batch])
        if ID in wanted:
            found += _jumps(joined, "id", pl.col(ID), pl.col(ID))
        if _FIRST in wanted and _LAST in wanted:
            # Some files have -1 where an aggregate holds no trade; such a row tells nothing.
            known = pl.col(_FIRST, _LAST)
            joined = joined.with_columns(pl.when(known >= 0).then(known))
            joined = joined.with_columns(pl.col(_LAST).forward_fill())
            # Where each trade is its own aggregate, the ids are these.
            same = (pl.col(_FIRST) == pl.col(ID)) & (pl.col(_LAST) == pl.col(ID)).shift()
            other = joined if ID not in wanted else joined.with_columns(same.alias("same"))
            found += _jumps(other, "trade_id", pl.col(_FIRST), pl.col(_LAST))
        last_row = joined.tail(1)
    frame = pl.DataFrame(found, schema=_GAPS, orient="row")
    return frame.sort("after", maintain_order=True)


def _missing_days(days: Sequence[date]) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for before, after in pairwise(days):
        missing = (after - before).days - 1
        if missing:
            first = datetime.combine(before + timedelta(days=1), datetime.min.time())
            last = datetime.combine(after, datetime.min.time()) - timedelta(microseconds=1)
            found.append(("missing_day", first, last, None, None, missing))
    return found


def _jumps(trades: pl.DataFrame, kind: str, first: pl.Expr, last: pl.Expr) -> list[tuple[Any, ...]]:
    """Rows whose ``first`` id does not follow the ``last`` one of the row before."""
    before = last.shift()
    step = first - before
    follows = (step == 1) | step.is_null()
    if "same" in trades.columns:
        follows |= pl.col("same")
    return (
        trades.select(
            pl.when(step > 0).then(pl.lit(f"{kind}_jump")).otherwise(pl.lit(f"{kind}_reset")),
            pl.col("timestamp").shift().alias("after"),
            pl.col("timestamp").alias("before"),
            before.alias("after_id"),
            first.alias("before_id"),
            pl.when(step > 0).then(step - 1).alias("missing"),
            follows.alias("follows"),
        )
        .filter(~pl.col("follows"))
        .drop("follows")
        .rows()
    )
