"""What one process of the store's benchmark does: ``python -m benches.store_jobs JOB ARGUMENTS``.

Prints one JSON object: seconds of the work itself, the process's peak memory and what came out.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from benches.store_data import FEED, MAIN, month_end
from examples.memory import peak_memory_mb
from rangebar_polars.sources.binance.decode import decode_csv
from rangebar_polars.sources.binance.files import ArchiveFile
from rangebar_polars.sources.binance.unzip import csv_blocks
from rangebar_polars.store import TradeStore

__all__ = ["main"]


def _drain(frame: pl.LazyFrame) -> int:
    rows = 0

    def count(batch: pl.DataFrame) -> None:
        nonlocal rows
        rows += batch.height

    frame.sink_batches(count, maintain_order=True, engine="streaming")
    return rows


def scan_store(root: str) -> int:
    """Read four columns of the store."""
    return _drain(TradeStore(root).scan("BENCH", columns=MAIN))


def scan_parquet(path: str) -> int:
    """Read four columns of plain Parquet."""
    return _drain(pl.scan_parquet(path).select(MAIN))


def write_store(root: str, path: str) -> int:
    """Write a Parquet file's trades into the store."""
    return TradeStore(root).write("BENCH", pl.scan_parquet(path)).rows_stored


def csv_ours(path: str) -> int:
    """Decode a plain CSV as the archive's are."""
    first = date(2024, 1, 1)
    file = ArchiveFile(FEED, first, month_end(first))
    with Path(path).open("rb") as csv:
        return sum(batch.height for batch in decode_csv(csv_blocks(csv, file.name), file))


def csv_polars(path: str) -> int:
    """Decode it with `pl.scan_csv`, told the same dtypes."""
    return _drain(pl.scan_csv(path, has_header=False, schema=FEED.csv_columns))


def bars(url: str, root: str, months: str) -> int:
    """Range bars of whole months, from the server to the last bar."""
    from rangebar_polars.sources.binance.bars import get_range_bars

    end = f"2024-{int(months):02d}"
    made = get_range_bars(FEED.symbol, "2024-01", end, 250, base_url=url, store=TradeStore(root))
    return made.collect(engine="streaming").height


JOBS: dict[str, Callable[..., int]] = {
    job.__name__: job for job in (scan_store, scan_parquet, write_store, csv_ours, csv_polars, bars)
}


def main(arguments: list[str]) -> None:
    """Run a job and print what it took."""
    name, *rest = arguments
    before = peak_memory_mb()
    started = time.perf_counter()
    count = JOBS[name](*rest)
    seconds = time.perf_counter() - started
    found: dict[str, Any] = {
        "seconds": seconds,
        "count": count,
        "peak_mb": peak_memory_mb(),
        "import_mb": before,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
