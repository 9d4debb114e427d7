"""Batches of a frame, in order, a few at a time in memory."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from rangebar_polars._plan import run_plan

__all__ = ["iter_batches"]

_SLICE = 262_144


def iter_batches(frame: pl.LazyFrame | pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Give the rows of ``frame`` in order; of a LazyFrame as its plan makes them."""
    if isinstance(frame, pl.DataFrame):
        return frame.iter_slices(_SLICE)
    return run_plan(frame, lambda batch: batch)
