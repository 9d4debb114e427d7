"""One write: batches are checked, staged by day, merged where they must be, and committed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rangebar_polars._files import write_text
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import check_batch
from rangebar_polars.store.commit import Change, commit, locked, staging_folder
from rangebar_polars.store.grid import Grid, encode
from rangebar_polars.store.manifest import Origin, read_manifest, to_text
from rangebar_polars.store.merge import merge_files
from rangebar_polars.store.parquet import DayWriter, read_footer
from rangebar_polars.store.staging import DayStage, Staging
from rangebar_polars.store.time_range import TimeRange

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    import polars as pl

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
    place: Series, batches: Iterable[pl.DataFrame], origin: Origin | None = None
) -> WriteReport:
    """Store batches that already have the store's columns; see `TradeStore.write`.

    Whatever ``batches`` raises is raised here, and nothing is stored. The series is locked only
    while files are made and when they move, so that writers stage side by side; whatever
    another one stored meanwhile is merged in.
    """
    rows = 0
    with staging_folder(place) as folder:
        grid = Grid()
        staging = Staging(folder, grid)
        try:
            for batch in batches:
                # In pieces, for encoding takes several times their size.
                for piece in batch.iter_slices(_PIECE):
                    staging.add(encode(check_batch(piece, rows), grid, rows))
                    rows += piece.height
            stages = staging.close()
        except BaseException:
            staging.abandon()
            raise
        with locked(place):
            return _commit(place, folder, stages, origin, rows)


def _commit(
    place: Series, folder: Path, stages: list[DayStage], origin: Origin | None, rows: int
) -> WriteReport:
    change = Change(place)
    stored = 0
    merged: list[date] = []
    manifest = read_manifest(place.manifest)
    stale = _stale_days(place, manifest, origin)
    for stage in stages:
        target = place.day_file(stage.day)
        old = target if target.exists() and stage.day not in stale else None
        final = stage.ready if old is None else None
        if final is None:
            merged.append(stage.day)
            final = _merged(stage, old, folder)
        stored += final.rows
        change.move(final.path, target)
        stale.discard(stage.day)
    for day in sorted(stale):
        change.remove(place.day_file(day))
    if origin is not None:
        noted = folder / "sources.json"
        write_text(noted, to_text({**manifest, origin.name: origin}))
        change.move(noted, place.manifest)
    commit(place, folder, change)
    days = [stage.day for stage in stages]
    _log.info("%s/%s: %d rows into %d days", place.source, place.symbol, rows, len(days))
    return WriteReport(rows, stored, days, merged)


def _stale_days(place: Series, manifest: dict[str, Origin], origin: Origin | None) -> set[date]:
    """Return the days to be replaced, not merged.

    The file they came from was published anew, and rows that are gone from it must go here too.
    """
    known = manifest.get(origin.name) if origin is not None else None
    if known is None or origin is None or known.sha256 == origin.sha256:
        return set()
    return {day for day, _ in place.day_files(TimeRange.of_days(known.first_day, known.last_day))}


def _merged(stage: DayStage, old: Path | None, folder: Path) -> DayWriter:
    """Merge a day's staged files, and what is stored of it already."""
    grid = Grid()
    ids = [(file.first_id, file.last_id) for file in stage.files]
    divisors = [file.divisor for file in stage.files]
    sources = [file.path for file in stage.files]
    if old is not None:
        footer = read_footer(old)
        ids.insert(0, (footer.first_id, footer.last_id))
        divisors.insert(0, footer.divisor)
        sources.insert(0, old)
    for divisor in divisors:
        grid.refine(len(str(divisor)) - 1)
    bounds = min(low for low, _ in ids), max(high for _, high in ids)
    out = folder / f"{stage.day.isoformat()}.merged.tmp"
    try:
        return merge_files(sources, bounds, grid, out)
    except OSError as error:
        msg = f"cannot merge {stage.day}: {error}"
        raise RangeBarError(msg) from error
