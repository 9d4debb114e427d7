"""Find out which column of a stranger's trade file is what, and bring it into a usable form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

#: Names seen in the wild, best first. Names of one letter are exchanges' own abbreviations: there
#: the case matters ("T" is a trade's time, "t" its id; "m" buyer is maker, "M" best match).
KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp", "trade_time", "transact_time", "time", "ts", "T", "datetime", "date_time",
        "exchange_timestamp", "event_time", "date", "E", "local_timestamp",
    ),
    "price": ("price", "trade_price", "px", "p", "rate", "last", "price_s"),
    "quantity": (
        "quantity", "qty", "q", "size", "volume", "vol", "amount", "last_qty", "quantity_s", "v",
    ),
    "is_buyer_maker": ("is_buyer_maker", "buyer_maker", "was_buyer_maker", "m"),
    "side": ("side", "taker_side", "aggressor_side", "direction"),
    "agg_trade_id": ("agg_trade_id", "aggregate_trade_id", "agg_id", "a"),
    "first_trade_id": ("first_trade_id", "first_id", "f"),
    "last_trade_id": ("last_trade_id", "last_id", "l"),
    "symbol": ("symbol", "ticker", "instrument", "pair", "sym", "s"),
}  # fmt: skip

_REQUIRED = ("price",)

#: What a side column may hold when the taker sold, that is, when the buyer was the maker.
_SOLD = ("sell", "s", "ask", "short")

_FRACTIONAL = (pl.Float64, pl.Float32, pl.Decimal)


class ColumnsNotFoundError(Exception):
    """A file lacks a column that range bars cannot do without, or holds it in a strange form."""


@dataclass(frozen=True)
class Mapped:
    """Trades under the names that `rangebar_polars` expects, and how they got there.

    Attributes
    ----------
    trades
        The user's frame, reduced to the columns found, renamed and cast where needed.
    roles
        For each role the user's column and what was done to it, for display.
    """

    trades: pl.LazyFrame
    roles: dict[str, str]


def _plain(name: str) -> str:
    """``isBuyerMaker``, ``is buyer maker`` and ``IS_BUYER_MAKER`` are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_columns(names: list[str], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Match the roles in a trade to column names.

    Parameters
    ----------
    names
        The columns of the frame.
    chosen
        Roles that the user has settled, which go before any guess.

    Returns
    -------
    dict of str to str
        Role to column, for the roles that were found.

    Raises
    ------
    ColumnsNotFoundError
        If a chosen column is not there, or no price column is.

    Examples
    --------
    >>> find_columns(["t", "p", "q", "T", "m", "M"])
    {'timestamp': 'T', 'price': 'p', 'quantity': 'q', 'is_buyer_maker': 'm'}
    """
    chosen = chosen or {}
    for role, name in chosen.items():
        if name not in names:
            msg = f"no column {name!r} for the {role}; the columns are: {', '.join(names)}"
            raise ColumnsNotFoundError(msg)
    # A column plays one role, so what the user has settled is no longer up for a guess.
    free = [name for name in names if name not in chosen.values()]
    by_plain = {_plain(name): name for name in reversed(free) if len(name) > 1}
    found: dict[str, str] = {}
    for role, known in KNOWN_NAMES.items():
        if role in chosen:
            found[role] = chosen[role]
            continue
        for name in known:
            match = by_plain.get(_plain(name)) if len(name) > 1 else name
            if match is not None and match in free:
                found[role] = match
                break
    for role in _REQUIRED:
        if role not in found:
            msg = (
                f"no column looks like the {role}; the columns are: {', '.join(names)}. "
                f"Name it: --{role} COLUMN"
            )
            raise ColumnsNotFoundError(msg)
    if "is_buyer_maker" in found:
        found.pop("side", None)
    return found


def map_columns(trades: pl.LazyFrame, chosen: Mapping[str, str] | None = None) -> Mapped:
    """Bring a frame of trades with any column names into the form `rangebar_polars` expects.

    Parameters
    ----------
    trades
        The user's trades.
    chosen
        Roles (``price``, ``timestamp``, ...) whose column the user has named.

    Returns
    -------
    Mapped
        The trades, and what was mapped to what.

    Raises
    ------
    ColumnsNotFoundError
        If a needed column is missing or has a dtype that cannot be read as trades.
    """
    schema = trades.collect_schema()
    found = find_columns(schema.names(), chosen)
    columns: list[pl.Expr] = []
    roles: dict[str, str] = {}
    for role, name in found.items():
        expr, done = _convert(trades, role, name, schema[name])
        target = "is_buyer_maker" if role == "side" else role
        columns.append(expr.alias(target))
        roles[target] = f"{name} ({schema[name]}{done})"
    return Mapped(trades.select(columns), roles)


def _convert(trades: pl.LazyFrame, role: str, name: str, dtype: pl.DataType) -> tuple[pl.Expr, str]:
    """Return the expression that makes a column usable, and a remark on what it does."""
    column = pl.col(name)
    if role == "timestamp":
        return _convert_time(trades, name, dtype)
    if role in ("price", "quantity"):
        if dtype == pl.String:
            return column.cast(pl.Float64), ", cast to Float64"
        if dtype.is_integer() or isinstance(dtype, _FRACTIONAL):
            return column, ""
    elif role == "is_buyer_maker":
        if dtype == pl.Boolean:
            return column, ""
        if dtype == pl.String:
            return column.str.to_lowercase() == "true", ', true where "true"'
        if dtype.is_integer():
            return column.cast(pl.Boolean), ", cast to Boolean"
    elif role == "side":
        if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
            sold = column.cast(pl.String).str.to_lowercase().is_in(_SOLD)
            return sold, ", true where the taker sold"
    elif role == "symbol":
        return column, ""
    elif dtype.is_integer() or dtype == pl.String:
        return (column, "") if dtype == pl.Int64 else (column.cast(pl.Int64), ", cast to Int64")
    msg = f"column {name!r} looks like the {role}, but its dtype is {dtype}"
    raise ColumnsNotFoundError(msg)


def _convert_time(trades: pl.LazyFrame, name: str, dtype: pl.DataType) -> tuple[pl.Expr, str]:
    """Whole numbers become a Datetime of the unit that their size suggests."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        return column, ""
    if dtype == pl.String:
        return column.str.to_datetime(time_unit="us"), ", parsed"
    if dtype.is_integer():
        first = trades.select(column.drop_nulls().first()).collect().item()
        # 1e11 s lie in the year 5138, 1e11 ms in 1973; and so on for the finer units.
        size = abs(first or 0)
        if size < 10**11:
            return (column.cast(pl.Int64) * 1000).cast(pl.Datetime("ms")), ", read as seconds"
        unit: Literal["ms", "us", "ns"]
        unit = "ms" if size < 10**14 else "us" if size < 10**17 else "ns"
        return column.cast(pl.Int64).cast(pl.Datetime(unit)), f", read as {unit} since 1970"
    msg = f"column {name!r} looks like the timestamp, but its dtype is {dtype}"
    raise ColumnsNotFoundError(msg)
