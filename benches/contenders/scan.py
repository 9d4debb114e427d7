"""The limit: Polars reads the same columns and hands every batch to a callback that does nothing.

How much it prefetches follows the environment (``POLARS_ROW_GROUP_PREFETCH_SIZE``), which
`benches.measure` sets.
"""

from __future__ import annotations

import time

import polars as pl

from benches.jobs import Job


class Scan:
    """A bare scan; with `sleep_ms`, one whose consumer is slow."""

    def __init__(self, job: Job) -> None:
        columns = [*job.columns] if job.by is None else [job.by, *job.columns]
        self._trades = pl.scan_parquet(list(job.paths)).select(columns)
        self._sleep = job.sleep_ms / 1000

    def run(self) -> None:
        """Read everything once, in order."""
        sleep = self._sleep

        def drop(batch: pl.DataFrame) -> None:
            del batch
            if sleep > 0:
                time.sleep(sleep)

        self._trades.sink_batches(drop, maintain_order=True, engine="streaming")

    def bars(self) -> None:
        """Return nothing: a scan makes no bars."""
