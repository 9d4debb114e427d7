"""Ours: the streaming door: a LazyFrame of trades in, a LazyFrame of bars out."""

from __future__ import annotations

import time
from functools import partial

import polars as pl

import rangebar_polars as rb
from benches.jobs import Job


def lazy_bars(job: Job) -> pl.LazyFrame:
    """Return the plan that a job asks for.

    Parameters
    ----------
    job
        The job.

    Returns
    -------
    polars.LazyFrame
        Its bars.
    """
    columns = [*job.columns] if job.by is None else [job.by, *job.columns]
    trades = pl.scan_parquet(list(job.paths)).select(columns)
    return rb.range_bars(trades, list(job.thresholds), by=job.by)


class Streaming:
    """Collects the bars, as most users do."""

    def __init__(self, job: Job) -> None:
        self._plan = partial(lazy_bars, job)
        self._bars: pl.DataFrame | None = None

    def run(self) -> None:
        """Build the plan and collect it."""
        self._bars = self._plan().collect(engine="streaming")

    def bars(self) -> pl.DataFrame | None:
        """Return the bars."""
        return self._bars


class StreamingSink:
    """Hands each batch of bars to a consumer that forgets it: memory without the result's share."""

    def __init__(self, job: Job) -> None:
        self._plan = partial(lazy_bars, job)
        self._sleep = job.sleep_ms / 1000

    def run(self) -> None:
        """Build the plan and drain it."""
        sleep = self._sleep

        def drop(batch: pl.DataFrame) -> None:
            del batch
            if sleep > 0:
                time.sleep(sleep)

        self._plan().sink_batches(drop, maintain_order=True, engine="streaming")

    def bars(self) -> None:
        """Return nothing: the bars are gone."""
