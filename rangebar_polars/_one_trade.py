"""What the values of a single trade mean: its schema, its key, its time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, UTC
from typing import Any, Final, cast

import polars as pl

from rangebar_polars._options import Auto, TimeUnit, TradeColumns

__all__ = ["guessed_schema", "key_values_of", "ticks_of"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS: Final = {"ns": 1_000_000_000, "us": 1_000_000, "ms": 1_000}


def guessed_schema(
    columns: TradeColumns,
    given: dict[str, Any],
    by: list[str] | None,
    key_values: tuple[object, ...],
) -> pl.Schema:
    """What trades look like, by the first of them: `given` holds its values by part."""
    values: dict[str, Any] = {}
    for role, name in vars(columns).items():
        column = role if isinstance(name, Auto) else name
        if column is not None and given[role] is not None:
            values[column] = [float(given[role]) if role in ("price", "quantity") else given[role]]
    for name, value in zip(by or (), key_values, strict=True):
        values[name] = [value]
    return pl.DataFrame(values).schema


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


def ticks_of(timestamp: datetime, dtype: pl.DataType, time_unit: TimeUnit | None) -> int:
    """
    A time in the unit of the time column.

    Raises
    ------
    TypeError
        If the column holds integers and nobody said of what.
    """
    unit = (dtype.time_unit or "us") if isinstance(dtype, pl.Datetime) else time_unit
    if unit is None:
        msg = "a datetime for an Int64 timestamp needs time_unit='ns', 'us' or 'ms'"
        raise TypeError(msg)
    # A naive time is taken as it stands, as Polars does.
    aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    microseconds = (aware - _EPOCH) // timedelta(microseconds=1)
    return microseconds * _TICKS[unit] // 1_000_000
