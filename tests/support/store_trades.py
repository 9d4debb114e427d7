"""Trades for tests of the store, the same on every call."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

__all__ = ["COLUMNS", "days_of_trades"]

COLUMNS = ["timestamp", "price", "quantity", "agg_trade_id", "is_buyer_maker"]


def days_of_trades(
    start: datetime, days: float, rows: int, *, first_id: int = 1, seed: int = 0
) -> pl.DataFrame:
    """Return ``rows`` trades spread over ``days``, with ids that follow each other."""
    step = timedelta(days=days) / rows // timedelta(microseconds=1)
    index = pl.col("index")
    walk = (index * (7 + seed) % 101 - 50).cum_sum() % 10_000
    # Columns divide columns here: by a constant Polars is not exact.
    return (
        pl.DataFrame({"index": range(rows)})
        .with_columns(hundred=pl.Series([100.0] * rows), thousand=pl.Series([1000.0] * rows))
        .select(
            timestamp=pl.lit(start).cast(pl.Datetime("us"))
            + (index * step).cast(pl.Duration("us")),
            price=(walk + 4_200_000) / pl.col("hundred"),
            quantity=(index % 97 + 1) / pl.col("thousand"),
            agg_trade_id=index + first_id,
            is_buyer_maker=index % 3 == 0,
        )
    )
