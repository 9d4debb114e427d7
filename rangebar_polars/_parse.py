"""What parsers of columns share: how a batch is converted, and how a value is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import polars as pl

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError

__all__ = ["batchwise", "is_text", "refused", "wrong_dtype"]


def batchwise(
    column: str, convert: Callable[..., pl.Series], dtype: pl.DataType, **options: Any
) -> pl.Expr:
    """
    Convert a column batch by batch in Python, because an expression cannot raise.

    Marked elementwise, so that columns, rows and predicates on other columns are pushed past it.
    """
    work = partial(convert, column=column, **options)
    return pl.col(column).map_batches(work, return_dtype=dtype, is_elementwise=True)


def is_text(dtype: pl.DataType) -> bool:
    """Whether the values of a column are text."""
    return isinstance(dtype, (pl.String, pl.Categorical, pl.Enum))


def refused(column: str, value: object, problem: str) -> InvalidTradeError:
    """The error of a value that cannot be read."""
    shown = "null" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
    return InvalidTradeError(f"column '{column}', value {shown}: {problem}", column, -1, shown)


def wrong_dtype(column: str, dtype: pl.DataType, wanted: str) -> RangeBarError:
    """The error of a column that cannot play its part."""
    return RangeBarError(f"column '{column}' must hold {wanted}, got {dtype}")
