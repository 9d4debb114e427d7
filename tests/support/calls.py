"""Every function that takes a rule, called but not run: what makes no sense must fail right there.

A call takes a directory of its own, a rule and options, and returns whatever the function does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

import rangebar_polars as rb
from rangebar_polars import namespaces

__all__ = ["CALLS", "FUNCTIONS", "ID_CALLS", "MANY_RULES", "ON_FRAMES", "TRADES", "Call"]

Call = Callable[..., Any]

TRADES = pl.DataFrame(
    {"timestamp": [1, 2, 3], "price": [100.0, 101.0, 102.0], "quantity": [1.0, 2.0, 3.0]}
)


def on(frame: Any, function: Callable[..., Any]) -> Call:
    """A function of a frame, which ignores the directory."""
    return lambda directory, rule, **options: function(frame, rule, **options)


def method(function: Callable[..., Any]) -> Call:
    """A function that is bound to its input, or needs none."""
    return lambda directory, rule, **options: function(rule, **options)


def expression(function: Callable[..., Any]) -> Call:
    return lambda directory, rule, **options: function(rule=rule, **options)


def update(directory: Path, rule: Any, **options: Any) -> Any:
    return rb.update_bars(TRADES.lazy(), directory / "bars", rule, **options)


def archive(directory: Path, rule: Any, **options: Any) -> Any:
    store = rb.TradeStore(directory / "store")
    return rb.get_range_bars("BTCUSDT", "2024-01-01", "2024-01-02", rule, store=store, **options)


def archive_backwards(directory: Path, rule: Any, **options: Any) -> Any:
    store = rb.TradeStore(directory / "store")
    return rb.get_n_range_bars("BTCUSDT", 5, "2024-01-02", rule, store=store, **options)


def namespace(thing: Any) -> Any:
    """The `rangebar` namespace, of which type checkers know nothing."""
    return thing.rangebar


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "range_bars": rb.range_bars,
    "with_bar_id": rb.with_bar_id,
    "LazyFrame.rangebar.bars": namespaces.LazyFrameNameSpace.bars,
    "LazyFrame.rangebar.with_bar_id": namespaces.LazyFrameNameSpace.with_bar_id,
    "DataFrame.rangebar.bars": namespaces.DataFrameNameSpace.bars,
    "DataFrame.rangebar.with_bar_id": namespaces.DataFrameNameSpace.with_bar_id,
    "Expr.rangebar.bars": namespaces.ExprNameSpace.bars,
    "Expr.rangebar.bar_id": namespaces.ExprNameSpace.bar_id,
    "bars": rb.bars,
    "bar_id": rb.bar_id,
    "RangeBarProcessor": rb.RangeBarProcessor,
    "update_bars": rb.update_bars,
    "get_range_bars": rb.get_range_bars,
    "get_n_range_bars": rb.get_n_range_bars,
}
"""All of them."""

CALLS: dict[str, Call] = {
    "range_bars of a DataFrame": on(TRADES, rb.range_bars),
    "range_bars of a LazyFrame": on(TRADES.lazy(), rb.range_bars),
    "range_bars of Arrow": on(TRADES.to_arrow(), rb.range_bars),
    "with_bar_id of a DataFrame": on(TRADES, rb.with_bar_id),
    "with_bar_id of a LazyFrame": on(TRADES.lazy(), rb.with_bar_id),
    "DataFrame.rangebar.bars": method(namespace(TRADES).bars),
    "DataFrame.rangebar.with_bar_id": method(namespace(TRADES).with_bar_id),
    "LazyFrame.rangebar.bars": method(namespace(TRADES.lazy()).bars),
    "LazyFrame.rangebar.with_bar_id": method(namespace(TRADES.lazy()).with_bar_id),
    "RangeBarProcessor": method(rb.RangeBarProcessor),
    "update_bars": update,
    "get_range_bars": archive,
    "get_n_range_bars": archive_backwards,
    "bars": expression(rb.bars),
    "bar_id": expression(rb.bar_id),
    "Expr.rangebar.bars": method(namespace(pl.col("price")).bars),
    "Expr.rangebar.bar_id": method(namespace(pl.col("price")).bar_id),
}
"""The same, and each on all that it takes."""

ID_CALLS = [name for name in CALLS if "bar_id" in name]
"""Those that number bars, and have no use for `incomplete`."""

MANY_RULES = [name for name in CALLS if name not in (*ID_CALLS, "get_n_range_bars")]

ON_FRAMES = [name for name in CALLS if not name.startswith(("bar", "Expr", "get_"))]
"""Those that take key columns and names of columns."""
