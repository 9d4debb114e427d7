"""Several files of one day into one: sorted, each id once, in bounded memory.

Range after range of ids is read from all of them (row groups outside a range are skipped by
their statistics), sorted in memory and written. A range that holds too many rows is halved, so
that it makes no difference how badly the ids are mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from polars.exceptions import PolarsError

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import ID
from rangebar_polars.store.conflicts import OnConflict, sorted_once
from rangebar_polars.store.grid import Grid, rescale
from rangebar_polars.store.parquet import ROW_GROUP, DayWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["merge_files"]

_MAX_ROWS = 4 * ROW_GROUP


def merge_files(
    sources: list[pl.LazyFrame],
    ids: tuple[int, int],
    grid: Grid,
    out: Path,
    on_conflict: OnConflict,
    *,
    numbered: bool,
) -> DayWriter:
    """Merge ``sources`` into ``out`` and close it.

    Parameters
    ----------
    sources
        Rows as they stand in files, from the oldest to the newest.
    ids
        Lowest and highest id in any of them.
    grid
        Grid of the result, at least as fine as that of every source.
    on_conflict, numbered
        What to do about equal ids; see `sorted_once`.
    """
    union = pl.concat(sources, how="diagonal")
    writer = DayWriter(out, numbered=numbered)
    left: pl.DataFrame | None = None
    try:
        for rows in _ranges(union, *ids):
            # On one grid first, or equal prices would be different units.
            ready = sorted_once(rescale(rows, grid), on_conflict, numbered=numbered)
            if left is not None:
                ready = pl.concat([left, ready])
            whole = ready.height - ready.height % ROW_GROUP
            for at in range(0, whole, ROW_GROUP):
                writer.write(ready.slice(at, ROW_GROUP))
            left = ready.slice(whole)
        if left is not None and left.height:
            writer.write(left)
    except PolarsError as error:
        writer.abandon()
        if isinstance(error, RangeBarError):
            raise
        msg = f"cannot merge with what is stored for {out.name[:10]}: {error}"
        raise RangeBarError(msg) from error
    writer.close()
    return writer


def _ranges(union: pl.LazyFrame, low: int, high: int) -> Iterator[pl.DataFrame]:
    inside = union.filter(pl.col(ID).is_between(low, high))
    rows: int = inside.select(pl.len()).collect(engine="streaming").item()
    if rows > _MAX_ROWS and low < high:
        middle = (low + high) // 2
        yield from _ranges(union, low, middle)
        yield from _ranges(union, middle + 1, high)
    elif rows:
        yield inside.collect()
