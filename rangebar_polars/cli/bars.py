"""``rangebar bars``: from files of trades to bars."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from cyclopts import Parameter

from rangebar_polars.cli.files import scan_trades, show, write_bars
from rangebar_polars.cli.options import BarRules, Output, thresholds_from
from rangebar_polars.frames import range_bars

__all__ = ["bars", "deliver"]


def bars(
    trades: list[Path],
    *,
    rules: BarRules | None = None,
    output: Output | None = None,
    by: Annotated[list[str] | None, Parameter(negative="")] = None,
    timestamp: str = "timestamp",
    price: str = "price",
    quantity: str = "quantity",
    is_buyer_maker: str | None = None,
    agg_trade_id: str | None = None,
    first_trade_id: str | None = None,
    last_trade_id: str | None = None,
    time_unit: Literal["s", "ms", "us", "ns"] | None = None,
    no_timestamp: Annotated[bool, Parameter(negative="")] = False,
    no_quantity: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make range bars of trades in Parquet, CSV or IPC files.

    The files are streamed: they may be larger than memory. Several, or a quoted pattern such as
    'trades/*.parquet', are read one after the other.

    Parameters
    ----------
    trades
        Files of one kind, their trades in order of time.
    by
        Columns whose values each have bars of their own, such as symbol.
    timestamp, price, quantity
        Names of the columns.
    is_buyer_maker
        Column that is true where the taker sold. Used unasked where a column has this name; so
        are the next three.
    agg_trade_id
        Column of the trade's id.
    first_trade_id, last_trade_id
        Columns of the ids that an aggregate trade stands for.
    time_unit
        What an integer timestamp counts since 1970.
    no_timestamp
        There is no column of time.
    no_quantity
        There is no column of quantity.
    """
    rules = rules or BarRules()
    frame = scan_trades(trades)
    if time_unit is not None:
        frame = frame.with_columns(_as_time(timestamp, time_unit))
    named = {
        "is_buyer_maker": is_buyer_maker,
        "agg_trade_id": agg_trade_id,
        "first_trade_id": first_trade_id,
        "last_trade_id": last_trade_id,
    }
    keywords: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    made = range_bars(
        frame,
        thresholds_from(rules.threshold),
        by=by,
        timestamp=None if no_timestamp else timestamp,
        price=price,
        quantity=None if no_quantity else quantity,
        **keywords,
        **rules.keywords(),
    )
    deliver(made, output or Output())


def deliver(made: pl.LazyFrame, output: Output) -> None:
    """Write bars to the file that was asked for, or show them."""
    if output.out is None:
        show(made.collect(engine="streaming"), output.rows)
    else:
        write_bars(made, output.out)


def _as_time(name: str, unit: Literal["s", "ms", "us", "ns"]) -> pl.Expr:
    column = pl.col(name).cast(pl.Int64)
    if unit == "s":
        return (column * 1000).cast(pl.Datetime("ms"))
    return column.cast(pl.Datetime(unit))
