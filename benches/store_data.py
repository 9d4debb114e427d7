"""Data of the store's benchmark: trades as Parquet and CSV, and months of an archive."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from examples.trades import TradeStream
from rangebar_polars.sources.binance.files import ArchiveFile, Feed

__all__ = ["FEED", "MAIN", "ensure_csv", "ensure_months", "ensure_parquet", "month_end", "trades"]

FEED = Feed("BTCUSDT", "spot", "aggTrades")
MAIN = ["timestamp", "price", "quantity", "is_buyer_maker"]

_SEED = 11


def trades(
    stream: TradeStream, rows: int, start: datetime, end: datetime
) -> Iterator[pl.DataFrame]:
    """Yield the next trades of a stream at an archive's columns, spread from start to end.

    Each batch's clock is stretched to its share of the time, so that bursts stay bursts and
    every day has trades, however many rows there are.
    """
    done = 0
    begin, share = pl.lit(start).cast(pl.Datetime("ms")), (end - start) / rows
    for batch in stream.batches(rows):
        clock = batch["timestamp"].to_physical()
        slot = share * batch.height
        pace = slot / timedelta(milliseconds=1) / (clock[-1] - clock[0] + 1)
        since = ((pl.col("timestamp").to_physical() - clock[0]) * pace).cast(pl.Int64)
        offset = pl.lit(share * done).cast(pl.Duration("ms"))
        yield batch.with_columns(
            timestamp=(begin + offset + since.cast(pl.Duration("ms"))).cast(pl.Datetime("us")),
            is_best_match=pl.lit(True),
        ).select(list(FEED.schema))
        done += batch.height


def ensure_parquet(folder: Path, rows: int) -> Path:
    """Make a Parquet file with Polars' default writer settings."""
    path = folder / f"store_{rows}.parquet"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        frames = list(_busy_days(rows))
        part = path.with_suffix(".part")
        pl.concat(frames).write_parquet(part)
        part.replace(path)
    return path


def ensure_csv(folder: Path, rows: int) -> Path:
    """Make a plain CSV as it lies in the archive's zips."""
    path = folder / f"store_{rows}.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            for batch in _busy_days(rows):
                file.write(_csv(batch))
        part.replace(path)
    return path


def ensure_months(folder: Path, months: int, rows: int) -> Path:
    """Publish ``months`` monthly files from January 2024 on, of ``rows`` trades each."""
    root = folder / f"archive_{rows}"
    stream = TradeStream(1, _SEED)
    for number in range(months):
        first = date(2024, number + 1, 1)
        file = ArchiveFile(FEED, first, month_end(first))
        path = root / file.path
        if path.with_name(f"{path.name}.CHECKSUM").exists():
            for _ in stream.batches(rows):
                pass  # the next month's ids and prices go on from here
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        start = datetime.combine(first, datetime.min.time())
        end = datetime.combine(month_end(first) + timedelta(days=1), datetime.min.time())
        part = path.with_suffix(".part")
        with (
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
            archive.open(file.name.replace(".zip", ".csv"), "w", force_zip64=True) as csv,
        ):
            for batch in trades(stream, rows, start, end):
                csv.write(_csv(batch))
        part.replace(path)
        digest = hashlib.sha256()
        with path.open("rb") as written:
            while chunk := written.read(1 << 20):
                digest.update(chunk)
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest.hexdigest()}  {file.name}")
    return root


def _busy_days(rows: int) -> Iterator[pl.DataFrame]:
    # Some 1.8 million trades a day, as on a busy market.
    start = datetime(2024, 1, 1)
    return trades(TradeStream(1, _SEED), rows, start, start + timedelta(days=rows / 1.8e6))


def month_end(first: date) -> date:
    """Return the last day of the month that begins at ``first``."""
    return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _csv(batch: pl.DataFrame) -> bytes:
    lines = batch.with_columns(
        time=pl.col("timestamp").dt.epoch("ms"),
        # As the archive writes them.
        is_buyer_maker=pl.when("is_buyer_maker").then(pl.lit("True")).otherwise(pl.lit("False")),
        is_best_match=pl.lit("True"),
    ).select(list(FEED.csv_columns))
    return lines.write_csv(include_header=False, float_precision=8).encode()
