"""Memory of a write and of a scan does not grow with the trades."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.children import run_child

SCRIPT = """
import sys
from datetime import datetime
import polars as pl
from rangebar_polars.store import TradeStore
from rangebar_polars.store.batches import iter_batches
rows = int(sys.argv[2])
index = pl.col("i")
# A lazy source of rows that never stands in memory.
part = pl.LazyFrame({"i": [0]}).select(i=pl.int_range(250_000))
def piece(k):
    i = index + k * 250_000
    return part.select(
        timestamp=pl.lit(datetime(2024, 1, 1)).cast(pl.Datetime("us"))
        + (i * 86_000).cast(pl.Duration("us")),
        price=(i * 7 % 10_007 + 4_000_000).cast(pl.Float64),
        quantity=(i % 97 + 1).cast(pl.Float64),
        agg_trade_id=i,
        first_trade_id=2 * i,
        last_trade_id=2 * i + 1,
        is_buyer_maker=i % 3 == 0,
    )
class Source:
    def __call__(self, columns, predicate, n_rows, batch_size):
        for k in range(rows // 250_000):
            yield piece(k).collect()
from polars.io.plugins import register_io_source
frame = register_io_source(Source(), schema=piece(0).collect_schema())
store = TradeStore(sys.argv[1])
store.write("BTC", frame)
seen = sum(batch.height for batch in iter_batches(store.scan("BTC")))
assert seen == rows, seen
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak_mb(root: Path, rows: int) -> float:
    return int(run_child(SCRIPT, str(root), str(rows), POLARS_ROW_GROUP_PREFETCH_SIZE="2")) / 1024


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc"
)
def test_four_times_the_trades_take_no_more_memory(tmp_path: Path) -> None:
    # Both are long enough to fill what the engine keeps in flight, which 2 million are not.
    small, large = peak_mb(tmp_path / "small", 4_000_000), peak_mb(tmp_path / "large", 16_000_000)
    assert large < 1.2 * small
    assert large < 350
