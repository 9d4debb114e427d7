"""Ours: the expression door: exact and simple, at the memory of the columns that it reads."""

from __future__ import annotations

import polars as pl

import rangebar_polars as rb
from benches.jobs import FOUR, Job


class Expression:
    """``select(rb.bars(...))`` over a scan of four columns, one threshold, one symbol."""

    def __init__(self, job: Job) -> None:
        if job.columns != FOUR or job.by is not None or len(job.thresholds) != 1:
            msg = f"the expression contender does four columns, one threshold, no key: {job}"
            raise ValueError(msg)
        self._job = job
        self._bars: pl.DataFrame | None = None

    def run(self) -> None:
        """Build the plan and collect it."""
        bars = rb.bars(rule=self._job.thresholds[0], is_buyer_maker="is_buyer_maker")
        trades = pl.scan_parquet(list(self._job.paths))
        self._bars = trades.select(bars).collect(engine="streaming").unnest("bars")

    def bars(self) -> pl.DataFrame | None:
        """Return the bars."""
        return self._bars
