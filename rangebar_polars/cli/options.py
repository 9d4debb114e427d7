"""Options that several sub-commands share, and how they reach `range_bars`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
from cyclopts import Parameter

from rangebar_polars.cli.files import TABLE_ROWS

__all__ = ["BarRules", "Output", "TradeColumns"]

_FLAG = Parameter(negative="")


@Parameter(name="*")
@dataclass
class BarRules:
    """What makes a bar.

    Attributes
    ----------
    threshold
        Distance from the opening price at which a bar closes, in units of 0.001% (250 is
        0.25%), or a preset: micro 10, tight 50, standard 100, medium 250, wide 500, macro 1000.
        Give it several times for several sets of bars in one pass.
    incomplete
        Whether to keep bars that nothing closed, with is_complete false.
    same_timestamp_close
        Let a bar close at the very timestamp it opened at.
    reset
        Begin anew at each period: 1d, 1w, 1mo, 1q, 1y or a multiple.
    offset
        Move those periods: 17h with 1d is a session that begins at 17:00.
    max_gap
        Begin anew after a silence longer than this, such as 2h.
    """

    threshold: Annotated[list[str], Parameter(name=["--threshold", "-t"], negative="")] = field(
        default_factory=lambda: ["250"]
    )
    incomplete: Literal["drop", "keep"] = "drop"
    same_timestamp_close: Annotated[bool, _FLAG] = False
    reset: str | None = None
    offset: str | None = None
    max_gap: str | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `range_bars` that were given."""
        return {
            "incomplete": self.incomplete,
            "same_timestamp_close": self.same_timestamp_close,
            "reset": self.reset,
            "offset": self.offset,
            "max_gap": self.max_gap,
        }

    @property
    def thresholds(self) -> list[int | str] | int | str:
        """Numbers and preset names; one alone is no list, and makes no column."""
        values: list[int | str] = [int(t) if t.isdigit() else t for t in self.threshold]
        return values[0] if len(values) == 1 else values


@Parameter(name="*")
@dataclass
class TradeColumns:
    """Names of the columns of trades.

    Attributes
    ----------
    by
        Column whose values each have bars of their own, such as symbol. Give it several times
        for keys of several columns.
    timestamp
        Column of the time.
    price
        Column of the price.
    quantity
        Column of the quantity.
    is_buyer_maker
        Column that is true where the taker sold. Used unasked where a column has this name; so
        are the next three.
    agg_trade_id
        Column of the trade's id.
    first_trade_id
        Column of the first id that an aggregate trade stands for.
    last_trade_id
        Column of the last one.
    time_unit
        What an integer timestamp counts since 1970.
    no_timestamp
        There is no column of time.
    no_quantity
        There is no column of quantity.
    """

    by: Annotated[list[str] | None, _FLAG] = None
    timestamp: str = "timestamp"
    price: str = "price"
    quantity: str = "quantity"
    is_buyer_maker: str | None = None
    agg_trade_id: str | None = None
    first_trade_id: str | None = None
    last_trade_id: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    no_timestamp: Annotated[bool, _FLAG] = False
    no_quantity: Annotated[bool, _FLAG] = False

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `range_bars`."""
        optional = {
            "is_buyer_maker": self.is_buyer_maker,
            "agg_trade_id": self.agg_trade_id,
            "first_trade_id": self.first_trade_id,
            "last_trade_id": self.last_trade_id,
        }
        return {
            "by": self.by,
            "timestamp": None if self.no_timestamp else self.timestamp,
            "price": self.price,
            "quantity": None if self.no_quantity else self.quantity,
            **{role: name for role, name in optional.items() if name is not None},
        }

    def with_times(self, trades: pl.LazyFrame) -> pl.LazyFrame:
        """Turn an integer timestamp into one, where its unit was given."""
        if self.time_unit is None:
            return trades
        column = pl.col(self.timestamp).cast(pl.Int64)
        if self.time_unit == "s":
            time = (column * 1000).cast(pl.Datetime("ms"))
        else:
            time = column.cast(pl.Datetime(self.time_unit))
        return trades.with_columns(time)


@Parameter(name="*")
@dataclass
class Output:
    """Where bars go.

    Attributes
    ----------
    out
        File to write: .parquet, .csv, .arrow, .feather or .ipc. Without it a table is printed.
    rows
        Rows of the table: the first and the last ones.
    """

    out: Annotated[Path | None, Parameter(name=["--out", "-o"])] = None
    rows: int = TABLE_ROWS
