"""Arguments that several sub-commands share, and what they mean to the package."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from rangebar_polars._normalizer import NormalizeOptions

__all__ = ["BarArguments", "OutputArguments", "TradeArguments"]

_FLAG = Parameter(negative="", show_default=False)
_LIST = Parameter(negative="")


@Parameter(name="*")
@dataclass
class BarArguments:
    """What makes a bar.

    Attributes
    ----------
    rule
        Distance from the opening price at which a bar closes: 0.25%, 25bp, a whole number of
        0.001% (250 is 0.25%), or a preset: micro 10, tight 50, standard 100, medium 250, wide 500,
        macro 1000. Give it several times for several sets of bars in one pass.
    incomplete
        Whether to keep bars that nothing closed, with is_complete false.
    same_timestamp_close
        Let a bar close at the very timestamp it opened at.
    reset
        Begin anew at each period: 1d, 1w, 1mo, 1q, 1y or a multiple.
    reset_offset
        Move those periods: 17h with 1d is a session that begins at 17:00.
    max_gap
        Begin anew after a silence longer than this, such as 2h.
    on_overlap
        What to do about trades whose ids were there before: refuse them, or leave them out.
        Default: error, and skip in update.
    decimals
        Decimals of prices and quantities, 0 to 12: 10, or apart as price=10,quantity=8.
        Default: 8.
    """

    rule: Annotated[
        list[str], Parameter(name=["--rule", "-t"], negative="", show_default=lambda _: "250")
    ] = field(default_factory=lambda: ["250"])
    incomplete: Literal["drop", "keep"] = "drop"
    same_timestamp_close: Annotated[bool, _FLAG] = False
    reset: str | None = None
    reset_offset: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    max_gap: str | None = None
    on_overlap: Literal["error", "skip"] | None = None
    decimals: str | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the keywords of `range_bars`."""
        return {
            "incomplete": self.incomplete,
            "same_timestamp_close": self.same_timestamp_close,
            "reset": self.reset,
            "reset_offset": self.reset_offset,
            "max_gap": self.max_gap,
            **({} if self.on_overlap is None else {"on_overlap": self.on_overlap}),
            **({} if self.decimals is None else {"decimals": self._decimals(self.decimals)}),
        }

    @staticmethod
    def _decimals(text: str) -> int | dict[str, int]:
        if text.isdecimal():
            return int(text)
        each = re.fullmatch(r"(price|quantity)=(\d+)(?:,(price|quantity)=(\d+))?", text)
        if each is None or each[1] == each[3]:
            msg = f"--decimals must be a whole number or price=10,quantity=8, got {text!r}"
            raise ValueError(msg)
        pairs = ((each[1], each[2]), (each[3], each[4]))
        return {name: int(number) for name, number in pairs if name is not None}

    @property
    def rules(self) -> list[int | str] | int | str:
        """Numbers and texts; one alone is not a list, and makes no column."""
        values: list[int | str] = [int(t) if t.isdigit() else t for t in self.rule]
        return values[0] if len(values) == 1 else values


