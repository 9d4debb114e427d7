"""The expression door: bars anywhere an expression goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Unpack

import polars as pl
from polars.plugins import register_plugin_function

from rangebar_polars._options import BarIdKeywords, BarKeywords, BarOptions, shows_keywords
from rangebar_polars.rules import IntoRule

if TYPE_CHECKING:
    from polars._typing import IntoExprColumn

__all__ = ["bar_id", "bars"]

_PLUGIN: Final = Path(__file__).parent


def _call(
    function: str,
    inputs: dict[str, IntoExprColumn | None],
    options: BarOptions,
    *,
    changes_length: bool,
) -> pl.Expr:
    present = {role: column for role, column in inputs.items() if column is not None}
    options.check_times("timestamp" if "timestamp" in present else None)
    for role, column in present.items():
        _refuse_frame(function, role, column)
    return register_plugin_function(
        plugin_path=_PLUGIN,
        function_name=function,
        args=list(present.values()),
        kwargs={
            "options": options.to_json(),
            "roles": list(present),
            "names": [_name(role, column) for role, column in present.items()],
        },
        # Never elementwise: Polars would then call it batch by batch, and bars would be cut.
        is_elementwise=False,
        changes_length=changes_length,
    ).alias(function)


def _name(role: str, column: IntoExprColumn) -> str:
    """What messages call a column: within a group, Polars tells no names."""
    if isinstance(column, pl.Expr):
        return column.meta.output_name(raise_if_undetermined=False) or role
    return column if isinstance(column, str) else (column.name or role)


P = ParamSpec("P")


def _of_columns(function: Callable[P, pl.Expr]) -> Callable[P, pl.Expr]:
    """Send who gives a frame to the door that takes one, before anything else is missed."""

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> pl.Expr:
        if args:
            _refuse_frame(function.__name__, "price", args[0])
        return function(*args, **kwargs)

    return checked


def _refuse_frame(function: str, role: str, column: Any) -> None:
    if isinstance(column, (str, pl.Expr, pl.Series)):
        return
    if isinstance(column, (pl.DataFrame, pl.LazyFrame)) or hasattr(column, "__arrow_c_stream__"):
        door = "rb.range_bars(trades, 250)" if function == "bars" else "rb.with_bar_id(trades, 250)"
        msg = f"rb.{function} makes an expression of columns; for a frame of trades use {door}"
    else:
        msg = f"{role} must be a column name or an expression, got {column!r}; rules go to rule="
    raise TypeError(msg)


@_of_columns
@shows_keywords(BarIdKeywords)
def bar_id(
    price: IntoExprColumn = "price",
    timestamp: IntoExprColumn | None = "timestamp",
    *,
    rule: IntoRule,
    agg_trade_id: IntoExprColumn | None = None,
    **keywords: Unpack[BarIdKeywords],
) -> pl.Expr:
    """
    Number of the range bar that each trade belongs to.

    An expression sees its columns whole, so it takes memory for what it reads; for data larger
    than memory use :func:`with_bar_id` on a LazyFrame. It has no key columns: use `over`.

    Parameters
    ----------
    price
        Prices, as for :func:`range_bars`.
    timestamp
        Times, as for :func:`range_bars`. None: no times, and no gate.
    rule
        One rule, as for :func:`range_bars`.
    agg_trade_id
        Ids of the trades, for `on_overlap`; looked at only where named.
    reset, reset_offset, max_gap, time_unit, same_timestamp_close, on_overlap, decimals
        As for :func:`range_bars`.

    Returns
    -------
    Expr
        UInt32, as long as the input: bars count from 0, within each group in `over` and
        `group_by`. The bar in progress at the end has a number too. Null for a trade that is
        skipped.

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
    >>> df.select(rb.bar_id(rule=250)).to_series().to_list()
    [0, 0, 0, 1]
    """
    options = BarOptions.of(rule, keywords, one="bar_id")
    inputs = {"timestamp": timestamp, "price": price, "agg_trade_id": agg_trade_id}
    return _call("bar_id", inputs, options, changes_length=False)


@_of_columns
@shows_keywords(BarKeywords)
def bars(
    price: IntoExprColumn = "price",
    timestamp: IntoExprColumn | None = "timestamp",
    quantity: IntoExprColumn | None = "quantity",
    *,
    rule: IntoRule | Iterable[IntoRule],
    is_buyer_maker: IntoExprColumn | None = None,
    agg_trade_id: IntoExprColumn | None = None,
    first_trade_id: IntoExprColumn | None = None,
    last_trade_id: IntoExprColumn | None = None,
    **keywords: Unpack[BarKeywords],
) -> pl.Expr:
    """
    Range bars, as an expression.

    An expression sees its columns whole, so it takes memory for what it reads; for data larger
    than memory use :func:`range_bars` on a LazyFrame. It has no key columns: use `group_by`.

    Parameters
    ----------
    price, timestamp, quantity
        Columns or expressions, as for :func:`range_bars`. `timestamp` and `quantity` may be None.
    rule
        As for :func:`range_bars`.
    is_buyer_maker, agg_trade_id, first_trade_id, last_trade_id
        As for :func:`range_bars`, but used only where named: an expression has no schema to look
        at.
    reset, reset_offset, max_gap, time_unit, same_timestamp_close
        As for :func:`range_bars`.
    on_overlap, decimals, incomplete
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
    >>> per_symbol = df.group_by("symbol", maintain_order=True).agg(rb.bars(rule=250))
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
    options = BarOptions.of(rule, keywords)
    inputs = {
        "timestamp": timestamp,
        "price": price,
        "quantity": quantity,
        "is_buyer_maker": is_buyer_maker,
        "agg_trade_id": agg_trade_id,
        "first_trade_id": first_trade_id,
        "last_trade_id": last_trade_id,
    }
    return _call("bars", inputs, options, changes_length=True)
