"""Trades that are the same on every run, for tests that need many and no luck."""

from __future__ import annotations

import polars as pl

__all__ = ["walk"]


def walk(rows: int = 600) -> pl.DataFrame:
    """Make trades of three symbols that take turns irregularly; a bar is a few trades long.

    Prices swing slowly by 5% and jitter by 2% around it. Two neighbouring trades share a timestamp.
    The first trades of a longer walk are those of a shorter one.
    """
    row = pl.col("row")
    jitter = (row.hash(seed=1) % 200).cast(pl.Int64)
    swing = (10_000 + 500 * (row / 200).sin()).round()
    return pl.select(row=pl.int_range(rows, dtype=pl.Int64)).select(
        timestamp=(row // 2).cast(pl.Datetime("us")),
        price=((swing + jitter) / 100).round(2),
        quantity=((row.hash(seed=2) % 100) / 10).round(1),
        is_buyer_maker=row.hash(seed=3) % 2 == 0,
        agg_trade_id=row,
        first_trade_id=row * 2,
        last_trade_id=row * 2 + row % 3,
        symbol="S" + (row.hash(seed=4) % 3).cast(pl.String),
    )
