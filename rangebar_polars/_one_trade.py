"""What the values of a single trade mean: its schema, its key, its time."""

from __future__ import annotations

import operator
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final, SupportsIndex, cast

import polars as pl
from polars.exceptions import PolarsError

from rangebar_polars._options import TimeUnit
from rangebar_polars._time import UNITS_PER_SECOND, instant_us
from rangebar_polars.columns import Auto, TradeColumns
from rangebar_polars.exceptions import InvalidTradeError, RangeBarError

__all__ = ["cache_key", "guessed_schema", "key_row", "ticks_of", "too_large"]

_DTYPES: Final[dict[str, pl.DataType]] = {
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "is_buyer_maker": pl.Boolean(),
    "agg_trade_id": pl.Int64(),
    "first_trade_id": pl.Int64(),
    "last_trade_id": pl.Int64(),
}


_NANOSECONDS: Final[dict[str, int | Fraction]] = {
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    **{unit: 10**9 // per_second for unit, per_second in UNITS_PER_SECOND.items()},
    "ps": Fraction(1, 10**3),
    "fs": Fraction(1, 10**6),
    "as": Fraction(1, 10**9),
}
"""Of numpy's units that say a time of day."""


_CACHED: Final = frozenset({str, int, bool, bytes, type(None)})
"""Types whose values equal no others of their type."""


def guessed_schema(
    columns: TradeColumns,
    given: dict[str, Any],
    by: list[str] | None,
    key: object,
) -> pl.Schema:
    """What trades look like, by the first of them: `given` holds its values by part."""
    key_values = _key_values(key, by)
    schema: dict[str, pl.DataType] = {}
    for role, name in vars(columns).items():
        column = role if isinstance(name, Auto) else name
        value = given.get(role)
        if column is not None and value is not None:
            schema[column] = _time_dtype(value) if role == "timestamp" else _DTYPES[role]
    for name, value in zip(by or (), key_values, strict=True):
        schema[name] = pl.Series([value]).dtype
    return pl.Schema(schema)


def _time_dtype(value: object) -> pl.DataType:
    """Of a column that can hold times such as this one."""
    if isinstance(value, datetime):
        seen = pl.Series([value]).dtype
        zone = seen.time_zone if isinstance(seen, pl.Datetime) else None
        return pl.Datetime("ns" if hasattr(value, "nanosecond") else "us", zone)
    return pl.Datetime("ns") if type(value).__name__ == "datetime64" else pl.Int64()


def _key_values(key: object, by: list[str] | None) -> tuple[object, ...]:
    """
    A value for each key column.

    Raises
    ------
    TypeError
        If there are fewer or more.
    """
    if by is None:
        return ()
    values = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
    if len(values) != len(by):
        msg = f"key must have a value for each of {by}, got {key!r}"
        raise TypeError(msg)
    return values


def cache_key(key: object) -> object:
    """
    What stands for a key in a dict, where nothing else equals it; else None.

    To Python 1, 1.0 and True are the same, and so are the two times of a clock that is set back. A
    text stands for itself.
    """
    if type(key) is str:
        return key
    if type(key) in _CACHED:
        return type(key), key
    if type(key) is tuple:
        values = cast("tuple[object, ...]", key)
        types = tuple(map(type, values))
        return (types, values) if _CACHED.issuperset(types) else None
    return None


def key_row(key: object, by: list[str], schema: pl.Schema) -> pl.DataFrame:
    """
    A row of the key columns.

    Raises
    ------
    TypeError, rangebar_polars.exceptions.RangeBarError
        For a key that the columns cannot hold as it is.
    """
    values = _key_values(key, by)
    return pl.DataFrame(
        [_key_column(name, value, schema[name]) for name, value in zip(by, values, strict=True)]
    )


def _key_column(name: str, value: object, dtype: pl.DataType) -> pl.Series:
    given = pl.Series(name, [value])
    if given.dtype == dtype:
        return given
    if _family(given.dtype) == _family(dtype) or value is None:
        try:
            column = given.cast(dtype, strict=True)
            # Neither rounded nor cut short.
            if column.cast(given.dtype, strict=True).equals(given, null_equal=True):
                return column
        except PolarsError:
            pass
    msg = f"column '{name}': key {value!r} is no value of {dtype}, which the column has"
    raise RangeBarError(msg)


def _family(dtype: pl.DataType) -> object:
    """Dtypes of a family have values in common."""
    if dtype.is_integer():
        return "integer"
    if dtype.is_float():
        return "float"
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        return "text"
    return type(dtype), isinstance(dtype, pl.Datetime) and dtype.time_zone is None


def ticks_of(timestamp: object, column: str, dtype: pl.DataType, time_unit: TimeUnit | None) -> int:
    """
    A time in the unit of the time column, exactly.

    Takes integers (of numpy, too) as they stand, and `datetime`, `pandas.Timestamp` and
    `numpy.datetime64` if the unit can hold them.

    Raises
    ------
    TypeError
        For anything else, such as a date, or if the column holds integers and nobody said of what.
    rangebar_polars.exceptions.InvalidTradeError
        For a time that the unit would cut short, or a NaT.
    """
    if timestamp != timestamp:  # The NaT of pandas and of numpy, and nothing else that may be here.
        msg = f"column '{column}': timestamp must not be null, got NaT"
        raise InvalidTradeError(msg, column, -1, "NaT")
    if hasattr(timestamp, "__index__") and not isinstance(timestamp, bool):
        return operator.index(cast("SupportsIndex", timestamp))
    nanoseconds = _nanoseconds(timestamp, column, dtype)
    unit = (dtype.time_unit or "us") if isinstance(dtype, pl.Datetime) else time_unit
    if unit is None:
        msg = f"{timestamp!r} for the Int64 column '{column}' needs time_unit='ns', 'us' or 'ms'"
        raise TypeError(msg)
    ticks, rest = divmod(nanoseconds, UNITS_PER_SECOND["ns"] // UNITS_PER_SECOND[unit])
    if rest:
        msg = (
            f"column '{column}': timestamp {timestamp} is finer than '{unit}', the unit of the "
            f"column; round it first, or make the processor with schema= that has a finer one"
        )
        raise InvalidTradeError(msg, column, -1, str(timestamp))
    return ticks


def _numpy_time(timestamp: Any) -> tuple[str, int]:
    """The unit of a `numpy.datetime64` and how many of them, as no cast can wrap; else no unit."""
    if type(timestamp).__name__ != "datetime64":
        return "", 0
    import numpy as np  # noqa: PLC0415 - only for those who have it: the value is numpy's own

    unit, each = np.datetime_data(timestamp.dtype)
    return unit, int(timestamp.astype(np.int64)) * each


def _nanoseconds(timestamp: object, column: str, dtype: pl.DataType) -> int | Fraction:
    """Nanoseconds since 1970."""
    if isinstance(timestamp, datetime):
        # A naive time is taken as it stands, as Polars does. A pandas.Timestamp is a datetime with
        # some nanoseconds more.
        return instant_us(timestamp) * 1000 + int(getattr(timestamp, "nanosecond", 0))
    unit, count = _numpy_time(timestamp)
    if unit in _NANOSECONDS:
        return count * _NANOSECONDS[unit]
    if unit or isinstance(timestamp, date):
        msg = f"timestamp must say a time of day, got the date {timestamp}; pass a datetime"
        raise TypeError(msg)
    wanted = "a datetime or an integer" if isinstance(dtype, pl.Datetime) else "an integer"
    msg = f"timestamp must be {wanted} for the column '{column}', got {timestamp!r}"
    raise TypeError(msg)


def too_large(numbers: dict[str, object], columns: dict[str, str]) -> InvalidTradeError:
    """
    The error for a trade with a number of more than 64 bits.

    `numbers` are its values by part, the time in units of the time column.
    """
    for role, column in columns.items():
        value: Any = numbers.get(role)
        if hasattr(value, "__index__") and not -(2**63) <= operator.index(value) < 2**63:
            # Python refuses to write integers of thousands of digits.
            bits = operator.index(value).bit_length()
            shown = str(value) if bits < 1000 else f"an integer of {bits} bits"
            msg = f"column '{column}': {role} is beyond what 64 bits can hold, got {shown}"
            return InvalidTradeError(msg, column, -1, shown)
    msg = "a number of the trade is beyond what 64 bits can hold"
    return InvalidTradeError(msg)
