"""Prices as integers, and back, without losing a bit.

The price of a file is stored as ``price_units`` (Int64) and ``price_divisor`` (Float64, a power of
ten that is the same in the whole file): ``price = price_units / price_divisor``. The divisor is a
column, not only meta data, because then every reader of Parquet can do that division, and no plan
made before a file was replaced can apply the wrong one. Encoded as runs it costs four thousandths
of a byte a row. And it makes the division exact: by a constant, Polars multiplies with the
reciprocal, which is off by one bit for every eighth price with eight decimals.

The coarsest divisor that gives every value back bit for bit is chosen, because decimals that
a market never uses would cost three bits each in every row.

Prices walk, so their differences are small and pack well. Quantities do not: they are drawn from a
few thousand lots, and stay floats, each lot once in a dictionary (see `parquet`).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store.columns import MAX_DECIMALS
from rangebar_polars.store.typed import as_dtype

__all__ = ["DIVISOR", "UNITS", "Grid", "decode", "encode", "rescale"]

UNITS, DIVISOR = "price_units", "price_divisor"
"""The columns that stand for the price in a file."""

_INT64 = 2**63


@dataclass
class Grid:
    """How fine the prices of a write are.

    It only ever gets finer during a write, so that neighbouring days share a divisor wherever
    the market's tick does not change.

    Attributes
    ----------
    decimals : int
        What prices needed so far.
    limit : int
        How fine it may get.
    column : str
        The user's name of the price, for errors.
    """

    decimals: int = 0
    limit: int = 8
    column: str = "price"

    @property
    def divisor(self) -> int:
        """Units of a price of 1."""
        return 10**self.decimals

    def refine(self, decimals: int) -> None:
        """Allow this many decimals at least."""
        self.decimals = max(self.decimals, decimals)


def encode(batch: pl.DataFrame, grid: Grid, row: int) -> pl.DataFrame:
    """Put the prices of a batch on the grid, and make the grid as fine as they need.

    ``row`` is the position of the batch's first row in the stream, for errors.

    Raises
    ------
    InvalidTradeError
        Where a price would not come back the same: it has more decimals than the grid may
        have, or more digits than an Int64 holds.
    """
    columns: list[pl.Series] = []
    for column in batch.iter_columns():
        columns += _units(column, grid, row) if column.name == "price" else [column]
    return pl.DataFrame(columns)


def _units(prices: pl.Series, grid: Grid, row: int) -> list[pl.Series]:
    same = pl.Series([], dtype=pl.Boolean)
    for decimals in range(grid.decimals, max(grid.limit, grid.decimals) + 1):
        units, divisors, same = _on_grid(prices, decimals)
        if same.all():
            grid.refine(decimals)
            return [units.rename(UNITS), divisors.rename(DIVISOR)]
    at = (~same).arg_max() or 0
    price = prices[at]
    fits_alone = any(_on_grid(prices[at : at + 1], n)[2].all() for n in range(grid.limit + 1))
    if fits_alone:
        why = "beside prices of the same write that have more decimals: Int64 cannot count both"
    else:
        more = f"give decimals= up to {MAX_DECIMALS}, or " if grid.limit < MAX_DECIMALS else ""
        why = f"with decimals={grid.limit}: {more}round prices with .round({grid.limit})"
    msg = f"column '{grid.column}', row {row + at}: price {price} cannot be stored exactly {why}"
    raise InvalidTradeError(msg, grid.column, row + at, str(price))


def _on_grid(prices: pl.Series, decimals: int) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Units, divisors, and which of the prices come back the same from them."""
    divisor = 10.0**decimals
    units = as_dtype((prices * divisor).round(), pl.Int64, strict=False)
    divisors = pl.repeat(divisor, prices.len(), dtype=pl.Float64, eager=True)
    return units, divisors, (units / divisors).eq_missing(prices)


def decode(names: list[str]) -> list[pl.Expr]:
    """Expressions that turn a stored file back into the columns ``names``, in that order."""
    price = (pl.col(UNITS) / pl.col(DIVISOR)).alias("price")
    return [price if name == "price" else pl.col(name) for name in names]


def rescale(batch: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Bring an encoded batch to a grid that is at least as fine."""
    divisors = batch[DIVISOR]
    if batch.is_empty() or divisors.min() == divisors.max() == grid.divisor:
        return batch
    factors = as_dtype((grid.divisor / divisors).round(), pl.Int128)
    units = as_dtype(batch[UNITS], pl.Int128) * factors
    high = units.max()
    assert isinstance(high, int)
    if high >= _INT64:
        price = high / grid.divisor
        msg = (
            f"column 'price' mixes values too large and too fine for one file: "
            f"{price} in units of {grid.decimals} decimals does not fit Int64"
        )
        raise RangeBarError(msg)
    return batch.with_columns(
        as_dtype(units, pl.Int64).alias(UNITS), pl.lit(float(grid.divisor)).alias(DIVISOR)
    )
