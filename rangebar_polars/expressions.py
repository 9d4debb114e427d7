"""The expression door: bars anywhere an expression goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
from polars.plugins import register_plugin_function

from rangebar_polars._options import (
    Incomplete,
    Settings,
    Span,
    Threshold,
    TimeUnit,
    thresholds_of,
)

if TYPE_CHECKING:
    from polars._typing import IntoExprColumn

__all__ = ["bar_id", "bars"]

_PLUGIN: Final = Path(__file__).parent


def _call(
    function: str,
    inputs: dict[str, IntoExprColumn | None],
    settings: Settings,
    *,
    changes_length: bool,
) -> pl.Expr:
    present = {role: column for role, column in inputs.items() if column is not None}
    return register_plugin_function(
        plugin_path=_PLUGIN,
        function_name=function,
        args=list(present.values()),
        kwargs=settings.options(list(present)),
        # Never elementwise: Polars would then call it batch by batch, and bars would be cut.
        is_elementwise=False,
        changes_length=changes_length,
    )


def bar_id(
    price: IntoExprColumn = "price",
    timestamp: IntoExprColumn | None = "timestamp",
    *,
    threshold_decimal_bps: Threshold,
    same_timestamp_close: bool = False,
    reset: str | None = None,
    offset: Span | None = None,
    max_gap: Span | None = None,
    time_unit: TimeUnit | None = None,
) -> pl.Expr:
    """
    Number of the range bar that each trade belongs to.

    An expression sees its columns whole, so it takes memory for what it reads; for data larger
    than memory use :func:`with_bar_id` on a LazyFrame.

    Parameters
    ----------
    price
        Prices, as for :func:`range_bars`.
    timestamp
        Times, as for :func:`range_bars`. None: no times, and no gate.
    threshold_decimal_bps
        One threshold, in units of 0.001%, or a preset.
    same_timestamp_close, reset, offset, max_gap, time_unit
        As for :func:`range_bars`.

    Returns
    -------
    Expr
        UInt32, as long as the input: bars count from 0, within each group in `over` and
        `group_by`. The bar in progress at the end has a number too.

    Raises
    ------
    ValueError, TypeError
        At once, for options that make no sense.
    polars.exceptions.ComputeError
        On evaluating, for a bad trade; names column, row and value.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> df = pl.DataFrame({"timestamp": [1, 2, 3, 4], "price": [100.0, 100.1, 100.25, 100.3]})
    >>> df.select(rb.bar_id(threshold_decimal_bps=250)).to_series().to_list()
    [0, 0, 0, 1]
    """
    thresholds = thresholds_of(threshold_decimal_bps)
    if len(thresholds) > 1:
        msg = f"bar_id takes one threshold, got {len(thresholds)}"
        raise ValueError(msg)
    settings = Settings(
        tuple(thresholds),
        same_timestamp_close,
        reset=reset,
        offset=offset,
        max_gap=max_gap,
        time_unit=time_unit,
    )
    inputs = {"timestamp": timestamp, "price": price}
    return _call("bar_id", inputs, settings, changes_length=False).alias("bar_id")


def bars(
    price: IntoExprColumn = "price",
    timestamp: IntoExprColumn | None = "timestamp",
    quantity: IntoExprColumn | None = "quantity",
    *,
    threshold_decimal_bps: Threshold | Sequence[Threshold],
    is_buyer_maker: IntoExprColumn | None = None,
    agg_trade_id: IntoExprColumn | None = None,
    first_trade_id: IntoExprColumn | None = None,
    last_trade_id: IntoExprColumn | None = None,
    incomplete: Incomplete = "drop",
    same_timestamp_close: bool = False,
    reset: str | None = None,
    offset: Span | None = None,
    max_gap: Span | None = None,
    time_unit: TimeUnit | None = None,
) -> pl.Expr:
    """
    Range bars, as an expression.

    An expression sees its columns whole, so it takes memory for what it reads; for data larger
    than memory use :func:`range_bars` on a LazyFrame.

    Parameters
    ----------
    price, timestamp, quantity
        Columns or expressions, as for :func:`range_bars`. `timestamp` and `quantity` may be None.
    threshold_decimal_bps
        As for :func:`range_bars`.
    is_buyer_maker, agg_trade_id, first_trade_id, last_trade_id
        As for :func:`range_bars`, but used only where named: an expression has no schema to look
        at.
    incomplete, same_timestamp_close, reset, offset, max_gap, time_unit
        As for :func:`range_bars`.

    Returns
    -------
    Expr
        Struct named `bars`, a row for each bar, with the columns of :func:`range_bars` as
        fields; in `group_by(...).agg` a list of them for each group.

    Raises
    ------
    ValueError, TypeError
        At once, for options that make no sense.
    polars.exceptions.ComputeError
        On evaluating, for a bad trade or a wrong dtype.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> df = pl.DataFrame(
    ...     {
    ...         "symbol": ["a", "a", "b", "b"],
    ...         "timestamp": [1, 2, 1, 2],
    ...         "price": [100.0, 101.0, 5.0, 4.9],
    ...         "quantity": [1.0, 2.0, 3.0, 4.0],
    ...     }
    ... )
    >>> per_symbol = df.group_by("symbol", maintain_order=True).agg(
    ...     rb.bars(threshold_decimal_bps=250)
    ... )
    >>> per_symbol.explode("bars").unnest("bars").select("symbol", "open", "close", "volume")
    shape: (2, 4)
    ┌────────┬───────┬───────┬────────┐
    │ symbol ┆ open  ┆ close ┆ volume │
    │ ---    ┆ ---   ┆ ---   ┆ ---    │
    │ str    ┆ f64   ┆ f64   ┆ f64    │
    ╞════════╪═══════╪═══════╪════════╡
    │ a      ┆ 100.0 ┆ 101.0 ┆ 3.0    │
    │ b      ┆ 5.0   ┆ 4.9   ┆ 7.0    │
    └────────┴───────┴───────┴────────┘
    """
    settings = Settings(
        tuple(thresholds_of(threshold_decimal_bps)),
        same_timestamp_close,
        incomplete,
        reset,
        offset,
        max_gap,
        time_unit,
    )
    inputs = {
        "timestamp": timestamp,
        "price": price,
        "quantity": quantity,
        "is_buyer_maker": is_buyer_maker,
        "agg_trade_id": agg_trade_id,
        "first_trade_id": first_trade_id,
        "last_trade_id": last_trade_id,
    }
    return _call("bars", inputs, settings, changes_length=True).alias("bars")
