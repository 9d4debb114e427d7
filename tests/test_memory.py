"""Memory does not grow with the data.

Each run has a process of its own and reports its own peak. The pair of 20M and 200M trades, of
which this is a small sister, belongs to the benchmarks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.children import run_child

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc"
    ),
]

MIB = 2**20
SMALL, LARGE = 20_000_000, 40_000_000
"""Both long enough to fill whatever the engine keeps in flight."""
ROW_GROUP = 262_144
BOUND = 400 * MIB

WRITE = f"""
import sys
import numpy as np
import polars as pl
from polars.io.plugins import register_io_source
from tests.support.trades import noise

rows, path = int(sys.argv[1]), sys.argv[2]
CHUNK = {ROW_GROUP}

def trades(start, height):
    row = np.arange(start, start + height)
    luck = noise(row, 1)
    swing = 500 * np.sin(row / 20_000) + 2000 * np.sin(row / 1_000_000)
    return pl.DataFrame({{
        "timestamp": pl.Series(row * 250).cast(pl.Datetime("us")),
        "price": (luck % 16 + np.round(50_000 + swing)) / 100,
        "quantity": (luck >> 8) % 8192 / 1000,
        "is_buyer_maker": (luck >> 32) % 2 == 0,
        "symbol": ((luck >> 40) % 8).astype(np.uint8),
    }})

def read(with_columns, predicate, n_rows, batch_size):
    for start in range(0, rows, CHUNK):
        yield trades(start, min(CHUNK, rows - start))

source = register_io_source(read, schema=trades(0, 1).schema)
source.sink_parquet(path, row_group_size=CHUNK, compression="lz4")
"""

MEASURE = """
import sys
import polars as pl
import rangebar_polars as rb

path, query, target = sys.argv[1:]
trades = pl.scan_parquet(path)
if query == "bars":
    rb.range_bars(trades, 250, by=None).sink_parquet(target)
elif query == "bars, collected":
    rb.range_bars(trades, 250, by=None).collect().write_parquet(target)
elif query == "keys and thresholds":
    rb.range_bars(trades, [100, 250, 1000], by="symbol").sink_parquet(target)
elif query == "ids":
    ids = rb.with_bar_id(trades, 250, by=None)
    ids.group_by("bar_id").agg(pl.col("quantity").sum()).sink_parquet(target)
with open("/proc/self/status") as status:
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
print(int(peak) * 1024, pl.scan_parquet(target).select(pl.len()).collect().item())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Path]]:
    """Trades of both sizes in Parquet, written in a process of its own."""
    folder = tmp_path_factory.mktemp("memory")
    paths = {rows: folder / f"{rows}.parquet" for rows in (SMALL, LARGE)}
    for rows, path in paths.items():
        run_child(WRITE, str(rows), str(path))
    yield paths
    for path in paths.values():  # pytest would keep three sessions' worth
        path.unlink()


@pytest.mark.parametrize("query", ["bars", "bars, collected", "keys and thresholds", "ids"])
def test_memory_is_flat(query: str, files: dict[int, Path], tmp_path: Path) -> None:
    peaks: dict[int, int] = {}
    bars: dict[int, int] = {}
    for rows, path in files.items():
        printed = run_child(MEASURE, str(path), query, str(tmp_path / "bars.parquet"))
        peaks[rows], bars[rows] = map(int, printed.split())
    print({rows: f"{peak / MIB:.0f} MiB" for rows, peak in peaks.items()}, file=sys.stderr)
    assert bars[LARGE] > 1.5 * bars[SMALL] > 500
    assert peaks[LARGE] <= BOUND
    assert peaks[LARGE] <= 1.2 * peaks[SMALL]
