"""Trades of other libraries, through the Arrow PyCapsule interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import polars as pl

from rangebar_polars import _internal

__all__ = ["ArrowStream", "batches_of", "checked_frame"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that hands out an Arrow stream: pyarrow, DuckDB, pandas, nanoarrow, ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a PyCapsule named ``arrow_array_stream``."""
        ...


def batches_of(trades: ArrowStream) -> Iterator[pl.DataFrame]:
    """The batches of another library's trades."""
    if isinstance(trades, ArrowStream):  # pyright: ignore[reportUnnecessaryIsInstance]
        return iter(_internal.ArrowBatches(trades.__arrow_c_stream__()))
    if hasattr(trades, "__arrow_c_array__"):
        return iter([pl.DataFrame(trades)])
    raise TypeError(_not_trades(trades))


def checked_frame(trades: Frame) -> Frame:
    """
    Refuse what is not a Polars frame.

    Raises
    ------
    TypeError
        With the way to make one of it.
    """
    given: Any = trades
    if isinstance(given, (pl.DataFrame, pl.LazyFrame)):
        return cast("Frame", given)
    if hasattr(given, "__arrow_c_stream__"):
        msg = f"trades must be a polars frame; make one with pl.DataFrame({type(given).__name__})"
        raise TypeError(msg)
    raise TypeError(_not_trades(given))


def _not_trades(given: object) -> str:
    hint = ""
    if isinstance(given, (str, bytes)) or hasattr(given, "__fspath__"):
        hint = "; scan a file first: pl.scan_parquet(path)"
    return (
        "trades must be a polars frame or have the Arrow PyCapsule interface (pandas >= 2.2, "
        f"pyarrow, DuckDB), got {type(given).__name__}{hint}"
    )
