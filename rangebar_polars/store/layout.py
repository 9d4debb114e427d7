"""Where things lie in a store: the only place that knows a path.

::

    root/trades/source=<source>/symbol=<SYMBOL>/month=2024-01/2024-01-05.parquet
    root/meta/<source>/<SYMBOL>/        lock, manifest, staging: never seen by a plain reader

A row lives in the file of the UTC day of its own timestamp. That gives every row exactly one
home, so a write replaces whole day files and nothing else, and days can be added in any order
without rewriting the month.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rangebar_polars._files import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rangebar_polars.store.time_range import TimeRange

__all__ = ["Series", "default_root", "find_series", "series"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DAY_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.parquet")


def default_root() -> Path:
    """Return ``$RANGEBAR_CACHE_DIR``, or the user's cache folder for this package."""
    override = os.environ.get("RANGEBAR_CACHE_DIR")
    if override:
        return local_path(override, "RANGEBAR_CACHE_DIR")
    from platformdirs import user_cache_path  # noqa: PLC0415 - an extra

    return user_cache_path("rangebar_polars", appauthor=False)


def _checked(kind: str, name: str) -> str:
    # A name becomes a folder: anything that could leave it, or hide in it, is refused.
    if not _NAME.fullmatch(name):
        msg = f"{kind} {name!r} must be letters, digits, '.', '_' or '-', and start with one"
        raise ValueError(msg)
    return name


@dataclass(frozen=True)
class Series:
    """The trades of one symbol from one source: a folder of data and a folder of meta data."""

    root: Path
    source: str
    symbol: str

    @property
    def data(self) -> Path:
        """Folder with one sub-folder a month."""
        return self.root / "trades" / f"source={self.source}" / f"symbol={self.symbol}"

    @property
    def meta(self) -> Path:
        """Folder of the lock, the manifest, downloads and staged writes."""
        return self.root / "meta" / self.source / self.symbol

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
        return self.data / f"month={day:%Y-%m}" / f"{day.isoformat()}.parquet"

    def day_files(self, period: TimeRange | None = None) -> list[tuple[date, Path]]:
        """Return the stored days inside ``period``, in order; months outside are never listed."""
        found: list[tuple[date, Path]] = []
        first, last = (None, None) if period is None else (period.first_day, period.last_day)
        for month in _folders(self.data, "month="):
            if first is not None and last is not None:
                name = month.name.removeprefix("month=")
                if not f"{first:%Y-%m}" <= name <= f"{last:%Y-%m}":
                    continue
            for path in month.iterdir():
                match = _DAY_FILE.fullmatch(path.name)
                if match is None:
                    continue
                day = date.fromisoformat(match[1])
                if first is None or last is None or first <= day <= last:
                    found.append((day, path))
        found.sort()
        return found


def series(root: Path, source: str, symbol: str) -> Series:
    """Return the series, refusing names that are no plain file names."""
    return Series(root, _checked("source", source), _checked("symbol", symbol))


def find_series(root: Path, source: str | None = None, symbol: str | None = None) -> list[Series]:
    """Every stored series, narrowed to a source or a symbol where one is given."""
    return [
        Series(root, place.name.removeprefix("source="), folder.name.removeprefix("symbol="))
        for place in _folders(root / "trades", "source=")
        if source is None or place.name == f"source={source}"
        for folder in _folders(place, "symbol=")
        if symbol is None or folder.name == f"symbol={symbol}"
    ]


def _folders(parent: Path, prefix: str) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(p for p in parent.iterdir() if p.name.startswith(prefix) and p.is_dir())
