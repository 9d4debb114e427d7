"""Trades that are in memory already: what the machine costs beside reading the columns once.

The frame is loaded and everything is run once before the clock starts, so that neither decoding
nor the first touch of a page is measured.
"""

from __future__ import annotations

import polars as pl

import rangebar_polars as rb
from benches.jobs import SEVEN, Job


class _InMemory:
    """Loads the frame in one chunk per column."""

    def __init__(self, job: Job) -> None:
        self._threshold = job.thresholds[0]
        self._trades = pl.read_parquet(list(job.paths), columns=list(job.columns)).rechunk()
        self._has_ids = job.columns == SEVEN
        self._bars: pl.DataFrame | None = None
        self.run()

    def run(self) -> None:
        """Do the work that is timed."""
        raise NotImplementedError

    def bars(self) -> pl.DataFrame | None:
        """Return the bars."""
        return self._bars


class ReadOnce(_InMemory):
    """Sums every column, one after the other, on one thread: the cost of touching the data."""

    def run(self) -> None:
        """Read every column once."""
        for column in self._trades.iter_columns():
            column.to_physical().sum()


class Frame(_InMemory):
    """``range_bars`` on the DataFrame."""

    def run(self) -> None:
        """Make the bars."""
        self._bars = rb.range_bars(self._trades, self._threshold)


class FrameExpression(_InMemory):
    """``select(rb.bars(...))`` on the DataFrame."""

    def run(self) -> None:
        """Make the bars."""
        bars = rb.bars(
            rule=self._threshold,
            is_buyer_maker="is_buyer_maker",
            agg_trade_id="agg_trade_id" if self._has_ids else None,
            first_trade_id="first_trade_id" if self._has_ids else None,
            last_trade_id="last_trade_id" if self._has_ids else None,
        )
        self._bars = self._trades.select(bars).unnest("bars")
