"""Range bars with Polars alone, one bar at a time.

No Polars expression can find range bars: where a bar ends depends on where it opened, and that on
where the bar before it ended. The well-known tricks (buckets of the log price, ``cum_max`` against
a shifted price, ``group_by_dynamic``) cut bars at fixed levels or fixed rows and are simply other
bars. What is right is a loop in Python that asks Polars for the end of each bar, by searching
slices that grow until they hold it, and one ``group_by`` over the bar numbers at the end.
"""

from __future__ import annotations

import polars as pl

from benches.jobs import FOUR, Job

_FIRST_SLICE = 1024


class PolarsSlices:
    """Collected columns, a search by slices, one aggregation."""

    def __init__(self, job: Job) -> None:
        if job.columns != FOUR or job.by is not None or len(job.thresholds) != 1:
            msg = f"the slices contender does four columns, one threshold, no key: {job}"
            raise ValueError(msg)
        self._job = job
        self._bars: pl.DataFrame | None = None

    def run(self) -> None:
        """Collect, search, aggregate."""
        units = (pl.col("price") * 1e8).round().cast(pl.Int64).alias("units")
        trades = (
            pl.scan_parquet(list(self._job.paths))
            .select(*FOUR, units)
            .collect(engine="streaming")
            .rechunk()
        )
        ends = _bar_ends(trades, self._job.thresholds[0])
        number = (
            pl.LazyFrame({"end": ends})
            .with_row_index("number")
            .select(pl.col("number").repeat_by(pl.col("end").diff().fill_null(pl.col("end"))))
            .select(pl.col("number").explode())
            .collect()
            .to_series()
        )
        buys = ~pl.col("is_buyer_maker")
        turnover = pl.col("price") * pl.col("quantity")
        self._bars = (
            trades.lazy()
            .head(len(number))  # the trades after the last close belong to no finished bar
            .with_columns(number)
            .group_by("number", maintain_order=True)
            .agg(
                open_time=pl.col("timestamp").first(),
                close_time=pl.col("timestamp").last(),
                open=pl.col("price").first(),
                high=pl.col("price").max(),
                low=pl.col("price").min(),
                close=pl.col("price").last(),
                volume=pl.col("quantity").sum(),
                turnover=turnover.sum(),
                trade_count=pl.len().cast(pl.Int64),
                buy_volume=pl.col("quantity").filter(buys).sum(),
                buy_turnover=turnover.filter(buys).sum(),
                buy_trade_count=buys.sum().cast(pl.Int64),
            )
            .drop("number")
            .collect(engine="streaming")
        )

    def bars(self) -> pl.DataFrame | None:
        """Return the bars."""
        return self._bars


def _bar_ends(trades: pl.DataFrame, threshold: int) -> pl.Series:
    """Return one past the last row of each finished bar."""
    price = trades.get_column("units")
    time = trades.get_column("timestamp").to_physical()
    ends: list[int] = []
    first = 0
    while first < trades.height:
        opened = int(price[first])
        delta = max(1, opened * threshold // 100_000)
        opened_at = time[first]
        size = _FIRST_SLICE
        start = first + 1
        end = None
        while end is None and start < trades.height:
            window = price.slice(start, size)
            outside = (window >= opened + delta) | (window <= opened - delta)
            found = (outside & (time.slice(start, size) != opened_at)).arg_true()
            if len(found):
                end = start + int(found[0]) + 1
            start += size
            size *= 2
        if end is None:
            break
        ends.append(end)
        first = end
    return pl.Series("end", ends, dtype=pl.Int64)
