"""
Range bars from trades, inside Polars' lazy plans.

A range bar closes when the price has moved a set percentage from where the bar opened, so bars
follow the market and not the clock.

>>> import polars as pl
>>> import rangebar_polars as rb
>>> trades = pl.LazyFrame(
...     {
...         "timestamp": [1, 2, 3, 4],
...         "price": [100.0, 100.1, 100.25, 100.3],
...         "quantity": [1.0, 2.0, 3.0, 4.0],
...     }
... )
>>> trades.rangebar.bars(threshold_decimal_bps=250).select("open", "close", "volume").collect()
shape: (1, 3)
┌───────┬────────┬────────┐
│ open  ┆ close  ┆ volume │
│ ---   ┆ ---    ┆ ---    │
│ f64   ┆ f64    ┆ f64    │
╞═══════╪════════╪════════╡
│ 100.0 ┆ 100.25 ┆ 6.0    │
└───────┴────────┴────────┘
"""

from __future__ import annotations

from rangebar_polars import exceptions, namespaces
from rangebar_polars._internal import __version__
from rangebar_polars._options import THRESHOLD_PRESETS
from rangebar_polars.exceptions import CheckpointError, InvalidTradeError, RangeBarError
from rangebar_polars.expressions import bar_id, bars
from rangebar_polars.frames import range_bars, with_bar_id
from rangebar_polars.processor import PushReport, RangeBarProcessor
from rangebar_polars.resume import ResumeHandle, UpdateReport, resume_bars, update_bars

__all__ = [
    "THRESHOLD_PRESETS",
    "CheckpointError",
    "InvalidTradeError",
    "PushReport",
    "RangeBarError",
    "RangeBarProcessor",
    "ResumeHandle",
    "UpdateReport",
    "__version__",
    "bar_id",
    "bars",
    "exceptions",
    "namespaces",
    "range_bars",
    "resume_bars",
    "update_bars",
    "with_bar_id",
]
