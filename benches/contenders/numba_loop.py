"""The program that many write by hand: collect the columns, loop over the rows in numba.

Its loop is right (whole units decide a close, and the gate holds), its sums are plain floats. With
one symbol the state lives in local variables; with several it lives in arrays, one cell per symbol.
"""

# numba has no types that a checker could follow.
# pyright: basic

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from benches.jobs import FOUR, Job

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Columns of the two tables that the loops fill, a row per bar.
_OPEN_ROW, _CLOSE_ROW, _COUNT, _BUYS = range(4)
_HIGH, _LOW, _VOLUME, _TURNOVER, _BUY_VOLUME, _BUY_TURNOVER = range(6)
_FIRST_CAPACITY = 1 << 16


@numba.njit(cache=True)
def _grown(table: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    wider = np.empty((capacity, table.shape[1]), dtype=table.dtype)
    wider[: table.shape[0]] = table
    return wider


@numba.njit(cache=True)
def _one_symbol(
    time: Ints, price: Floats, quantity: Floats, maker: Bools, threshold: int, capacity: int
) -> tuple[Ints, Floats]:
    ints = np.empty((capacity, 4), dtype=np.int64)
    floats = np.empty((capacity, 6), dtype=np.float64)
    bars = 0
    is_open = False
    open_row, opened_at, upper, lower, count, buys = 0, 0, 0, 0, 0, 0
    high, low, volume, turnover, buy_volume, buy_turnover = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for row in range(len(price)):
        p, q = price[row], quantity[row]
        units = np.int64(np.rint(p * 1e8))
        if not is_open:
            is_open = True
            delta = max(1, units * threshold // 100_000)
            upper, lower = units + delta, units - delta
            open_row, opened_at, count, buys = row, time[row], 0, 0
            high, low = p, p
            volume, turnover, buy_volume, buy_turnover = 0.0, 0.0, 0.0, 0.0
        high, low = max(high, p), min(low, p)
        volume += q
        turnover += p * q
        count += 1
        if not maker[row]:
            buy_volume += q
            buy_turnover += p * q
            buys += 1
        if (units >= upper or units <= lower) and time[row] != opened_at:
            if bars == len(ints):
                ints, floats = _grown(ints, 2 * bars), _grown(floats, 2 * bars)
            ints[bars, 0], ints[bars, 1] = open_row, row
            ints[bars, 2], ints[bars, 3] = count, buys
            floats[bars, 0], floats[bars, 1] = high, low
            floats[bars, 2], floats[bars, 3] = volume, turnover
            floats[bars, 4], floats[bars, 5] = buy_volume, buy_turnover
            bars += 1
            is_open = False
    return ints[:bars], floats[:bars]


@numba.njit(cache=True)
def _many_symbols(
    time: Ints,
    price: Floats,
    quantity: Floats,
    maker: Bools,
    key: npt.NDArray[np.uint32],
    keys: int,
    threshold: int,
    capacity: int,
) -> tuple[Ints, Floats]:
    ints = np.empty((capacity, 4), dtype=np.int64)
    floats = np.empty((capacity, 6), dtype=np.float64)
    bars = 0
    # One row of state per symbol: what the bar has so far, and its boundaries.
    now_ints = np.zeros((keys, 4), dtype=np.int64)
    now_floats = np.zeros((keys, 6), dtype=np.float64)
    bounds = np.zeros((keys, 2), dtype=np.int64)
    for row in range(len(price)):
        k = key[row]
        p, q = price[row], quantity[row]
        units = np.int64(np.rint(p * 1e8))
        i, f = now_ints[k], now_floats[k]
        if i[_COUNT] == 0:
            delta = max(1, units * threshold // 100_000)
            bounds[k, 0], bounds[k, 1] = units + delta, units - delta
            i[_OPEN_ROW] = row
            f[_HIGH], f[_LOW] = p, p
        f[_HIGH], f[_LOW] = max(f[_HIGH], p), min(f[_LOW], p)
        f[_VOLUME] += q
        f[_TURNOVER] += p * q
        i[_COUNT] += 1
        if not maker[row]:
            f[_BUY_VOLUME] += q
            f[_BUY_TURNOVER] += p * q
            i[_BUYS] += 1
        if (units >= bounds[k, 0] or units <= bounds[k, 1]) and time[row] != time[i[_OPEN_ROW]]:
            if bars == len(ints):
                ints, floats = _grown(ints, 2 * bars), _grown(floats, 2 * bars)
            i[_CLOSE_ROW] = row
            ints[bars], floats[bars] = i, f
            i[:], f[:] = 0, 0.0
            bars += 1
    return ints[:bars], floats[:bars]


class NumbaLoop:
    """Collect, loop, and put the bars into a frame."""

    def __init__(self, job: Job) -> None:
        if job.columns != FOUR:
            msg = f"the numba contender does four columns: {job}"
            raise ValueError(msg)
        self._job = job
        self._bars: pl.DataFrame | None = None
        # Compile, or read what an earlier run compiled, before the clock starts.
        whole, real, flag = np.ones(1, np.int64), np.ones(1), np.ones(1, np.bool_)
        _one_symbol(whole, real, real, flag, 250, 1)
        _many_symbols(whole, real, real, flag, np.zeros(1, np.uint32), 1, 250, 1)

    def run(self) -> None:
        """Collect the columns and loop once per threshold."""
        job = self._job
        trades = pl.scan_parquet(list(job.paths)).select(
            *job.columns, *([] if job.by is None else [pl.col(job.by).cast(pl.Categorical)])
        )
        frame = trades.collect(engine="streaming")
        time = frame.get_column("timestamp").to_physical().to_numpy()
        price = frame.get_column("price").to_numpy()
        quantity = frame.get_column("quantity").to_numpy()
        maker = frame.get_column("is_buyer_maker").to_numpy()
        found: list[pl.DataFrame] = []
        for threshold in job.thresholds:
            if job.by is None:
                ints, floats = _one_symbol(time, price, quantity, maker, threshold, _FIRST_CAPACITY)
            else:
                codes = frame.get_column(job.by).to_physical().cast(pl.UInt32).to_numpy()
                ints, floats = _many_symbols(
                    time,
                    price,
                    quantity,
                    maker,
                    codes,
                    int(codes.max()) + 1,
                    threshold,
                    _FIRST_CAPACITY,
                )
            found.append(_frame(frame, job.by, threshold, ints, floats))
        # In the order of the closing trades, and for one trade in the order asked.
        bars = pl.concat(found).sort("close_row", maintain_order=True).drop("close_row")
        self._bars = bars if len(job.thresholds) > 1 else bars.drop("threshold_decimal_bps")

    def bars(self) -> pl.DataFrame | None:
        """Return the bars."""
        return self._bars


def _frame(
    trades: pl.DataFrame, by: str | None, threshold: int, ints: Ints, floats: Floats
) -> pl.DataFrame:
    """Look up times and prices of the first and last trades, and name the columns."""
    opened = trades[ints[:, _OPEN_ROW]]
    closed = trades[ints[:, _CLOSE_ROW]]
    columns: dict[str, pl.Series] = {}
    if by is not None:
        columns[by] = opened.get_column(by).cast(pl.String)
    columns |= {
        "threshold_decimal_bps": pl.repeat(threshold, len(ints), dtype=pl.UInt32, eager=True),
        "open_time": opened.get_column("timestamp"),
        "close_time": closed.get_column("timestamp"),
        "open": opened.get_column("price"),
        "high": pl.Series(floats[:, _HIGH]),
        "low": pl.Series(floats[:, _LOW]),
        "close": closed.get_column("price"),
        "volume": pl.Series(floats[:, _VOLUME]),
        "turnover": pl.Series(floats[:, _TURNOVER]),
        "trade_count": pl.Series(ints[:, _COUNT], dtype=pl.Int64),
        "buy_volume": pl.Series(floats[:, _BUY_VOLUME]),
        "buy_turnover": pl.Series(floats[:, _BUY_TURNOVER]),
        "buy_trade_count": pl.Series(ints[:, _BUYS], dtype=pl.Int64),
        "close_row": pl.Series(ints[:, _CLOSE_ROW]),
    }
    return pl.DataFrame(columns)
