"""Prices and quantities as integers, and back, without losing a bit.

A column of a file is stored as ``units`` (Int64) and ``divisor`` (Float64, a power of ten that
is the same in the whole file): ``value = units / divisor``. The divisor is a column, not only
meta data, because then every reader of Parquet can do that division, and no plan made before a
file was replaced can apply the wrong one. Encoded as runs it costs four thousandths of a byte
a row and no time. And it makes the division exact: by a constant, Polars multiplies with the
reciprocal, which is off by one bit for every eighth price with eight decimals.

The coarsest divisor that gives every value back bit for bit is chosen, because decimals that
a market never uses would cost three bits each in every row.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store.typed import as_dtype

__all__ = ["MAX_SCALE", "SCALED", "Scales", "decode", "encode", "rescale"]

MAX_SCALE = 8
"""Decimals of the finest grid: the one on which bars compare prices."""

SCALED = ("price", "quantity")
"""The columns that are stored on a grid."""

_INT64 = 2**63


@dataclass
class Scales:
    """Decimals in use, per column.

    They only ever grow during a write, so that neighbouring days share a divisor wherever the
    market's tick does not change.
    """

    price: int = 0
    quantity: int = 0

    def of(self, column: str) -> int:
        """Return the decimals of a column."""
        return self.price if column == "price" else self.quantity

    def grow(self, column: str, scale: int) -> None:
        """Allow a column this many decimals at least."""
        if column == "price":
            self.price = max(self.price, scale)
        else:
            self.quantity = max(self.quantity, scale)


def encode(batch: pl.DataFrame, scales: Scales, row: int) -> pl.DataFrame:
    """Put the prices and quantities of a batch on the grid.

    ``row`` is the position of the batch's first row in the stream, for errors.

    Raises
    ------
    InvalidTradeError
        Where a value would not come back the same: it has more than eight decimals, or more
        digits than an Int64 holds.
    """
    columns: list[pl.Series] = []
    for column in batch.iter_columns():
        if column.name in SCALED:
            columns += _units(column, scales, row)
        else:
            columns.append(column)
    return pl.DataFrame(columns)


def _units(values: pl.Series, scales: Scales, row: int) -> list[pl.Series]:
    name = values.name
    same = pl.Series([], dtype=pl.Boolean)
    for scale in range(scales.of(name), MAX_SCALE + 1):
        divisor = 10.0**scale
        units = as_dtype((values * divisor).round(), pl.Int64, strict=False)
        divisors = pl.repeat(divisor, values.len(), dtype=pl.Float64, eager=True)
        same = (units / divisors).eq_missing(values)
        if same.all():
            scales.grow(name, scale)
            return [units.rename(f"{name}_units"), divisors.rename(f"{name}_divisor")]
    at = (~same).arg_max() or 0
    value = values[at]
    msg = (
        f"column '{name}', row {row + at}: {name} {value} cannot be stored exactly: "
        f"it is no multiple of 1e-{MAX_SCALE} that Int64 holds (round it to {MAX_SCALE} decimals)"
    )
    raise InvalidTradeError(msg, name, row + at, str(value))


def decode(names: list[str]) -> list[pl.Expr]:
    """Expressions that turn a stored file back into the columns ``names``, in that order."""
    return [
        (pl.col(f"{name}_units") / pl.col(f"{name}_divisor")).alias(name)
        if name in SCALED
        else pl.col(name)
        for name in names
    ]


def rescale(batch: pl.DataFrame, scales: Scales) -> pl.DataFrame:
    """Bring an encoded batch to the divisors of ``scales``, which are at least as fine."""
    for name in SCALED:
        if f"{name}_units" not in batch.columns or batch.is_empty():
            continue
        target = 10 ** scales.of(name)
        divisors = batch[f"{name}_divisor"]
        if divisors.min() == divisors.max() == target:
            continue
        units = batch[f"{name}_units"]
        factors = as_dtype((target / divisors).round(), pl.Int64)
        low, high, most = units.min(), units.max(), factors.max()
        assert isinstance(low, int)
        assert isinstance(high, int)
        assert isinstance(most, int)
        if max(abs(low), abs(high)) * most >= _INT64:
            msg = (
                f"column '{name}' mixes values too large and too fine for one file: "
                f"{high} units at {scales.of(name)} decimals do not fit Int64"
            )
            raise RangeBarError(msg)
        batch = batch.with_columns(
            (units * factors).alias(f"{name}_units"),
            pl.lit(float(target)).alias(f"{name}_divisor"),
        )
    return batch
