"""The archive's zips that somebody has in a folder already, as a lazy frame."""

from __future__ import annotations

import calendar
import re
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, cast

import polars as pl

from rangebar_polars._source import Request, lazy_source
from rangebar_polars.sources.binance.decode import decode_csv
from rangebar_polars.sources.binance.files import ArchiveFile, Feed, Kind, Market
from rangebar_polars.sources.binance.unzip import csv_blocks, open_csv

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["scan_zips"]

_NAME: Final = re.compile(r"(.+)-(aggTrades|trades)-(\d{4})-(\d{2})(?:-(\d{2}))?\.zip")
_SPOT_FIELDS: Final = {"aggTrades": 8, "trades": 7}
_COIN: Final = re.compile(r".+USD_(PERP|\d{6})")


def scan_zips(paths: Sequence[Path]) -> pl.LazyFrame:
    """Scan files of the archive that are on this machine, one after the other.

    Each is decoded in blocks, so that memory does not grow with them. They are not put in order:
    a trade that stands in the file of the next day makes its time go back, which whoever makes
    bars of them refuses. `scan_binance` sorts.

    Parameters
    ----------
    paths
        Files under the names that the archive gave them, in the order of time.

    Returns
    -------
    LazyFrame
        As `scan_binance` gives it; with a column ``symbol`` in front where there are several.

    Raises
    ------
    ValueError
        At once, for a name that is not the archive's, and for files of several kinds.
    ArchiveError, BrokenLineError
        At once or when collected: a file that is damaged.
    """
    files = [_Zip(path, _archive_file(path)) for path in paths]
    feeds = {(file.file.feed.market, file.file.feed.kind) for file in files}
    if len(feeds) > 1:
        kinds = " and ".join(sorted(f"{market} {kind}" for market, kind in feeds))
        msg = f"zips must be of one market and kind, got {kinds}"
        raise ValueError(msg)
    schema = dict(files[0].file.feed.schema)
    if len({file.file.feed.symbol for file in files}) > 1:
        schema = {"symbol": pl.String(), **schema}

    def frames(request: Request) -> Generator[pl.DataFrame, None, None]:
        for file in files:
            with closing(file.trades()) as trades:
                for frame in trades:
                    symbol = pl.lit(file.file.feed.symbol).alias("symbol")
                    yield frame.with_columns(symbol).select(request.columns)

    detail = f"{len(files)} files from {files[0].path.name}"
    return lazy_source(frames, pl.Schema(schema), name="BINANCE ZIPS", detail=detail, pure=True)


@dataclass(frozen=True)
class _Zip:
    path: Path
    file: ArchiveFile

    def trades(self) -> Generator[pl.DataFrame, None, None]:
        name = str(self.path)
        with (
            open_csv(self.path, name) as csv,
            closing(decode_csv(csv_blocks(csv, name), self.file)) as trades,
        ):
            yield from trades


def _archive_file(path: Path) -> ArchiveFile:
    match = _NAME.fullmatch(path.name)
    if match is None:
        msg = (
            f"{path}: is not named as the archive names its files "
            "(BTCUSDT-aggTrades-2024-01-31.zip), so its symbol, kind and days are not known"
        )
        raise ValueError(msg)
    symbol, kind, year, month, day = match.groups()
    kind = cast("Kind", kind)
    first = date(int(year), int(month), int(day or 1))
    days = calendar.monthrange(first.year, first.month)[1]
    last = first if day else first.replace(day=days)
    return ArchiveFile(Feed(symbol, _market(path, symbol, kind), kind), first, last)


def _market(path: Path, symbol: str, kind: Kind) -> Market:
    """The market, which is not in a file's name but in what a line looks like."""
    with open_csv(path, str(path)) as csv:
        fields = csv.readline().count(b",") + 1
    if fields == _SPOT_FIELDS[kind]:
        return "spot"
    return "cm" if _COIN.fullmatch(symbol) else "um"
