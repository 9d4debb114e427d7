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
>>> trades.rangebar.bars("0.25%").select("open", "close", "volume").collect()
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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rangebar_polars import exceptions, namespaces, rules
from rangebar_polars._internal import __version__
from rangebar_polars.columns import TradeColumns
from rangebar_polars.exceptions import CheckpointError, InvalidTradeError, RangeBarError
from rangebar_polars.expressions import bar_id, bars
from rangebar_polars.frames import range_bars, with_bar_id
from rangebar_polars.normalize import normalize
from rangebar_polars.processor import RangeBarProcessor
from rangebar_polars.reports import PushReport
from rangebar_polars.resume import ResumeHandle, resume_bars
from rangebar_polars.scan import scan_trades

if TYPE_CHECKING:
    from rangebar_polars.dataset import UpdateReport, update_bars
    from rangebar_polars.sources.binance import scan_binance
    from rangebar_polars.sources.binance.bars import get_n_range_bars, get_range_bars
    from rangebar_polars.store import TradeStore

__all__ = [
    "CheckpointError",
    "InvalidTradeError",
    "PushReport",
    "RangeBarError",
    "RangeBarProcessor",
    "ResumeHandle",
    "TradeColumns",
    "TradeStore",
    "UpdateReport",
    "__version__",
    "bar_id",
    "bars",
    "exceptions",
    "get_n_range_bars",
    "get_range_bars",
    "namespaces",
    "normalize",
    "range_bars",
    "resume_bars",
    "rules",
    "scan_binance",
    "scan_trades",
    "update_bars",
    "with_bar_id",
]

# What needs an extra is imported when it is first asked for, so that Polars alone is enough for
# the rest, and an import takes no longer than it must.
_EXTRAS = {
    "UpdateReport": ("rangebar_polars.dataset", "dataset"),
    "update_bars": ("rangebar_polars.dataset", "dataset"),
    "TradeStore": ("rangebar_polars.store", "store"),
    "scan_binance": ("rangebar_polars.sources.binance", "binance"),
    "get_range_bars": ("rangebar_polars.sources.binance.bars", "binance"),
    "get_n_range_bars": ("rangebar_polars.sources.binance.bars", "binance"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXTRAS:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    module, extra = _EXTRAS[name]
    try:
        found = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        msg = f"{name} needs {error.name}: pip install 'rangebar_polars[{extra}]'"
        raise ModuleNotFoundError(msg, name=error.name) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
