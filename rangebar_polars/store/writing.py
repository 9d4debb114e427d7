"""One write: batches are checked, staged by day, merged where they must be, and committed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from rangebar_polars._files import write_text
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import ID, Columns
from rangebar_polars.store.commit import Change, commit, locked, staging_folder
from rangebar_polars.store.conflicts import OnConflict, refuse_shared_ids
from rangebar_polars.store.grid import Grid, encode
from rangebar_polars.store.layout import refuse_twin_source
from rangebar_polars.store.manifest import Origin, read_manifest, to_text
from rangebar_polars.store.merge import merge_files
from rangebar_polars.store.parquet import (
    DayWriter,
    Footer,
    check_same_dtypes,
    check_same_kind,
    read_footer,
)
from rangebar_polars.store.provenance import BROUGHT_BY, NO_FILE, without_files
from rangebar_polars.store.staging import DayStage, Staging
from rangebar_polars.store.values import to_stored

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    from rangebar_polars.store.layout import Series

__all__ = ["WriteReport", "write_batches"]

_log = logging.getLogger(__name__)

_PIECE = 32_768


@dataclass(frozen=True)
class WriteReport:
    """What a write did.

    Attributes
    ----------
    rows_in : int
        Rows that were given.
    rows_stored : int
        Rows that the touched days hold now.
    days : list[date]
        UTC days that were written, in order.
    merged_days : list[date]
        Those of them that had to be sorted, or merged with what was stored before.
    """

    rows_in: int
    rows_stored: int
    days: list[date]
    merged_days: list[date]


def write_batches(
    place: Series,
    batches: Iterable[pl.DataFrame],
    origin: Origin | None = None,
    *,
    columns: Columns | None = None,
    on_conflict: OnConflict = "replace",
) -> WriteReport:
    """Store batches whose columns have the store's names; see `TradeStore.write`.

    Whatever ``batches`` raises is raised here, and nothing is stored. The series is locked only
    while files are made and when they move, so that writers stage side by side; whatever
    another one stored meanwhile is merged in.

    Parameters
    ----------
    columns
        What the columns are called by the user and what they mean. Default: as in the store.
    on_conflict
        See `TradeStore.write`. The default is the archive's: what it publishes is right.
    """
    columns = columns or Columns()
    refuse_twin_source(place.root, place.source)
    rows = 0
    with staging_folder(place) as folder:
        grid = Grid(limit=columns.decimals, column=columns.price)
        numbered = columns.agg_trade_id is None
        file = None if origin is None else origin.name
        staging = Staging(folder, grid, on_conflict, numbered=numbered, brought_by=file)
        try:
            for batch in batches:
                # In pieces, for encoding takes several times their size.
                for piece in batch.iter_slices(_PIECE):
                    staging.add(encode(to_stored(piece, rows, columns), grid, rows))
                    rows += piece.height
            stages = staging.close()
        except BaseException:
            staging.abandon()
            raise
        with locked(place):
            return _Commit(place, folder, on_conflict).run(stages, origin, rows)


@dataclass(frozen=True)
class _OldRows:
    """Rows of a stored file, perhaps not all of them."""

    footer: Footer
    frame: pl.LazyFrame


def _unnamed(old: _OldRows, day: date, origin: Origin, manifest: dict[str, Origin]) -> _OldRows:
    """Forget names that say nothing any more.

    Of the files whose days include this one (its own, its month's) the last to come speaks for
    all of them: see `_Commit._old_rows`, which takes them away together.
    """
    if not origin.first_day <= day <= origin.last_day:
        return old
    covering = {o.name for o in manifest.values() if o.first_day <= day <= o.last_day}
    if old.footer.files - covering - {NO_FILE}:
        return old
    nobody = pl.lit(None, dtype=pl.String).alias(BROUGHT_BY)
    return _OldRows(old.footer, old.frame.with_columns(nobody))


def _rows_of(path: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, glob=False, hive_partitioning=False)


@dataclass
class _Commit:
    """The second half of a write, under the lock: staged days and stored ones become one."""

    place: Series
    folder: Path
    on_conflict: OnConflict

    def run(self, stages: list[DayStage], origin: Origin | None, rows: int) -> WriteReport:
        place, folder = self.place, self.folder
        change = Change(place)
        manifest = read_manifest(place.manifest)
        old = self._old_rows(manifest, origin)
        if self.on_conflict == "replace":
            # Nothing tells which of the stored rows the new ones are.
            old.update({stage.day: None for stage in stages if stage.numbered})
        written: dict[date, DayWriter] = {}
        removed: set[date] = set()
        merged: list[date] = []
        staged = {stage.day: stage for stage in stages}
        for day in sorted({*staged, *old}):
            stage, target = staged.get(day), place.day_file(day)
            before = old[day] if day in old else self._stored(target)
            if before is not None and origin is not None:
                before = _unnamed(before, day, origin, manifest)
            final = stage.ready if stage is not None and before is None else None
            if final is None and (before is not None or stage is not None):
                merged.append(day)
                final = self._merged(day, stage, before)
            if final is None or not final.rows:
                removed.add(day)
                change.remove(target)
                continue
            written[day] = final
            change.move(final.path, target)
        self._check_neighbours(written, removed)
        if origin is not None:
            noted = folder / "sources.json"
            write_text(noted, to_text({**manifest, origin.name: origin}))
            change.move(noted, place.manifest)
        commit(place, folder, change)
        days = list(written)
        merged = [day for day in merged if day in written]
        _log.info("%s/%s: %d rows into %d days", place.source, place.symbol, rows, len(days))
        return WriteReport(rows, sum(file.rows for file in written.values()), days, merged)

    def _old_rows(
        self, manifest: dict[str, Origin], origin: Origin | None
    ) -> dict[date, _OldRows | None]:
        """Return what stays of the days that a file, published anew, had brought rows to.

        Rows that are gone from it must go here too, those that another file brought must stay.
        None: nothing stays.
        """
        known = manifest.get(origin.name) if origin is not None else None
        if known is None or origin is None or known.sha256 == origin.sha256:
            return {}
        rows: dict[date, _OldRows | None] = {}
        for day, path in self.place.day_files():
            own = known.first_day <= day <= known.last_day
            try:
                footer = read_footer(path)
            except RangeBarError:
                # Damaged: of its own days nothing else was to stay, and others are not touched.
                if own:
                    rows[day] = None
                continue
            if not (own or known.name in footer.files):
                continue
            gone = {known.name}
            if own:
                # Files of the day itself have nothing to say beside the new one, nor have rows
                # of no file, from before there was one. Strays from other days' files stay.
                gone |= {
                    n for n, file in manifest.items() if file.first_day <= day <= file.last_day
                }
            others = footer.files - gone - ({NO_FILE} if own else set())
            frame = without_files(_rows_of(path), gone, keep_others=not own)
            rows[day] = _OldRows(footer, frame) if others else None
        return rows

    def _stored(self, path: Path) -> _OldRows | None:
        return _OldRows(read_footer(path), _rows_of(path)) if path.exists() else None

    def _merged(self, day: date, stage: DayStage | None, old: _OldRows | None) -> DayWriter:
        """Merge a day's staged files, and what is stored of it already."""
        files = [] if stage is None else stage.files
        bounds = [(file.first_id, file.last_id) for file in files]
        divisors = [file.divisor for file in files]
        sources = [_rows_of(file.path) for file in files]
        numbered = stage is not None and stage.numbered
        if old is not None:
            footer = old.footer
            if stage is None:
                numbered = footer.numbered
            check_same_kind(footer, numbered)
            if self.on_conflict == "error" and stage is not None:
                _check_follows(stage, footer)
            bounds.append((footer.first_id, footer.last_id))
            divisors.append(footer.divisor)
            sources.insert(0, old.frame)
        grid = Grid()
        for divisor in divisors:
            grid.refine(len(str(divisor)) - 1)
        ids = min(low for low, _ in bounds), max(high for _, high in bounds)
        out = self.folder / f"{day.isoformat()}.merged.tmp"
        try:
            return merge_files(sources, ids, grid, out, self.on_conflict, numbered=numbered)
        except OSError as error:
            msg = f"cannot merge {day}: {error}"
            raise RangeBarError(msg) from error

    def _check_neighbours(self, written: dict[date, DayWriter], removed: set[date]) -> None:
        """Refuse days that could not be read together with those beside them."""
        stored = {day: path for day, path in self.place.day_files() if day not in removed}
        footers: dict[date, Footer] = {}

        def footer_of(day: date) -> Footer:
            if day not in footers:
                path = written[day].path if day in written else stored[day]
                footers[day] = read_footer(path)
            return footers[day]

        days = sorted({*stored, *written})
        for before, after in pairwise(days):
            if before not in written and after not in written:
                continue
            first, second = footer_of(before), footer_of(after)
            check_same_kind(first, second.numbered)
            check_same_dtypes(first, second)
            if self.on_conflict == "error" and first.overlaps(second):
                refuse_shared_ids(first.path, second.path, second.first_id, first.last_id)


def _check_follows(stage: DayStage, footer: Footer) -> None:
    """Refuse ids that say the opposite of the times: a numbering that began anew."""
    (low, high), (first, last) = stage.ids, stage.times
    behind = first > footer.last_time and high < footer.first_id
    ahead = last < footer.first_time and low > footer.last_id
    if not stage.numbered and (behind or ahead):
        msg = (
            f"{stage.day}: the new trades have the ids {low} to {high}, the stored ones "
            f"{footer.first_id} to {footer.last_id}, but by their times they come "
            f"{'after' if behind else 'before'} them: ids must rise with time within a day, and "
            f"a day is stored in their order; for trades without ids give {ID}=None"
        )
        raise RangeBarError(msg)
