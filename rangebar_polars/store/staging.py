"""Rows on their way into the store: sorted into one staged file a day.

Trades arrive nearly sorted, so nearly always a day's staged file is already what the store
wants, and is moved into place. Only days whose ids fall somewhere, or of which something is
stored already, are read again and merged (`merge`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from rangebar_polars._time import DAY_US, day_of
from rangebar_polars.store.columns import ID
from rangebar_polars.store.conflicts import OnConflict, sorted_once
from rangebar_polars.store.grid import Grid, rescale
from rangebar_polars.store.parquet import ROW_GROUP, DayWriter

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

__all__ = ["DayStage", "Staging"]

_OPEN_DAYS = 4


@dataclass
class DayStage:
    """The staged rows of one day; where they have no ids, they are ``numbered`` as they come."""

    day: date
    folder: Path
    grid: Grid
    on_conflict: OnConflict
    numbered: bool
    brought_by: str | None
    files: list[DayWriter] = field(default_factory=list[DayWriter])
    _waiting: list[pl.DataFrame] = field(default_factory=list[pl.DataFrame])
    _rows: int = 0
    _count: int = 0
    _decimals_in_file: int = 0
    _open: bool = False

    def add(self, batch: pl.DataFrame) -> None:
        """Take encoded rows of this day."""
        if self.numbered:
            ids = pl.int_range(self._count, self._count + batch.height, dtype=pl.Int64, eager=True)
            batch = batch.with_columns(ids.alias(ID))
            self._count += batch.height
        self._waiting.append(sorted_once(batch, self.on_conflict))
        self._rows += self._waiting[-1].height
        if self._rows >= ROW_GROUP:
            self._flush(everything=False)

    def _flush(self, *, everything: bool) -> None:
        if not self._waiting:
            return
        waiting = pl.concat(self._waiting)
        if self._open and self.grid.decimals != self._decimals_in_file:
            # The rows on disk are on a coarser grid than what came since: a new file.
            self._close_file()
        waiting = rescale(waiting, self.grid)
        at = 0
        while waiting.height - at >= ROW_GROUP or (everything and at < waiting.height):
            self._write(waiting.slice(at, ROW_GROUP))
            at += ROW_GROUP
        left = waiting.slice(at)
        self._waiting = [left] if left.height else []
        self._rows = left.height

    def _write(self, batch: pl.DataFrame) -> None:
        if not self._open:
            name = f"{self.day.isoformat()}.{len(self.files)}.tmp"
            path = self.folder / name
            self.files.append(DayWriter(path, self.numbered, self.brought_by))
            self._decimals_in_file = self.grid.decimals
            self._open = True
        self.files[-1].write(batch)

    def _close_file(self) -> None:
        if self._open:
            self.files[-1].close()
            self._open = False

    def close(self) -> None:
        """Write what waits and close the file; later rows would begin another."""
        self._flush(everything=True)
        self._close_file()

    def abandon(self) -> None:
        """Drop everything."""
        self._waiting = []
        for file in self.files:
            file.abandon()

    @property
    def ids(self) -> tuple[int, int]:
        """The lowest and the highest id."""
        return min(f.first_id for f in self.files), max(f.last_id for f in self.files)

    @property
    def times(self) -> tuple[int, int]:
        """The first and the last time."""
        return min(f.times[0] for f in self.files), max(f.times[1] for f in self.files)

    @property
    def ready(self) -> DayWriter | None:
        """The staged file, where it is already sorted and whole."""
        return self.files[0] if len(self.files) == 1 and self.files[0].ordered else None


class Staging:
    """All days of one write. At most a few are open at a time, however the rows come."""

    def __init__(
        self,
        folder: Path,
        grid: Grid,
        on_conflict: OnConflict,
        *,
        numbered: bool,
        brought_by: str | None,
    ) -> None:
        self._folder = folder
        self._grid = grid
        self._on_conflict: OnConflict = on_conflict
        self._numbered = numbered
        self._brought_by = brought_by
        self._open: dict[date, DayStage] = {}
        self.days: dict[date, DayStage] = {}

    def add(self, batch: pl.DataFrame) -> None:
        """Take an encoded batch, of any days."""
        if batch.is_empty():
            return
        times = batch["timestamp"].to_physical()
        first, last = times.min(), times.max()
        assert isinstance(first, int)
        assert isinstance(last, int)
        if first // DAY_US == last // DAY_US:
            self._stage(day_of(first)).add(batch)
            return
        key = "day"
        while key in batch.columns:
            key += "_"
        parts = batch.with_columns((times // DAY_US).alias(key)).partition_by(
            key, maintain_order=True, include_key=True
        )
        for part in parts:
            day = day_of(int(part[key][0]) * DAY_US)
            self._stage(day).add(part.drop(key))

    def _stage(self, day: date) -> DayStage:
        stage = self._open.pop(day, None) or self.days.get(day)
        if stage is None:
            stage = self.days[day] = DayStage(
                day,
                self._folder,
                self._grid,
                self._on_conflict,
                self._numbered,
                self._brought_by,
            )
        self._open[day] = stage  # the most recently used stands last
        if len(self._open) > _OPEN_DAYS:
            oldest = next(iter(self._open))
            self._open.pop(oldest).close()
        return stage

    def close(self) -> list[DayStage]:
        """Close every day and return them in order."""
        for stage in self._open.values():
            stage.close()
        self._open.clear()
        return [self.days[day] for day in sorted(self.days)]

    def abandon(self) -> None:
        """Drop everything that was staged."""
        for stage in self.days.values():
            stage.abandon()
