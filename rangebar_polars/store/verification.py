"""Reading everything again: what a scan could not read, or would read wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from polars.exceptions import PanicException

from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars._time import DAY_US, day_number, day_of
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.columns import ID
from rangebar_polars.store.conflicts import refuse_shared_ids
from rangebar_polars.store.grid import DIVISOR
from rangebar_polars.store.manifest import read_manifest
from rangebar_polars.store.parquet import (
    ROW_GROUP,
    Footer,
    check_same_dtypes,
    check_same_kind,
    checked_row_groups,
    exact_sums,
    read_footer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date
    from pathlib import Path

    from rangebar_polars.store.layout import Series

__all__ = ["verify"]

_PROBLEMS = {
    "source": pl.String(),
    "symbol": pl.String(),
    "file": pl.String(),
    "problem": pl.String(),
}
_ATTEMPTS = 5


def verify(places: Sequence[Series]) -> pl.DataFrame:
    """See `TradeStore.verify`."""
    rows: list[tuple[str, str, str, str]] = []
    for place in places:
        for path, text in _series_problems(place):
            file = path.relative_to(place.root).as_posix()
            rows.append((place.source, place.symbol, file, text))
    return pl.DataFrame(rows, schema=_PROBLEMS, orient="row")


def _series_problems(place: Series) -> Iterator[tuple[Path, str]]:
    previous: Footer | None = None
    for day, path in place.day_files():
        footer, problems = _settled(path, lambda day=day, path=path: _file_problems(day, path))
        yield from ((path, text) for text in problems)
        if footer is None or problems:
            continue
        if previous is not None:
            known = previous
            _, problems = _settled(
                path, lambda footer=footer, known=known: (footer, _joint_problems(known, footer))
            )
            yield from ((path, text) for text in problems)
        previous = footer
    for path in place.strange_files():
        yield path, "not a file of this store, which does not read it: move it away"
    try:
        read_manifest(place.manifest)
    except (RangeBarError, OSError) as error:
        yield place.manifest, str(error)


def _settled(
    path: Path, look: Callable[[], tuple[Footer | None, list[str]]]
) -> tuple[Footer | None, list[str]]:
    """Look again where a file was replaced or deleted meanwhile: that is not damage."""
    found: tuple[Footer | None, list[str]] = None, []
    for _ in range(_ATTEMPTS):
        before = _version(path)
        if before is None:
            return None, []
        found = look()
        if not found[1] or _version(path) == before:
            break
    return found


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _file_problems(day: date, path: Path) -> tuple[Footer | None, list[str]]:
    # Whatever a damaged file makes a library raise is a problem of that file, and the next one
    # must be looked at all the same.
    footer = None
    problems: list[str] = []
    try:
        footer = read_footer(path)
        problems += _checksum_problems(path)
        problems += _content_problems(day, footer)
    except (Exception, PanicException) as error:  # noqa: BLE001
        raise_if_interrupt(error)
        problems.append(_described(error))
    return footer, problems


def _checksum_problems(path: Path) -> Iterator[str]:
    rows = 0
    try:
        for group in checked_row_groups(path):
            rows += group.height
    except (OSError, ValueError) as error:  # what pyarrow raises about damaged pages
        yield f"unreadable from row {rows} on: {_described(error)}"


def _content_problems(day: date, footer: Footer) -> Iterator[str]:
    """Compare with what was noted, reading as a scan does: by Polars."""
    file = pl.scan_parquet([footer.path], glob=False, hive_partitioning=False)
    rows, last_id = 0, None
    sums = dict.fromkeys(footer.sums, 0)
    seen = _Extremes(), _Extremes()
    while True:
        try:
            group = file.slice(rows, ROW_GROUP).collect()
        except (Exception, PanicException) as error:  # noqa: BLE001 - as in `_file_problems`
            raise_if_interrupt(error)
            yield f"a scan fails from row {rows} on: {_described(error)}"
            return
        if group.is_empty():
            break
        yield from _group_problems(group, footer, rows, last_id)
        seen[0].add(group[ID])
        seen[1].add(group["timestamp"].to_physical())
        for name, total in exact_sums(group, rows).items():
            sums[name] = sums.get(name, 0) + total
        rows += group.height
        last_id = group[ID][-1]
    if rows != footer.rows:
        yield f"{rows} rows, {footer.rows} were noted"
    for name, total in sums.items():
        if total != footer.sums.get(name):
            yield f"the sum of {name} is {total}, {footer.sums.get(name)} was noted"
    if not rows:
        return
    ids, times = (extremes.values for extremes in seen)
    # Scans cut neighbouring days by the noted ids.
    if ids != (footer.first_id, footer.last_id):
        yield f"ids from {ids[0]} to {ids[1]}, {footer.first_id} to {footer.last_id} were noted"
    if times != footer.times:
        yield f"times from {times[0]} to {times[1]}, {footer.times} were noted"
    start = day_number(day) * DAY_US
    if times[0] < start or times[1] >= start + DAY_US:
        first, last = (_day_text(time) for time in times)
        yield f"times from {first} to {last} in the file of {day}"


class _Extremes:
    """The least and the greatest of the integers seen."""

    def __init__(self) -> None:
        self.values: tuple[int, int] = (0, 0)
        self._any = False

    def add(self, numbers: pl.Series) -> None:
        least, most = numbers.min(), numbers.max()
        if isinstance(least, int) and isinstance(most, int):
            low, high = self.values if self._any else (least, most)
            self.values, self._any = (min(low, least), max(high, most)), True


def _group_problems(
    group: pl.DataFrame, footer: Footer, row: int, last_id: int | None
) -> Iterator[str]:
    for name in group.columns[: group.width if row == 0 else 0]:
        if name in (ID, "timestamp", DIVISOR) and group[name].null_count():
            yield f"nulls in {name}"
    ids = group[ID]
    if last_id is not None:
        ids = pl.concat([pl.Series(ID, [last_id], dtype=pl.Int64), ids])
    falls = ids.diff().slice(1) <= 0
    if falls.any():
        at = (falls.arg_max() or 0) + (0 if last_id is not None else 1)
        yield f"row {row + at}: ids do not rise ({group[ID][at]})"
    if not (group[DIVISOR] == footer.divisor).all():
        yield f"price has another divisor than the noted {footer.divisor}"


def _joint_problems(before: Footer, after: Footer) -> list[str]:
    try:
        check_same_kind(before, after.numbered)
        check_same_dtypes(before, after)
        if before.overlaps(after):
            low, high = after.first_id, before.last_id
            refuse_shared_ids(before.path, after.path, low, high)
    except (RangeBarError, OSError) as error:
        return [_described(error)]
    return []


def _described(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def _day_text(us: int) -> str:
    try:
        return str(day_of(us))
    except OverflowError:
        return f"{us} us since 1970"
