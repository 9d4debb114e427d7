"""Archive files made up for a test: trades, their CSV, the zip and its checksum."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from rangebar_polars.sources.binance.files import ArchiveFile, Feed
from tests.support.trades import spread, walk

__all__ = ["BTC", "csv_text", "day_trades", "publish", "publish_text"]

BTC = Feed("BTCUSDT", "um", "aggTrades")


def day_trades(feed: Feed, day: date, rows: int = 50, first_id: int = 1) -> pl.DataFrame:
    """Trades spread over a day, with ids from ``first_id`` on; the same on every call."""
    trades = walk(rows, first_id=first_id)
    start = datetime.combine(day, datetime.min.time())
    frame = (
        spread(trades, start, timedelta(days=1))
        .with_columns(
            quote_quantity=pl.int_range(pl.len()) + 1.5,
            base_quantity=pl.int_range(pl.len()) + 0.25,
            is_best_match=True,
        )
        .select(list(feed.schema))
    )
    if feed.kind == "trades":
        one = pl.col("agg_trade_id")
        frame = frame.with_columns(first_trade_id=one, last_trade_id=one)
    # Times in the archive have milliseconds.
    return frame.with_columns(pl.col("timestamp").dt.truncate("1ms").cast(pl.Datetime("us")))


def csv_text(
    feed: Feed, trades: pl.DataFrame, *, header: bool = False, unit: str = "ms", title: bool = False
) -> str:
    """Write trades as the archive does; ``title``: booleans as True/False."""
    time = pl.col("timestamp").dt.epoch("ms" if unit == "ms" else "us").alias("time")
    names = list(feed.csv_columns)
    frame = trades.with_columns(time).select(names)
    text = frame.write_csv(include_header=header, float_precision=8)
    return text.replace("true", "True").replace("false", "False") if title else text


def publish_text(
    root: Path,
    file: ArchiveFile,
    text: str | bytes,
    *,
    members: tuple[str, ...] | None = None,
    sha256: str | None = None,
) -> Path:
    """Publish a zip of ``text`` with its checksum (or a wrong one)."""
    path = root / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in members or (file.name.replace(".zip", ".csv"),):
            archive.writestr(name, text)
    digest = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {file.name}")
    return path


def publish(
    root: Path,
    feed: Feed,
    trades: pl.DataFrame,
    first: date,
    last: date | None = None,
    *,
    header: bool = False,
    unit: str = "ms",
    title: bool = False,
) -> Path:
    """Publish trades as the file of a day, or of a month where ``last`` is its end."""
    file = ArchiveFile(feed, first, last or first)
    return publish_text(root, file, csv_text(feed, trades, header=header, unit=unit, title=title))
