"""Dtypes and keys as plain data, for checkpoints: written in JSON, and read with mistrust.

A dtype is its name, such as `"Int64"`, or an object with the name and what else tells it from
others, such as `{"Datetime": ["us", "UTC"]}`. A value is what Polars stores for it: a time is a
number of its unit, a Decimal and whatever may need more than 64 bits is a text, and so is a float.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, Final, cast

import polars as pl
from polars.datatypes import DataTypeClass

from rangebar_polars.exceptions import CheckpointError

__all__ = ["column_from_plain", "column_to_plain", "schema_from_plain", "schema_to_plain"]

_SIMPLE: Final[dict[str, DataTypeClass]] = {
    dtype.__name__: dtype
    for dtype in (
        *(pl.Boolean, pl.String, pl.Binary, pl.Date, pl.Time, pl.Null, pl.Categorical),
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.Int128),
        *(pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.UInt128),
        *(pl.Float16, pl.Float32, pl.Float64),
    )
}
_MOST_NESTED: Final = 16
_MOST_ELEMENTS: Final = 1 << 20
"""Of arrays of fixed width, which take memory without a byte of text."""
_NANOSECONDS_A_DAY: Final = 86_400 * 10**9


def schema_to_plain(schema: pl.Schema) -> list[list[Any]]:
    """Names and dtypes, in order."""
    return [[name, _dtype_to_plain(dtype)] for name, dtype in schema.items()]


def schema_from_plain(plain: Any) -> pl.Schema:
    """
    What `schema_to_plain` was given.

    Raises
    ------
    rangebar_polars.exceptions.CheckpointError
        For anything that it cannot have returned.
    """
    schema: dict[str, pl.DataType] = {}
    for name, dtype in _pairs(plain):
        if name in schema:
            msg = f"the checkpoint's schema has column {name!r} twice"
            raise CheckpointError(msg)
        schema[name] = _dtype_from_plain(dtype)
    return pl.Schema(schema)


def column_to_plain(column: pl.Series) -> list[Any]:
    """The values of a column."""
    stored = column.cast(_stored(column.dtype))
    return [_value_to_plain(value) for value in stored.to_list()]


def column_from_plain(name: str, plain: Any, dtype: pl.DataType) -> pl.Series:
    """
    What `column_to_plain` was given.

    Raises
    ------
    rangebar_polars.exceptions.CheckpointError
        For anything that it cannot have returned.
    """
    if not isinstance(plain, list):
        msg = f"the checkpoint's keys have no list of values for column {name!r}"
        raise CheckpointError(msg)
    rows = cast("list[Any]", plain)
    width = _elements(dtype)
    if width > 1 and width * _count(rows) > _MOST_ELEMENTS:
        msg = f"the checkpoint's key column {name!r} is too wide"
        raise CheckpointError(msg)
    try:
        values = [_value_from_plain(value, dtype) for value in rows]
        stored = pl.Series(name, values, dtype=_stored(dtype), strict=True)
        column = stored.cast(dtype, strict=True)
        # Whatever was rounded, wrapped or guessed on the way does not come out as it went in.
        same = column_to_plain(column) == rows
    except Exception as error:
        msg = f"the checkpoint's keys do not fit column {name!r} of {dtype}: {error}"
        raise CheckpointError(msg) from error
    if not same or column.dtype != dtype:
        msg = f"the checkpoint's keys do not fit column {name!r} of {dtype}"
        raise CheckpointError(msg)
    return column


def _dtype_to_plain(dtype: pl.DataType) -> Any:
    match dtype:
        case pl.Datetime():
            return {"Datetime": [dtype.time_unit, dtype.time_zone]}
        case pl.Duration():
            return {"Duration": dtype.time_unit}
        case pl.Decimal():
            return {"Decimal": [dtype.precision, dtype.scale]}
        case pl.Enum():
            return {"Enum": dtype.categories.to_list()}
        case pl.Categorical() if not dtype.categories.is_global():
            cats = dtype.categories
            return {"Categorical": [cats.name(), cats.namespace(), str(cats.physical())]}
        case pl.List():
            return {"List": _dtype_to_plain(_instance(dtype.inner))}
        case pl.Array():
            return {"Array": [_dtype_to_plain(_instance(dtype.inner)), dtype.size]}
        case pl.Struct():
            fields = dtype.fields
            return {"Struct": [[f.name, _dtype_to_plain(_instance(f.dtype))] for f in fields]}
        case _:
            name = type(dtype).__name__
            if name not in _SIMPLE:
                msg = f"a checkpoint cannot hold a column of {dtype}; cast it first"
                raise CheckpointError(msg)
            return name


def _dtype_from_plain(plain: Any, depth: int = 0) -> pl.DataType:
    if isinstance(plain, str) and plain in _SIMPLE:
        return _SIMPLE[plain]()
    given = cast("dict[str, Any]", plain) if isinstance(plain, dict) else {}
    name = next(iter(given), "")
    if len(given) == 1 and name in _OTHERS and depth < _MOST_NESTED:
        try:
            return _OTHERS[name](given[name], depth + 1)
        except CheckpointError:
            raise
        except Exception as error:
            msg = f"the checkpoint's {name} makes no dtype: {error}"
            raise CheckpointError(msg) from error
    msg = f"the checkpoint has an unknown dtype: {json.dumps(plain)[:100]}"
    raise CheckpointError(msg)


def _datetime(given: Any, _: int) -> pl.DataType:
    unit, zone = given
    dtype = pl.Datetime(unit, zone)
    # Only a value tells whether there is such a zone.
    return pl.Series([0]).cast(dtype).dtype


def _categorical(given: Any, _: int) -> pl.DataType:
    name, namespace, physical = given
    sizes = {"UInt8": pl.UInt8, "UInt16": pl.UInt16, "UInt32": pl.UInt32}
    return pl.Categorical(pl.Categories(name, namespace, sizes[physical]))


def _array(given: Any, depth: int) -> pl.DataType:
    inner, width = given
    dtype = pl.Array(_dtype_from_plain(inner, depth), _size(width))
    if _elements(dtype) > _MOST_ELEMENTS:
        msg = "the checkpoint has an Array that is too wide"
        raise CheckpointError(msg)
    return dtype


def _struct(given: Any, depth: int) -> pl.DataType:
    fields = [pl.Field(name, _dtype_from_plain(dtype, depth)) for name, dtype in _pairs(given)]
    if len({field.name for field in fields}) < len(fields):
        msg = "the checkpoint has a Struct with two fields of one name"
        raise CheckpointError(msg)
    return pl.Struct(fields)


_OTHERS: Final[dict[str, Callable[[Any, int], pl.DataType]]] = {
    "Datetime": _datetime,
    "Duration": lambda unit, _: pl.Duration(unit),
    "Decimal": lambda given, _: pl.Decimal(_size(given[0]), _size(given[1])),
    "Enum": lambda given, _: pl.Enum(pl.Series(given, dtype=pl.String, strict=True)),
    "Categorical": _categorical,
    "List": lambda inner, depth: pl.List(_dtype_from_plain(inner, depth)),
    "Array": _array,
    "Struct": _struct,
}


def _size(given: Any) -> int:
    if type(given) is not int or not 0 <= given <= _MOST_ELEMENTS:
        msg = f"the checkpoint's dtypes have a size of {str(given)[:100]}"
        raise CheckpointError(msg)
    return given


def _elements(dtype: pl.DataType) -> int:
    """How many values a row takes although it may be null."""
    match dtype:
        case pl.Array():
            return dtype.size * _elements(_instance(dtype.inner))
        case pl.Struct():
            return max(1, sum(_elements(_instance(field.dtype)) for field in dtype.fields))
        case pl.List():
            return _elements(_instance(dtype.inner))
        case _:
            return 1


def _count(plain: Any) -> int:
    items = cast("list[Any]", plain) if isinstance(plain, list) else []
    return 1 + sum(_count(item) for item in items)


def _pairs(plain: Any) -> list[tuple[str, Any]]:
    given = cast("list[Any]", plain) if isinstance(plain, list) else [plain]
    pairs: list[tuple[str, Any]] = []
    for pair in given:
        match pair:
            case [str(name), dtype]:
                pairs.append((name, dtype))
            case _:
                msg = "the checkpoint's schema is not a list of names and dtypes"
                raise CheckpointError(msg)
    return pairs


def _instance(dtype: Any) -> pl.DataType:
    return dtype() if isinstance(dtype, DataTypeClass) else dtype


def _stored(dtype: pl.DataType) -> pl.DataType:
    """The dtype of what is written for a value."""
    match dtype:
        case pl.Date():
            return pl.Int32()
        case pl.Time() | pl.Datetime() | pl.Duration():
            return pl.Int64()
        case pl.Decimal() | pl.Categorical() | pl.Enum() | pl.Int128() | pl.UInt128():
            return pl.String()
        case pl.Float16() | pl.Float32():
            return pl.Float64()
        case pl.List():
            return pl.List(_stored(_instance(dtype.inner)))
        case pl.Array():
            return pl.Array(_stored(_instance(dtype.inner)), dtype.size)
        case pl.Struct():
            return pl.Struct(
                [pl.Field(field.name, _stored(_instance(field.dtype))) for field in dtype.fields]
            )
        case _:
            return dtype


def _value_to_plain(value: Any) -> Any:
    match value:
        case float():
            return repr(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case dict():
            fields = cast("dict[str, Any]", value)
            return [_value_to_plain(field) for field in fields.values()]
        case list():
            return [_value_to_plain(item) for item in cast("list[Any]", value)]
        case _:
            return value


def _value_from_plain(plain: Any, dtype: pl.DataType) -> Any:
    if plain is None:
        return None
    match dtype:
        case pl.Float16() | pl.Float32() | pl.Float64():
            return float(_text(plain))
        case pl.Binary():
            return base64.b64decode(_text(plain), validate=True)
        case pl.Struct():
            fields = dtype.fields
            values = zip(fields, _list(plain), strict=True)
            return {f.name: _value_from_plain(v, _instance(f.dtype)) for f, v in values}
        case pl.List() | pl.Array():
            return [_value_from_plain(item, _instance(dtype.inner)) for item in _list(plain)]
        case pl.Time() if not 0 <= plain < _NANOSECONDS_A_DAY:
            msg = f"{plain} is no time of day"
            raise ValueError(msg)
        case _:
            return plain


def _text(plain: Any) -> str:
    if not isinstance(plain, str):
        msg = f"expected a text, got {str(plain)[:100]}"
        raise TypeError(msg)
    return plain


def _list(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        msg = f"expected a list, got {str(plain)[:100]}"
        raise TypeError(msg)
    return cast("list[Any]", plain)
