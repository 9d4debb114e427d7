"""Which columns of the trades play which part, and which of them tell keys apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, TypeAlias, cast

import polars as pl
from polars.exceptions import ColumnNotFoundError

from rangebar_polars import _internal
from rangebar_polars.exceptions import RangeBarError

__all__ = ["AUTO", "Auto", "By", "IntoTradeColumns", "TradeColumns"]


class Auto(Enum):
    """The default of what is used where the trades have it, and not missed where they have not."""

    AUTO = "auto"

    def __repr__(self) -> str:
        return "AUTO"


AUTO: Final = Auto.AUTO

By: TypeAlias = str | Sequence[str] | Auto | None
"""Key columns; by default `symbol`, where there is such a column."""

_KEY: Final = "symbol"
_TEXT: Final = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class TradeColumns:
    """
    Names of the trades' columns, by the part they play.

    Parameters
    ----------
    timestamp
        Times: Datetime of any unit and zone, or Int64. None: no times, and no gate.
    price
        Prices: a float, integer or Decimal.
    quantity
        Quantities: a float, integer or Decimal, not negative. None: no volume.
    is_buyer_maker
        Boolean, true where the taker sold. By default used where there is a column of this name;
        None switches it off. So with the next three.
    agg_trade_id, first_trade_id, last_trade_id
        Integers: id of the (aggregate) trade, and ids of the first and the last trade that it is
        made of.
    side
        By default a column `side` of text is an error, for it would be ignored: turn it into
        `is_buyer_maker` with :func:`rangebar_polars.normalize`. None: ignore it.

    Raises
    ------
    TypeError
        For a name that is not a text.
    ValueError
        For a column that would play two parts.

    Examples
    --------
    >>> import rangebar_polars as rb
    >>> rb.TradeColumns(timestamp="ts", price="px").price
    'px'
    """

    timestamp: str | None = "timestamp"
    price: str = "price"
    quantity: str | None = "quantity"
    is_buyer_maker: str | Auto | None = AUTO
    agg_trade_id: str | Auto | None = AUTO
    first_trade_id: str | Auto | None = AUTO
    last_trade_id: str | Auto | None = AUTO
    side: Auto | None = AUTO

    def __post_init__(self) -> None:
        for role, name in vars(self).items():
            if name is None and role != "price":
                continue
            wanted = "a column name" + ("" if role == "price" else " or None")
            if role == "side" and not isinstance(name, Auto):
                msg = (
                    f"columns: a side cannot be read as it stands, got {name!r}; use rb.normalize"
                    f"(trades, side={name!r}) to make is_buyer_maker of it, or None to ignore it"
                )
                raise TypeError(msg)
            if not isinstance(name, (str, Auto)):
                msg = f"columns: {role} must be {wanted}, got {name!r}"
                raise TypeError(msg)
        names = [name for name in vars(self).values() if isinstance(name, str)]
        for name in names:
            if names.count(name) > 1:
                msg = f"columns: {name!r} cannot play two parts at once"
                raise ValueError(msg)

    @classmethod
    def of(cls, columns: IntoTradeColumns | None) -> TradeColumns:
        """
        Columns from what `columns=` was given: all of them, or a mapping of those that differ.

        Raises
        ------
        TypeError
            For anything else, or a part that trades do not have.
        """
        if columns is None:
            return cls()
        if isinstance(columns, cls):
            return columns
        if not isinstance(columns, Mapping):
            msg = (
                "columns must be a TradeColumns or a mapping of the names that differ, such as "
                f"{{'timestamp': 'ts', 'price': 'px'}}, got {columns!r}"
            )
            raise TypeError(msg)
        given = cast("Mapping[str, Any]", columns)
        parts = [field.name for field in fields(cls)]
        for part in given:
            if part not in parts:
                msg = f"columns: trades have no part {part!r}; the parts are {', '.join(parts)}"
                raise TypeError(msg)
        return cls(**given)

    def present(
        self, schema: Mapping[str, pl.DataType], by: Sequence[str] | None
    ) -> dict[str, str]:
        """
        Names of the columns that are there, by part.

        Raises
        ------
        polars.exceptions.ColumnNotFoundError
            If a column that must be there is not.
        rangebar_polars.exceptions.RangeBarError
            If there is a text `side` that would be ignored.
        """
        found: dict[str, str] = {}
        missing: list[str] = []
        for role, name in vars(self).items():
            if name is None or role == "side":
                continue
            if isinstance(name, Auto):
                if role in schema:
                    found[role] = role
            elif name in schema:
                found[role] = name
            else:
                missing.append(_not_found(role, name, schema))
        missing += [
            f"column '{key}' not found, which by= names" for key in by or () if key not in schema
        ]
        if missing:
            have = ", ".join(f"'{name}'" for name in schema)
            msg = f"{'; '.join(missing)} (the columns are {have})"
            raise ColumnNotFoundError(msg)
        self.check_side(schema)
        return found

    def check_side(self, schema: Mapping[str, pl.DataType]) -> None:
        """
        Refuse trades with a text `side` and nothing that says the same.

        Raises
        ------
        rangebar_polars.exceptions.RangeBarError
            If there is one, and nobody said to ignore it.
        """
        unknown = isinstance(self.is_buyer_maker, Auto) and "is_buyer_maker" not in schema
        if self.side is None or not unknown or not isinstance(schema.get("side"), _TEXT):
            return
        msg = (
            "column 'side' is text, and would be ignored: make is_buyer_maker of it with "
            "rb.normalize(trades, side='side'), or pass columns={'side': None} to do without"
        )
        raise RangeBarError(msg)


IntoTradeColumns: TypeAlias = TradeColumns | Mapping[str, str | None]
"""All columns, or the names that differ from the default."""


def _not_found(role: str, name: str, schema: Mapping[str, pl.DataType]) -> str:
    lower = {column.lower(): column for column in schema}
    close = get_close_matches(name.lower(), lower, 1) or get_close_matches(role, lower, 1)
    like = f"'{lower[close[0]]}'" if close else "'...'"
    off = "" if role == "price" else f", or columns={{'{role}': None}} to do without"
    return (
        f"column '{name}' not found: name the {role} column with columns={{'{role}': {like}}}{off}"
    )


def check_by(by: By) -> list[str] | Auto | None:
    """
    Refuse what cannot name key columns, whatever the trades.

    Raises
    ------
    TypeError, ValueError
        For anything but column names, no name at all, or one that bars have already.
    """
    if by is None or isinstance(by, Auto):
        return by
    given: Any = by
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, pl.Expr))
    keys: list[Any] = list(cast("Iterable[Any]", given)) if several else [given]
    for key in keys:
        if not isinstance(key, str):
            msg = f"by takes column names, such as by='symbol', got {key!r}"
            raise TypeError(msg)
    if not keys:
        msg = "by must name at least one column, or be None"
        raise ValueError(msg)
    taken = [key for key in keys if key in _internal.bar_columns() or keys.count(key) > 1]
    if taken:
        msg = f"by column {taken[0]!r} would stand twice in the bars; rename it first"
        raise ValueError(msg)
    return keys


def keys_of(by: list[str] | Auto | None, schema: Mapping[str, pl.DataType]) -> list[str] | None:
    """
    The key columns of trades with this schema; `by` has been through `check_by`.

    Raises
    ------
    rangebar_polars.exceptions.RangeBarError
        If one holds Python objects, of which nobody can tell whether they are the same.
    """
    keys = ([_KEY] if _KEY in schema else None) if isinstance(by, Auto) else by
    for key in keys or ():
        if isinstance(schema.get(key), pl.Object):
            msg = f"column '{key}' holds Python objects: make texts or numbers of them first"
            raise RangeBarError(msg)
    return keys
