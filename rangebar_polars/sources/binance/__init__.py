"""The Binance public archive: `scan_binance`, and what can go wrong."""

from __future__ import annotations

from rangebar_polars.sources.binance.archive import scan_binance
from rangebar_polars.sources.binance.errors import (
    ArchiveError,
    BrokenLineError,
    FetchError,
    MissingDaysError,
    UncheckedFilesWarning,
)
from rangebar_polars.sources.binance.files import Kind, Market
from rangebar_polars.sources.binance.options import ArchiveKeywords
from rangebar_polars.sources.binance.report import FetchReport

__all__ = [
    "ArchiveError",
    "ArchiveKeywords",
    "BrokenLineError",
    "FetchError",
    "FetchReport",
    "Kind",
    "Market",
    "MissingDaysError",
    "UncheckedFilesWarning",
    "scan_binance",
]
