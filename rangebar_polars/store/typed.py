"""Calls whose types their libraries leave open, closed here once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import polars as pl

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["acquire", "as_dtype", "bit_sum", "int_sum"]


def as_dtype(
    values: pl.Series, dtype: pl.DataType | type[pl.DataType], *, strict: bool = True
) -> pl.Series:
    """Cast a series."""
    return values.cast(dtype, strict=strict)  # pyright: ignore[reportUnknownMemberType]


def int_sum(values: pl.Series) -> int:
    """Sum integers without wrapping: a day of a meme coin goes beyond Int64."""
    return int(as_dtype(values, pl.Int128).sum())


def bit_sum(values: pl.Series) -> int:
    """Sum the bits of 64-bit floats as if they were integers: no rounding, in any order."""
    arrow = cast("Any", values.to_arrow()).view("int64")
    bits = pl.from_arrow(arrow)  # pyright: ignore[reportUnknownMemberType]
    assert isinstance(bits, pl.Series)
    return int_sum(bits)


def acquire(lock: BaseFileLock, timeout: float | None = None) -> None:
    """Take a lock; raises filelock.Timeout where that takes longer than ``timeout`` seconds."""
    lock.acquire(timeout=timeout)  # pyright: ignore[reportUnknownMemberType]
