"""Archive files made up for a test: trades, their CSV, the zip and its checksum."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from rangebar_polars.sources.binance.files import ArchiveFile, Feed

__all__ = ["BTC", "csv_text", "day_trades", "publish", "publish_text"]

BTC = Feed("BTCUSDT", "um", "aggTrades")


def day_trades(feed: Feed, day: date, rows: int = 50, first_id: int = 1) -> pl.DataFrame:
    """Trades spread over a day, with ids from ``first_id`` on; the same on every call."""
    step = timedelta(days=1) / rows
    start = datetime.combine(day, datetime.min.time())
    index = range(rows)
    data = {
        "timestamp": [start + i * step for i in index],
        "price": [100 + (i * 7 % 13) / 100 for i in index],
        "quantity": [(1 + i % 5) / 1000 for i in index],
        "is_buyer_maker": [i % 3 == 0 for i in index],
        "agg_trade_id": [first_id + i for i in index],
        "first_trade_id": [10 * (first_id + i) for i in index],
        "last_trade_id": [10 * (first_id + i) + 9 for i in index],
        "quote_quantity": [1.5 + i for i in index],
        "base_quantity": [0.25 + i for i in index],
        "is_best_match": [True] * rows,
    }
    frame = pl.DataFrame({name: data[name] for name in feed.schema})
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
