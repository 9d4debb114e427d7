"""Trades that are the same on every run, for tests that need many and no luck.

Made by numpy and plain arithmetic: what Polars' own hashes and random numbers give changes from one
version to the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["noise", "walk"]


def noise(rows: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Numbers from 0 to 2**62 that look random: one for each row number, whatever the others.

    Splitmix64 (Steele, Lea, Flood 2014), whose state after n steps is n times a constant.
    """
    state = (rows.astype(np.uint64) + np.uint64(seed << 40)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)


def walk(rows: int = 600) -> pl.DataFrame:
    """Make trades of three symbols that take turns irregularly; a bar is a few trades long.

    Prices swing slowly by 5% and jitter by 2% around it. Two neighbouring trades share a timestamp.
    The first trades of a longer walk are those of a shorter one.
    """
    row = np.arange(rows)
    swing = np.round(10_000 + 500 * np.sin(row / 200))
    return pl.DataFrame(
        {
            "timestamp": pl.Series(row // 2).cast(pl.Datetime("us")),
            "price": (swing + noise(row, 1) % 200) / 100,
            "quantity": noise(row, 2) % 100 / 10,
            "is_buyer_maker": noise(row, 3) % 2 == 0,
            "agg_trade_id": row,
            "first_trade_id": row * 2,
            "last_trade_id": row * 2 + row % 3,
            "symbol": np.array(["S0", "S1", "S2"])[noise(row, 4) % 3],
        }
    )
