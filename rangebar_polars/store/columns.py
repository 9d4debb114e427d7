"""What a user's frame must look like, and how a batch of it becomes a batch of the store's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl
from polars.exceptions import ColumnNotFoundError

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store.grid import DIVISOR, UNITS
from rangebar_polars.store.typed import as_dtype

__all__ = ["ID", "Names", "TimeUnit", "check_batch", "normalise"]

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

ID = "agg_trade_id"
"""The column every file is sorted by, and in which no value stands twice."""

_TIME = pl.Datetime("us")
_TO_US = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True)
class Names:
    """Names of the main columns in the user's frame."""

    timestamp: str
    price: str
    quantity: str | None
    agg_trade_id: str

    def pairs(self) -> list[tuple[str, str]]:
        """Return (name in the store, name in the frame), for those in use."""
        pairs = [("timestamp", self.timestamp), ("price", self.price)]
        if self.quantity is not None:
            pairs.append(("quantity", self.quantity))
        return [*pairs, (ID, self.agg_trade_id)]


def normalise(frame: pl.LazyFrame, names: Names, time_unit: TimeUnit | None) -> pl.LazyFrame:
    """Rename and cast to the store's columns.

    Raises
    ------
    ColumnNotFoundError
        Where a named column is missing.
    RangeBarError
        Where a column's dtype cannot hold what it should.
    """
    schema = frame.collect_schema()
    pairs = names.pairs()
    for stored, given in pairs:
        if given not in schema:
            hint = ""
            if stored == ID:
                hint = "; the store sorts and de-duplicates by it (with_row_index can make one)"
            msg = f"column '{given}' not found: the frame has {schema.names()}{hint}"
            raise ColumnNotFoundError(msg)
    taken = {given for _, given in pairs}
    exprs: list[pl.Expr] = []
    for stored, given in pairs:
        dtype = schema[given]
        if stored == "timestamp":
            exprs.append(_time(given, dtype, time_unit).alias(stored))
        elif stored == ID:
            exprs.append(_integer(given, dtype).alias(stored))
        else:
            if not dtype.is_numeric():
                raise _dtype_error(given, dtype, "a number")
            exprs.append(pl.col(given).cast(pl.Float64).alias(stored))
    for name, dtype in schema.items():
        if name in taken:
            continue
        if name in (UNITS, DIVISOR):
            msg = f"column '{name}' is named like one that the store adds itself: rename or drop it"
            raise RangeBarError(msg)
        if any(name == stored for stored, _ in pairs):
            msg = f"column '{name}' stands in the way of '{dict(pairs)[name]}': rename or drop it"
            raise RangeBarError(msg)
        if name == "is_buyer_maker" and dtype != pl.Boolean:
            raise _dtype_error(name, dtype, "Boolean")
        exprs.append(_integer(name, dtype) if name.endswith("_trade_id") else pl.col(name))
    return frame.select(exprs)


def _dtype_error(name: str, dtype: pl.DataType, wanted: str) -> RangeBarError:
    return RangeBarError(f"column '{name}' has dtype {dtype}, expected {wanted}")


def _integer(name: str, dtype: pl.DataType) -> pl.Expr:
    if not dtype.is_integer():
        raise _dtype_error(name, dtype, "an integer")
    return pl.col(name).cast(pl.Int64)


def _time(name: str, dtype: pl.DataType, time_unit: TimeUnit | None) -> pl.Expr:
    """Naive microseconds in UTC; nanoseconds stay as they are until `check_batch` saw them."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return column if dtype.time_unit == "ns" else column.cast(_TIME)
    if not dtype.is_integer():
        raise _dtype_error(name, dtype, "Datetime or an integer")
    if time_unit is None:
        msg = f"column '{name}' has dtype {dtype}: say what it counts with time_unit='ms', ..."
        raise RangeBarError(msg)
    if time_unit == "ns":
        return column.cast(pl.Int64).cast(pl.Datetime("ns"))
    return (column.cast(pl.Int64) * _TO_US[time_unit]).cast(_TIME)


def check_batch(batch: pl.DataFrame, row: int) -> pl.DataFrame:
    """Refuse what no trade can be; `row` is where the batch begins in the stream.

    Raises
    ------
    InvalidTradeError
        Names column, row and value.
    """
    for name in ("timestamp", "price", "quantity", ID):
        if name in batch.columns:
            values = batch[name]
            if values.null_count():
                _refuse(values.is_null(), values, row, "must not be null")
    price = batch["price"]
    if not _all_finite(price) or bool((price <= 0).any()):
        _refuse(~(price.is_finite() & (price > 0)), price, row, "must be finite and above 0")
    if "quantity" in batch.columns:
        quantity = batch["quantity"]
        if not _all_finite(quantity) or bool((quantity < 0).any()):
            good = quantity.is_finite() & (quantity >= 0)
            _refuse(~good, quantity, row, "must be finite and not negative")
    time = batch["timestamp"]
    if time.dtype == pl.Datetime("ns"):
        lost = (time.to_physical() % 1000) != 0
        _refuse(lost, time, row, "must be whole microseconds, which is what the store keeps")
        batch = batch.with_columns(as_dtype(time, _TIME))
    return batch


def _all_finite(values: pl.Series) -> bool:
    # Faster than asking each; a sum that overflows is looked at closer, and found good.
    return math.isfinite(values.sum())


def _refuse(bad: pl.Series, values: pl.Series, row: int, rule: str) -> None:
    if not bad.any():
        return
    at = bad.arg_max() or 0
    value = "null" if values[at] is None else str(values[at])
    if value == "nan":
        value = "NaN"
    name = values.name
    msg = f"column '{name}', row {row + at}: {name} {rule}, got {value}"
    raise InvalidTradeError(msg, name, row + at, value)
