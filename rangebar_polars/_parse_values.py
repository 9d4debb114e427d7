"""Prices, quantities, ids and sides as others write them, to our dtypes: exact, or an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from rangebar_polars._parse import batchwise, is_text, refused, wrong_dtype

__all__ = ["filled_expr", "flag_expr", "id_expr", "number_expr", "side_expr"]

_EXACT: Final = 2**53
_TRUE: Final = ("true", "True", "TRUE", "1")
_FALSE: Final = ("false", "False", "FALSE", "0")


def number_expr(
    column: str, dtype: pl.DataType, decimals: int | None = None, missing: int | None = None
) -> pl.Expr:
    """
    A price or a quantity as Float64: of text the nearest one, as Polars casts.

    Parameters
    ----------
    column, dtype
        The column.
    decimals
        Whole numbers count 10 to the power of minus this. None: they are what they are.
    missing
        The whole number that stands for none.
    """
    if decimals is not None and (dtype.is_integer() or is_text(dtype)):
        return batchwise(column, _scaled, pl.Float64(), decimals=decimals, missing=missing)
    if isinstance(dtype, pl.Float64):
        return pl.col(column)
    if isinstance(dtype, (pl.Int64, pl.UInt64)):
        return batchwise(column, _whole, pl.Float64())
    if is_text(dtype):
        return pl.col(column).cast(pl.String).cast(pl.Float64)
    if dtype.is_numeric():
        return pl.col(column).cast(pl.Float64)
    raise wrong_dtype(column, dtype, "numbers, or text with numbers")


def _whole(values: pl.Series, column: str) -> pl.Series:
    floats = values.cast(pl.Float64)
    too_large = values.filter(floats.abs() >= _EXACT)
    if too_large.len():
        raise refused(
            column, too_large[0], "a Float64 does not hold it exactly; cast it to Decimal"
        )
    return floats


def _scaled(values: pl.Series, column: str, decimals: int, missing: int | None) -> pl.Series:
    if is_text(values.dtype):
        text = values.cast(pl.String)
        if text.str.contains(".", literal=True).any():
            return text.cast(pl.Float64)
        values = text.cast(pl.Int64)
    if (values == missing).any():
        raise refused(column, missing, "this stands for a missing price; leave such rows out")
    if (values.cast(pl.Float64).abs() < _EXACT).all():
        # Both are exact, so the quotient is the nearest float.
        return values.cast(pl.Float64) / float(10**decimals)
    digits = values.cast(pl.String).str.zfill(decimals + 1)
    number = pl.col(column).str.head(-decimals) + "." + pl.col(column).str.tail(decimals)
    return digits.alias(column).to_frame().select(number.cast(pl.Float64)).to_series()


def id_expr(column: str, dtype: pl.DataType) -> pl.Expr:
    """An id as Int64."""
    if isinstance(dtype, pl.Int64):
        return pl.col(column)
    if dtype.is_integer():
        return pl.col(column).cast(pl.Int64)
    if is_text(dtype):
        return pl.col(column).cast(pl.String).cast(pl.Int64)
    raise wrong_dtype(column, dtype, "integers, or text with integers")


def filled_expr(column: str, dtype: pl.DataType) -> pl.Expr:
    """A column as it is, but an error at its first null."""
    return batchwise(column, _filled, dtype)


def _filled(values: pl.Series, column: str) -> pl.Series:
    if values.null_count():
        raise refused(column, None, "a line has nothing there; it may be cut off")
    return values


def flag_expr(column: str, dtype: pl.DataType) -> pl.Expr:
    """A boolean, which may be written as 0 and 1 or as text."""
    if isinstance(dtype, pl.Boolean):
        return pl.col(column)
    if dtype.is_integer() or is_text(dtype):
        return batchwise(column, _flag, pl.Boolean())
    raise wrong_dtype(column, dtype, "booleans, 0 and 1, or text")


def _flag(values: pl.Series, column: str) -> pl.Series:
    text = values.cast(pl.String)
    flags = _either(text, _TRUE, _FALSE)
    other = text.filter(flags.is_null() & text.is_not_null())
    if other.len():
        raise refused(column, other[0], "must be true or false, or 1 or 0")
    return flags


def side_expr(
    column: str,
    dtype: pl.DataType,
    *,
    sells: Sequence[str],
    buys: Sequence[str],
    of_maker: bool,
    other_is_null: bool,
) -> pl.Expr:
    """Whether the buyer was the maker, told by the side of one of the two."""
    if not (dtype.is_integer() or is_text(dtype)):
        raise wrong_dtype(column, dtype, "text or integers")
    maker_bought = (buys, sells) if of_maker else (sells, buys)
    return batchwise(
        column, _side, pl.Boolean(), maker_bought=maker_bought, other_is_null=other_is_null
    )


def _side(
    values: pl.Series,
    column: str,
    maker_bought: tuple[Sequence[str], Sequence[str]],
    other_is_null: bool,
) -> pl.Series:
    text = values.cast(pl.String)
    flags = _either(text, *maker_bought)
    if not other_is_null and flags.null_count():
        yes, no = (", ".join(f"'{value}'" for value in side) for side in maker_bought)
        problem = (
            f"is not one of the sides {yes} and {no}; name all of them with sells=[...] and "
            "buys=[...], or leave such sides empty with other_side='null'"
        )
        raise refused(column, text.filter(flags.is_null())[0], problem)
    return flags


def _either(text: pl.Series, yes: Sequence[str], no: Sequence[str]) -> pl.Series:
    """True for the first, false for the second, null for what is neither."""
    value = pl.col(text.name)
    flags = (
        pl.when(value.is_in(list(yes)))
        .then(statement=True)
        .when(value.is_in(list(no)))
        .then(statement=False)
    )
    return text.to_frame().select(flags.alias(text.name)).to_series()
