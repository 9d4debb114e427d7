"""What a user's frame must look like: names and dtypes, checked before anything runs.

What only the values can tell is the business of `values`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any, Final, Literal, SupportsIndex, TypeAlias, cast, get_args

import polars as pl
from polars.exceptions import ColumnNotFoundError

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.provenance import BROUGHT_BY

__all__ = ["ID", "MAX_DECIMALS", "ROLES", "Columns", "TimeUnit", "check_schema", "store_names"]

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

ID: Final = "agg_trade_id"
"""The column every file is sorted by, and in which no value stands twice."""

ROLES: Final = ("timestamp", "price", "quantity", ID)
"""The store's names of the columns that `Columns` names in a frame."""

MAX_DECIMALS: Final = 12
"""Of the finest grid of prices that can be asked for."""

_OWN: Final = ("price_units", "price_divisor", BROUGHT_BY)
_KEPT: Final = (pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Decimal)


@dataclass(frozen=True)
class Columns:
    """Where the main columns are in the user's frame, and what their values mean.

    Raises
    ------
    TypeError, ValueError
        At once, for a value that makes no sense.
    """

    timestamp: str = "timestamp"
    price: str = "price"
    quantity: str | None = "quantity"
    agg_trade_id: str | None = ID
    time_unit: TimeUnit | None = None
    decimals: int = 8

    def __post_init__(self) -> None:
        names: list[str] = []
        for role in ROLES:
            name = getattr(self, role)
            if name is None and role in ("quantity", ID):
                continue
            if not isinstance(name, str):
                msg = f"{role} must be the name of a column, got {name!r}"
                raise TypeError(msg)
            if name in names:
                msg = f"column '{name}' cannot be {ROLES[names.index(name)]} and {role} at once"
                raise ValueError(msg)
            names.append(name)
        units = get_args(TimeUnit)
        if self.time_unit is not None and self.time_unit not in units:
            msg = f"time_unit must be one of {', '.join(map(repr, units))}, got {self.time_unit!r}"
            raise ValueError(msg)
        given: Any = self.decimals
        if isinstance(given, bool) or not hasattr(given, "__index__"):
            msg = f"decimals must be a whole number from 0 to {MAX_DECIMALS}, got {given!r}"
            raise TypeError(msg)
        if not 0 <= operator.index(cast("SupportsIndex", given)) <= MAX_DECIMALS:
            msg = f"decimals must be between 0 and {MAX_DECIMALS}, got {given}"
            raise ValueError(msg)

    def given(self, stored: str) -> str:
        """Return the user's name of a stored column."""
        return (getattr(self, stored) or stored) if stored in ROLES else stored

    def pairs(self) -> list[tuple[str, str]]:
        """Return (name in the store, name in the frame), for those in use."""
        return [(role, name) for role in ROLES if (name := getattr(self, role)) is not None]


def store_names(frame: pl.LazyFrame, columns: Columns) -> pl.LazyFrame:
    """Check the frame's columns and give them the store's names.

    Raises
    ------
    ColumnNotFoundError
        Where a named column is missing.
    RangeBarError
        Where a column's dtype cannot hold what it should, or cannot be stored.
    """
    schema = frame.collect_schema()
    check_schema(schema, columns)
    pairs = columns.pairs()
    taken = {given for _, given in pairs}
    further = [name for name in schema if name not in taken]
    return frame.select(*(pl.col(given).alias(stored) for stored, given in pairs), *further)


def check_schema(schema: pl.Schema, columns: Columns) -> None:
    """Refuse a frame by its names and dtypes; see `store_names`."""
    pairs = columns.pairs()
    for stored, given in pairs:
        if given not in schema:
            raise ColumnNotFoundError(_missing(stored, given, schema))
        _check_role(stored, given, schema[given], columns.time_unit)
    taken = {given for _, given in pairs}
    for name, dtype in schema.items():
        if name in taken:
            continue
        if name in _OWN:
            msg = f"column '{name}' is named like one that the store adds itself: rename or drop it"
            raise RangeBarError(msg)
        if name in ROLES:
            given = dict(pairs).get(name)
            instead = f"and {name}='{given}' is stored under that name" if given else "unused"
            msg = f"column '{name}' is there, but {name}={given!r}: {instead}: rename or drop it"
            raise RangeBarError(msg)
        if name == "is_buyer_maker" and dtype != pl.Boolean:
            raise _dtype_error(name, dtype, "Boolean")
        if name.endswith("_trade_id") and not dtype.is_integer():
            raise _dtype_error(name, dtype, "an integer")
        if not (name.endswith("_trade_id") or _is_kept(dtype)):
            msg = (
                f"column '{name}' has dtype {dtype}, which would not come back as it was: cast it "
                "to a plain one, such as pl.String or pl.Int64, or drop it"
            )
            raise RangeBarError(msg)


def _missing(stored: str, given: str, schema: pl.Schema) -> str:
    way_out = f"name it with {stored}='...'"
    if stored == "quantity":
        way_out += ", or quantity=None to store none"
    if stored == ID:
        way_out += (
            f", or {ID}=None if the trades have no ids: then each write of a day must hold "
            "the day from its first trade on, in order"
        )
    return f"column '{given}' not found: {way_out} (the columns are {schema.names()})"


def _check_role(stored: str, given: str, dtype: pl.DataType, time_unit: TimeUnit | None) -> None:
    if stored == "timestamp":
        if isinstance(dtype, pl.Datetime):
            if time_unit is not None:
                msg = f"column '{given}' has dtype {dtype}: leave out time_unit={time_unit!r}"
                raise RangeBarError(msg)
        elif not dtype.is_integer():
            raise _dtype_error(given, dtype, "Datetime or an integer")
        elif time_unit is None:
            msg = f"column '{given}' has dtype {dtype}: say what it counts with time_unit='ms', ..."
            raise RangeBarError(msg)
    elif stored == ID:
        if not dtype.is_integer():
            raise _dtype_error(given, dtype, "an integer")
    elif not dtype.is_numeric():
        raise _dtype_error(given, dtype, "a number")


def _dtype_error(name: str, dtype: pl.DataType, wanted: str) -> RangeBarError:
    return RangeBarError(f"column '{name}' has dtype {dtype}, expected {wanted}")


def _is_kept(dtype: pl.DataType) -> bool:
    """Whether Parquet gives a column back with the dtype it had."""
    if isinstance(dtype, pl.List):
        return _is_kept(cast("pl.DataType", dtype.inner))
    if isinstance(dtype, pl.Struct):
        return all(_is_kept(cast("pl.DataType", field.dtype)) for field in dtype.fields)
    if isinstance(dtype, pl.Datetime):
        return dtype.time_zone in {None, "UTC"}
    if dtype.is_integer():
        return not isinstance(dtype, (pl.Int128, pl.UInt128))
    return dtype.is_float() or isinstance(dtype, _KEPT)
