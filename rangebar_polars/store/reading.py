"""From the files of a series to one lazy frame of trades."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from rangebar_polars.store.columns import ID
from rangebar_polars.store.grid import decode
from rangebar_polars.store.ordered import ordered_map
from rangebar_polars.store.parquet import ROW_GROUP, Footer, check_same_dtypes, read_footer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path

    from rangebar_polars.store.layout import Series
    from rangebar_polars.store.time_range import TimeRange

__all__ = ["decoded_schema", "read_part", "scan_series"]

_SLICE = ROW_GROUP
_AHEAD = 4


def decoded_schema(footers: Sequence[Footer]) -> dict[str, pl.DataType]:
    """Columns of any of the files, as users see them.

    Raises
    ------
    RangeBarError
        Where two files have a column of different dtypes.
    """
    schema: dict[str, pl.DataType] = {}
    having: dict[str, Footer] = {}
    for footer in footers:
        for name in footer.names:
            check_same_dtypes(having.setdefault(name, footer), footer)
            schema.setdefault(name, footer.columns.get(name, pl.Float64()))
    return schema


def _footer(series: Series, path: Path) -> Footer:
    """Read a footer, unless this series has and the file is the same."""
    found = path.stat()
    version = (found.st_ino, found.st_size, found.st_mtime_ns)
    known = series.footers.get(path)
    if known is None or known[0] != version:
        known = series.footers[path] = (version, read_footer(path))
    return known[1]


def scan_series(series: Series, period: TimeRange) -> pl.LazyFrame:
    """Lazy trades of the days in ``period``, in the order of their ids.

    Only the files of those days are in the plan; the instants inside the first and the last day
    are a filter on top, by which the engine skips row groups.
    """
    footers = [_footer(series, path) for _, path in series.day_files(period)]
    if not footers:
        # The series is known, the days are not: no rows, but the right columns.
        known = series.day_files()
        if not known:
            msg = f"no trades of '{series.symbol}' from '{series.source}' in {series.root}"
            raise FileNotFoundError(msg)
        return pl.LazyFrame(schema=decoded_schema([read_footer(known[-1][1])]))
    frame = _scan(_pieces(footers), decoded_schema(footers))
    if not period.whole_days:
        low, high = (pl.lit(us).cast(pl.Datetime("us")) for us in (period.start, period.end))
        frame = frame.filter(pl.col("timestamp").is_between(low, high, closed="left"))
    return frame


def read_part(
    series: Series, part: TimeRange, whole: TimeRange, work: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> Generator[pl.DataFrame]:
    """Yield the trades of the days in ``part``, such that the parts of ``whole`` add up to it.

    What a day shares with the one after it belongs to the earlier of the two.

    Not through the streaming engine: an engine inside the engine that consumes this holds twice
    as many rows in flight. Here slices of two row groups are read, one for each thread ahead.

    Parameters
    ----------
    work
        Filters and selects; applied to each slice by itself.
    """
    days = series.day_files(whole)
    inside = [i for i, (day, _) in enumerate(days) if part.first_day <= day <= part.last_day]
    if not inside:
        return
    # The neighbours too, but no footer of the rest: many small parts make up a long range.
    first, last = max(inside[0] - 1, 0), inside[-1] + 2
    footers = [_footer(series, path) for _, path in days[first:last]]
    before = footers.pop(0) if inside[0] else None
    after = footers.pop() if inside[-1] + 1 < len(days) else None
    schema = decoded_schema(footers)
    plans = (
        work(plan) for piece in _pieces(footers, before, after) for plan in _slices(piece, schema)
    )
    with closing(ordered_map(_collect, plans, min(pl.thread_pool_size(), _AHEAD))) as batches:
        yield from batches


def _slices(piece: _Piece, schema: dict[str, pl.DataType]) -> Iterator[pl.LazyFrame]:
    if piece.mixed:
        yield _scan_piece(piece, schema)
        return
    for footer in piece.files:
        file = _scan_files([footer], schema)
        for offset in range(0, footer.rows, _SLICE):
            yield piece.bounded(file.slice(offset, _SLICE))


def _collect(plan: pl.LazyFrame) -> pl.DataFrame:
    return plan.collect(engine="in-memory")


def _scan(pieces: list[_Piece], schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    frames = [_scan_piece(piece, schema) for piece in pieces]
    return frames[0] if len(frames) == 1 else pl.concat(frames)


@dataclass
class _Piece:
    """Files read one after the other, or (`mixed`) the ids that two of them share, sorted."""

    files: list[Footer]
    above: int | None = None
    below: int | None = None
    mixed: bool = False

    def bounded(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Leave out ids that belong to a neighbouring piece."""
        if self.above is not None:
            frame = frame.filter(pl.col(ID) > self.above)
        if self.below is not None:
            frame = frame.filter(pl.col(ID) < self.below)
        return frame


def _pieces(
    footers: list[Footer], before: Footer | None = None, after: Footer | None = None
) -> list[_Piece]:
    """Cut the days where neighbours overlap in ids.

    A trade near midnight may stand in the files of both days, or carry the time of the day
    before. Such neighbours share a few ids, and there rows are sorted and de-duplicated across
    the two. Ids that start again from below are another matter: a numbering that began anew,
    in which equal ids are different trades.

    ``before`` and ``after`` are neighbours outside the range: what is shared with the first is
    left to it, what is shared with the second comes along.
    """
    pieces: list[_Piece] = []
    shared = before is not None and before.overlaps(footers[0])
    run = _Piece([footers[0]], before.last_id if before is not None and shared else None)
    following = [*footers[1:], after] if after is not None else footers[1:]
    for previous, footer in zip(footers, following, strict=False):
        if previous.overlaps(footer):
            if len(run.files) > 1:  # only the last file of the run is cut
                pieces.append(_Piece(run.files[:-1], run.above))
                run = _Piece([previous])
            low, high = footer.first_id, previous.last_id
            pieces.append(_Piece([previous], run.above, low))
            above = low - 1 if run.above is None else max(low - 1, run.above)
            pieces.append(_Piece([previous, footer], above, high + 1, mixed=True))
            run = _Piece([footer], above=high)
        elif run.above is None and list(previous.columns) == list(footer.columns):
            run.files.append(footer)
        else:
            pieces.append(run)
            run = _Piece([footer])
    if after is None:
        pieces.append(run)
    elif run.files[0] is not after:
        pieces.append(_Piece([file for file in run.files if file is not after], run.above))
    return pieces


def _scan_piece(piece: _Piece, schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    if piece.mixed:
        frame = pl.concat([_scan_files([footer], schema) for footer in piece.files])
    else:
        frame = _scan_files(piece.files, schema)
    frame = piece.bounded(frame)
    if piece.mixed:
        frame = frame.unique(subset=ID, keep="first", maintain_order=True).sort(ID)
    return frame


def _scan_files(footers: list[Footer], schema: dict[str, pl.DataType]) -> pl.LazyFrame:
    # Stored columns by name: a later file may keep more than an earlier one.
    names = footers[0].names
    frame = pl.scan_parquet(
        [footer.path for footer in footers],
        glob=False,
        hive_partitioning=False,
    )
    missing = [pl.lit(None, dtype=t).alias(n) for n, t in schema.items() if n not in names]
    return frame.select(decode(names)).with_columns(missing).select(list(schema))
