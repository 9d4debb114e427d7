"""Trades that are the same on every run, for tests that need many and no luck.

Made by numpy and plain arithmetic: what Polars' own hashes and random numbers give changes from one
version to the next.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["COLUMNS", "days_of_trades", "noise", "paced", "spread", "walk"]

COLUMNS = ["timestamp", "price", "quantity", "agg_trade_id", "is_buyer_maker"]
"""Those of `days_of_trades`."""


def noise(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Numbers from 0 to 2**62 that look random: one for each row number, whatever the others.

    Splitmix64 (Steele, Lea, Flood 2014), whose state after n steps is n times a constant.
    """
    state = (rows.astype(np.uint64) + np.uint64(seed << 40)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)


def walk(rows: int = 600, *, first_id: int = 0, seed: int = 0) -> pl.DataFrame:
    """Make trades of three symbols that take turns irregularly; a bar is a few trades long.

    Prices swing slowly by 5% and jitter by 2% around it. Two neighbouring trades share a timestamp.
    An aggregate trade stands for one to three trades, with no gap between their ids. A trade
    follows from its id alone, so a longer walk starts with a shorter one, and two whose ids follow
    each other make one.
    """
    row = np.arange(first_id, first_id + rows)
    swing = np.round(10_000 + 500 * np.sin(row / 200))
    more = row % 3
    first_trade_id = row // 3 * 6 + more * (more + 1) // 2
    luck = 8 * seed
    return pl.DataFrame(
        {
            "timestamp": pl.Series(row // 2).cast(pl.Datetime("us")),
            "price": (swing + noise(row, luck + 1) % 200) / 100,
            "quantity": noise(row, luck + 2) % 100 / 10,
            "is_buyer_maker": noise(row, luck + 3) % 2 == 0,
            "agg_trade_id": row,
            "first_trade_id": first_trade_id,
            "last_trade_id": first_trade_id + more,
            "symbol": np.array(["S0", "S1", "S2"])[noise(row, luck + 4) % 3],
        }
    )


def spread(trades: pl.DataFrame, start: datetime, duration: timedelta) -> pl.DataFrame:
    """Give trades times at equal distances, in whole microseconds, from ``start`` on."""
    step = duration / max(trades.height, 1) // timedelta(microseconds=1)
    times = pl.lit(start).cast(pl.Datetime("us")) + pl.duration(
        microseconds=pl.int_range(pl.len()) * step
    )
    return trades.with_columns(timestamp=times)


def paced(
    trades: pl.DataFrame,
    step: timedelta,
    *,
    start: datetime = datetime(2024, 1, 30),
    silence: timedelta = timedelta(0),
) -> pl.DataFrame:
    """Give trades times in pairs, ``step`` apart from pair to pair, and a silence every 50 rows."""
    row = pl.int_range(pl.len())
    microsecond = timedelta(microseconds=1)
    times = pl.lit(start).cast(pl.Datetime("us")) + pl.duration(
        microseconds=row // 2 * (step // microsecond) + row // 50 * (silence // microsecond)
    )
    return trades.with_columns(timestamp=times)


def days_of_trades(
    start: datetime, days: float, rows: int, *, first_id: int = 1, seed: int = 0
) -> pl.DataFrame:
    """Return ``rows`` trades of one symbol spread over ``days``."""
    trades = walk(rows, first_id=first_id, seed=seed)
    return spread(trades, start, timedelta(days=days)).select(COLUMNS)
