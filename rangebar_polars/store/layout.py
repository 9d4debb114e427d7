"""Where things lie in a store: the only place that knows a path.

::

    root/trades/source=<source>/symbol=<SYMBOL>/month=2024-01/2024-01-05.parquet
    root/meta/source=<source>/symbol=<SYMBOL>/    lock, manifest, staging: not for plain readers

What stands for source and symbol is said in `naming`.

A row lives in the file of the UTC day of its own timestamp. That gives every row exactly one
home, so a write replaces whole day files and nothing else, and days can be added in any order
without rewriting the month.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rangebar_polars._files import local_path
from rangebar_polars.store.naming import decode_source, decode_symbol, encode_source, encode_symbol

if TYPE_CHECKING:
    from rangebar_polars.store.parquet import Footer
    from rangebar_polars.store.time_range import TimeRange

__all__ = ["Series", "default_root", "find_series", "refuse_twin_source", "series"]

_SOURCE, _SYMBOL, _MONTH = "source=", "symbol=", "month="
_DAY_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.parquet")


def default_root() -> Path:
    """Return ``$RANGEBAR_CACHE_DIR``, or the user's cache folder for this package."""
    override = os.environ.get("RANGEBAR_CACHE_DIR")
    if override:
        return local_path(override, "RANGEBAR_CACHE_DIR")
    from platformdirs import user_cache_path  # noqa: PLC0415 - an extra

    return user_cache_path("rangebar_polars", appauthor=False)


@dataclass(frozen=True)
class Series:
    """The trades of one symbol from one source: a folder of data and a folder of meta data."""

    root: Path
    source: str
    symbol: str
    footers: dict[Path, tuple[tuple[int, ...], Footer]] = field(
        default_factory=dict[Path, tuple[tuple[int, ...], "Footer"]], compare=False, repr=False
    )
    """What `reading` knows of the files, and of which versions of them."""

    @property
    def data(self) -> Path:
        """Folder with one sub-folder a month."""
        return self.root / "trades" / self._folder

    @property
    def meta(self) -> Path:
        """Folder of the lock, the manifest, downloads and staged writes."""
        return self.root / "meta" / self._folder

    @property
    def _folder(self) -> str:
        return f"{_SOURCE}{encode_source(self.source)}/{_SYMBOL}{encode_symbol(self.symbol)}"

    @property
    def lock(self) -> Path:
        """File whose lock guards every change of this series."""
        return self.meta / "lock"

    @property
    def manifest(self) -> Path:
        """File that remembers which source files are stored, and their hashes."""
        return self.meta / "sources.json"

    def day_file(self, day: date) -> Path:
        """Path of the file of one UTC day."""
        return self.data / f"{_MONTH}{_month(day)}" / f"{day.isoformat()}.parquet"

    def day_files(self, period: TimeRange | None = None) -> list[tuple[date, Path]]:
        """Return the stored days inside ``period``, in order; months outside are never listed."""
        found: list[tuple[date, Path]] = []
        for month in _folders(self.data, _MONTH):
            name = month.name.removeprefix(_MONTH)
            if period is not None and not (
                _month(period.first_day) <= name <= _month(period.last_day)
            ):
                continue
            for path in _files(month):
                day = _day_of(path)
                # A file in another month's folder is not where `day_file` looks for it.
                if day is None or _month(day) != name:
                    continue
                if period is None or period.first_day <= day <= period.last_day:
                    found.append((day, path))
        found.sort()
        return found

    def owns(self, path: Path) -> bool:
        """Whether ``path`` is the manifest, or where a day's file belongs."""
        day = _day_of(path)
        return path == self.manifest or (day is not None and path == self.day_file(day))

    def strange_files(self) -> list[Path]:
        """Return the files among the data that the store does not read, in order."""
        # By name alone: beside a writer, files come and go while this looks.
        return sorted(
            path for path in self.data.rglob("*") if not path.is_dir() and not self.owns(path)
        )


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:  # somebody deletes meanwhile
        return []


def _month(day: date) -> str:
    return day.isoformat()[:7]


def _day_of(path: Path) -> date | None:
    match = _DAY_FILE.fullmatch(path.name)
    try:
        return None if match is None else date.fromisoformat(match[1])
    except ValueError:  # such as 2024-02-30
        return None


def series(root: Path, source: str, symbol: str) -> Series:
    """Return the series; raises for names that `naming` refuses."""
    encode_source(source)
    encode_symbol(symbol)
    return Series(root, source, symbol)


def find_series(root: Path, source: str | None = None, symbol: str | None = None) -> list[Series]:
    """Every series, sorted, narrowed to a source or a symbol where one is given.

    Also those of which there is only meta data: a first write may have been decided and killed.
    """
    if source is not None:
        encode_source(source)
    if symbol is not None:
        encode_symbol(symbol)
    found: set[tuple[str, str]] = set()
    for part in ("trades", "meta"):
        for place in _folders(root / part, _SOURCE):
            its_source = decode_source(place.name.removeprefix(_SOURCE))
            if its_source is None or source not in {None, its_source}:
                continue
            for folder in _folders(place, _SYMBOL):
                its_symbol = decode_symbol(folder.name.removeprefix(_SYMBOL))
                if its_symbol is not None and symbol in {None, its_symbol}:
                    found.add((its_source, its_symbol))
    return [Series(root, *names) for names in sorted(found)]


def refuse_twin_source(root: Path, source: str) -> None:
    """Refuse a source that a disk which ignores case would take for one that is stored.

    Raises
    ------
    ValueError
        Names the other source.
    """
    for folder in _folders(root / "trades", _SOURCE):
        other = decode_source(folder.name.removeprefix(_SOURCE))
        if other is not None and other != source and other.casefold() == source.casefold():
            msg = (
                f"source {source!r} differs only in case from the stored {other!r}, and on some "
                f"disks both would be one folder: use {other!r}, or another name"
            )
            raise ValueError(msg)


def _folders(parent: Path, prefix: str) -> list[Path]:
    try:
        return sorted(p for p in parent.iterdir() if p.name.startswith(prefix) and p.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
