"""``rangebar fetch`` and ``rangebar get``: from the exchange's archive."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from cyclopts import Parameter

from rangebar_polars.cli.arguments import BarArguments, OutputArguments
from rangebar_polars.cli.output import deliver
from rangebar_polars.sources.binance.archive import scan_binance
from rangebar_polars.sources.binance.bars import get_range_bars
from rangebar_polars.sources.binance.files import ARCHIVE_URL
from rangebar_polars.sources.binance.options import ArchiveKeywords
from rangebar_polars.sources.binance.report import FetchReport
from rangebar_polars.store import TradeStore

__all__ = ["ArchiveArguments", "fetch", "get"]


@Parameter(name="*")
@dataclass
class ArchiveArguments:
    """What to fetch, and from where.

    Attributes
    ----------
    start
        First day or month, as 2024-01-31 or 2024-01 (UTC).
    end
        Last day or month, included. Default: yesterday.
    market
        spot, um (USD-margined futures) or cm (coin-margined futures).
    kind
        Aggregate trades, or single ones.
    missing
        What to do about days that the archive lacks.
    recent
        Take days that are not published yet from the exchange's REST service.
    checksum
        Check files against their published hash.
    revalidate
        Ask whether stored files were replaced. Without, a range that is stored needs no network.
    store
        Folder of the trade store. Default: RANGEBAR_CACHE_DIR, or the user's cache folder.
    base_url
        Another server with the archive's layout.
    rest_url
        Another server with the exchange's REST service.
    progress
        Show bars of days and bytes. Default: on a terminal.
    """

    start: str
    end: str | None = None
    market: Literal["spot", "um", "cm"] = "spot"
    kind: Literal["aggTrades", "trades"] = "aggTrades"
    missing: Literal["error", "skip"] = "error"
    recent: Annotated[bool, Parameter(negative="")] = False
    checksum: bool = True
    revalidate: bool = True
    store: Path | None = None
    base_url: str = ARCHIVE_URL
    rest_url: str | None = None
    progress: bool | None = None

    def options(self) -> ArchiveKeywords:
        """Return the keywords of `scan_binance`."""
        return {
            "store": TradeStore(self.store),
            "missing": self.missing,
            "recent": self.recent,
            "checksum": self.checksum,
            "revalidate": self.revalidate,
            "base_url": self.base_url,
            "rest_url": self.rest_url,
            "progress": sys.stderr.isatty() if self.progress is None else self.progress,
        }


Symbols = Annotated[list[str], Parameter(negative="")]


def fetch(symbols: Symbols, /, *, archive: ArchiveArguments) -> None:
    """Fetch trades of Binance symbols into the store.

    What is stored with its published hash is not fetched again; a run that failed resumes
    where it stopped.

    Parameters
    ----------
    symbols
        As the exchange writes them: BTCUSDT.
    """
    for symbol in symbols:
        report = FetchReport()
        trades = scan_binance(
            symbol,
            archive.start,
            archive.end,
            market=archive.market,
            kind=archive.kind,
            report=report,
            **archive.options(),
        )
        rows: int = trades.select(pl.col("agg_trade_id").count()).collect(engine="streaming").item()
        parts = [
            f"{rows} trades",
            f"{len(report.fetched)} files fetched ({report.bytes_downloaded} bytes)",
            f"{len(report.reused)} in the store already",
        ]
        if report.recent_days:
            parts.append(f"{len(report.recent_days)} recent days")
        if report.missing_days:
            days = ", ".join(day.isoformat() for day in report.missing_days)
            parts.append(f"missing: {days}")
        print(f"{symbol}: {'; '.join(parts)}")


def get(
    symbols: Symbols,
    /,
    *,
    archive: ArchiveArguments,
    rules: BarArguments | None = None,
    output: OutputArguments | None = None,
) -> None:
    """Make range bars of Binance symbols over a range of dates, fetching what the store lacks.

    Parameters
    ----------
    symbols
        As the exchange writes them: BTCUSDT. Several make a column symbol.
    """
    rules = rules or BarArguments()
    made = get_range_bars(
        symbols[0] if len(symbols) == 1 else symbols,
        archive.start,
        archive.end,
        rules.rules,
        market=archive.market,
        kind=archive.kind,
        **rules.keywords(),
        **archive.options(),
    )
    deliver(made, output or OutputArguments())