@Parameter(name="*")
@dataclass
class TradeArguments:
    """How trades are written.

    Attributes
    ----------
    format
        Whose columns these are: binance, bybit, okx, coinbase, kraken, deribit, tardis, databento,
        kaiko or polygon. Default: columns have the names of the options below.
    timestamp
        Column of the time.
    price
        Column of the price.
    quantity
        Column of the quantity.
    by
        Column whose values each have bars of their own. Default: symbol, where there is one. Give
        it several times for keys of several columns.
    no_by
        All trades are of one symbol, whatever columns there are.
    symbol
        Column of the symbol.
    side
        Column that says who sold.
    sells
        What it holds where a trade is a sell, several with commas. Default: sell, s and the like.
    buys
        What it holds where a trade is a buy.
    side_of
        Whose side it is.
    other_side
        What to do about a side that is neither.
    is_buyer_maker
        Column that is true, or 1, where the taker sold.
    trade_id
        Column of the id of a single trade.
    agg_trade_id
        Column of the id of an aggregate trade.
    first_trade_id
        Column of the first id that an aggregate trade stands for.
    last_trade_id
        Column of the last one.
    time_unit
        What numbers in the time column count since 1970. Fractions count.
    time_format
        How to read times as text, such as '%d/%m/%Y %H:%M:%S'. Default: ISO 8601.
    resolution
        Of the times of bars. Default: us, or ns where the trades have it.
    no_timestamp
        There is no column of time.
    no_quantity
        There is no column of quantity.
    no_side
        Leave the column side alone.
    no_header
        CSV files begin with a trade.
    columns
        Names of the columns of such files, with commas.
    separator
        Between the fields of CSV.
    """

    format: str | None = None
    timestamp: str | None = None
    price: str | None = None
    quantity: str | None = None
    by: Annotated[list[str] | None, _LIST] = None
    no_by: Annotated[bool, _FLAG] = False
    symbol: str | None = None
    side: str | None = None
    sells: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    buys: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    side_of: Literal["taker", "maker"] | None = None
    other_side: Literal["error", "null"] = "error"
    is_buyer_maker: str | None = None
    trade_id: str | None = None
    agg_trade_id: str | None = None
    first_trade_id: str | None = None
    last_trade_id: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] | None = None
    time_format: str | None = None
    resolution: Literal["us", "ns"] | None = None
    no_timestamp: Annotated[bool, _FLAG] = False
    no_quantity: Annotated[bool, _FLAG] = False
    no_side: Annotated[bool, _FLAG] = False
    no_header: Annotated[bool, _FLAG] = False
    columns: str | None = None
    separator: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The columns that were named, by role."""
        roles = (
            "timestamp", "price", "quantity", "symbol", "side", "is_buyer_maker", "trade_id",
            "agg_trade_id", "first_trade_id", "last_trade_id",
        )  # fmt: skip
        return {role: name for role in roles if (name := getattr(self, role)) is not None}

    def normalize_options(self) -> NormalizeOptions:
        """Return the keywords of `normalize`."""
        off = {
            role: None for role in ("timestamp", "quantity", "side") if getattr(self, f"no_{role}")
        }
        both = [role for role in off if role in self.named]
        if both:
            msg = f"--{both[0]} and --no-{both[0]} contradict each other"
            raise ValueError(msg)
        options: Any = {
            **self.named,
            **off,
            "sells": self.sells.split(",") if self.sells is not None else None,
            "buys": self.buys.split(",") if self.buys is not None else None,
            "side_of": self.side_of,
            "other_side": self.other_side,
            "time_unit": self.time_unit,
            "time_format": self.time_format,
            "resolution": self.resolution,
        }
        return options

    def bar_columns(self) -> dict[str, Any]:
        """Return the keywords of `range_bars` for normalized trades."""
        if self.by is not None and self.no_by:
            msg = "--by and --no-by contradict each other"
            raise ValueError(msg)
        off = [role for role in ("timestamp", "quantity", "side") if getattr(self, f"no_{role}")]
        keywords: dict[str, Any] = {"columns": dict.fromkeys(off)}
        if self.no_by:
            keywords["by"] = None
        elif self.by is not None:
            # Columns that were named have our names by now.
            ours = {name: role for role, name in self.named.items()}
            keywords["by"] = [ours.get(name, name) for name in self.by]
        return keywords


@Parameter(name="*")
@dataclass
class OutputArguments:
    """Where bars go.

    Attributes
    ----------
    out
        File to write: .parquet, .csv, .csv.gz, .csv.zst, .arrow, .feather or .ipc; - is CSV on
        standard output. Without it a table is printed.
    rows
        Rows of the table: the first and the last ones.
    show
        Columns of the table, with commas, or all.
    """

    out: Annotated[str | None, Parameter(name=["--out", "-o"])] = None
    rows: int = 20
    show: str | None = None
