"""The peer: ``process_trades_polars`` of opendeviationbar 12.39.0, in a Python of its own.

It takes the same four columns, its times as whole milliseconds, and returns pandas.
"""

# Neither the peer nor pandas is installed where the types are checked.
# pyright: basic, reportMissingImports=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from benches.jobs import FOUR, Job

if TYPE_CHECKING:
    from collections.abc import Callable


class Peer:
    """One call, as its documentation recommends to users of Polars."""

    def __init__(self, job: Job) -> None:
        if job.columns != FOUR or job.by is not None or len(job.thresholds) != 1:
            msg = f"the peer does four columns, one threshold, no key: {job}"
            raise ValueError(msg)
        import opendeviationbar

        self._process: Callable[..., Any] = opendeviationbar.process_trades_polars
        self._job = job
        self._result: Any = None

    def run(self) -> None:
        """Scan, and let the peer do the rest."""
        trades = (
            pl.scan_parquet(list(self._job.paths))
            .select(FOUR)
            .with_columns(pl.col("timestamp").cast(pl.Int64))
        )
        self._result = self._process(trades, self._job.thresholds[0])

    def bars(self) -> pl.DataFrame:
        """Return the peer's columns under this project's names."""
        bars = pl.from_pandas(self._result.rename_axis("timestamp"), include_index=True)
        return bars.select(
            close_time=pl.col("timestamp").cast(pl.Datetime("ms")),
            open=pl.col("Open"),
            high=pl.col("High"),
            low=pl.col("Low"),
            close=pl.col("Close"),
            volume=pl.col("Volume"),
        )
