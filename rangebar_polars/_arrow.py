"""Trades of other libraries, through the Arrow PyCapsule interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import polars as pl

from rangebar_polars import _internal

__all__ = ["ArrowStream", "batches_of"]


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
    msg = (
        "trades must be a polars frame or have the Arrow PyCapsule interface, "
        f"got {type(trades).__name__}"
    )
    raise TypeError(msg)
