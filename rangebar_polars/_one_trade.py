"""What the values of a single trade mean: its schema, its key, its time."""

from __future__ import annotations

import operator
from datetime import date, datetime
from typing import Any, Final, SupportsIndex, cast

import polars as pl

from rangebar_polars._options import TimeUnit
from rangebar_polars._time import UNITS_PER_SECOND, instant_us
from rangebar_polars.columns import Auto, TradeColumns
from rangebar_polars.exceptions import InvalidTradeError

__all__ = ["guessed_schema", "key_values_of", "ticks_of"]

_DTYPES: Final[dict[str, pl.DataType]] = {
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "is_buyer_maker": pl.Boolean(),
    "agg_trade_id": pl.Int64(),
    "first_trade_id": pl.Int64(),
    "last_trade_id": pl.Int64(),
}


def guessed_schema(
    columns: TradeColumns,
    given: dict[str, Any],
    by: list[str] | None,
    key_values: tuple[object, ...],
) -> pl.Schema:
    """What trades look like, by the first of them: `given` holds its values by part."""
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


def key_values_of(key: object, by: list[str] | None) -> tuple[object, ...]:
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


def ticks_of(timestamp: object, column: str, dtype: pl.DataType, time_unit: TimeUnit | None) -> int:
    """
    A time in the unit of the time column, exactly.

    Takes integers (of numpy, too) as they stand, and `datetime`, `pandas.Timestamp` and
    `numpy.datetime64` if the unit can hold them.

    Raises
    ------
    TypeError
        For anything else, or if the column holds integers and nobody said of what.
    rangebar_polars.exceptions.InvalidTradeError
        For a time that the unit would cut short.
    """
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


def _nanoseconds(timestamp: object, column: str, dtype: pl.DataType) -> int:
    """Nanoseconds since 1970."""
    if isinstance(timestamp, datetime):
        # A naive time is taken as it stands, as Polars does. A pandas.Timestamp is a datetime with
        # some nanoseconds more.
        return instant_us(timestamp) * 1000 + int(getattr(timestamp, "nanosecond", 0))
    if type(timestamp).__name__ == "datetime64":
        count: Any = timestamp
        try:
            return int(count.astype("datetime64[ns]").astype("int64"))
        except (TypeError, ValueError, OverflowError) as error:
            msg = f"timestamp {timestamp!r} cannot be read as a time: {error}"
            raise TypeError(msg) from error
    if isinstance(timestamp, date):
        msg = f"timestamp must say a time of day, got the date {timestamp}; pass a datetime"
        raise TypeError(msg)
    wanted = "a datetime or an integer" if isinstance(dtype, pl.Datetime) else "an integer"
    msg = f"timestamp must be {wanted} for the column '{column}', got {timestamp!r}"
    raise TypeError(msg)
