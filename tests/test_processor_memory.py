"""A processor's memory does not grow with what has been pushed."""

from __future__ import annotations

import pytest

from tests.support.children import run_child

pytest.importorskip("pyarrow")

CHILD = """
import sys
import numpy as np, pyarrow as pa
import rangebar_polars as rb

rows, batch = int(sys.argv[1]), 250_000
schema = pa.schema({"timestamp": pa.int64(), "price": pa.float64(), "quantity": pa.float64()})
steps = np.arange(batch)

def batches():
    for start in range(0, rows, batch):
        row = start + steps
        price = np.round(100 + np.sin(row / 5000.0), 3)
        yield pa.record_batch([row, price, (row % 7 + 1) / 10], schema=schema)

processor = rb.RangeBarProcessor(250)
bars = processor.push(pa.RecordBatchReader.from_batches(schema, batches()))
assert processor.report.rows == rows, processor.report
assert bars.height > rows / 10_000
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif("sys.platform != 'linux'", reason="reads the peak from /proc")
def test_fifty_million_trades_from_a_reader():
    small, large = (float(run_child(CHILD, str(rows))) for rows in (5_000_000, 50_000_000))
    assert large < 300, f"{large:.0f} MB"
    assert large < 1.2 * small, f"{small:.0f} MB, then {large:.0f} MB"
