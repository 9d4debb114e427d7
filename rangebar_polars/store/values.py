"""Values on their way into the store: converted exactly, or refused by row.

Every batch of every write comes through `to_stored`; what is in the store's dtypes already costs
a look at the extremes of each column.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

import polars as pl

from rangebar_polars._time import DAY_US, UNITS_PER_SECOND, instant_of
from rangebar_polars.exceptions import InvalidTradeError
from rangebar_polars.store.columns import ID, ROLES, Columns
from rangebar_polars.store.typed import as_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["to_stored"]

_TIME: Final = pl.Datetime("us")
_INT64: Final = 2**63
_EXACT: Final = 2**53
"""Float64 holds every whole number up to this."""
_TOLD_APART: Final = 2**52
"""Below this many units, two decimals never are one Float64."""
_MAX_SCALE: Final = 22
"""Powers of ten up to this one are exact as Float64."""

_ANY_YEAR: Final = (-719_162, 2_932_897)
_LIKELY: Final = (365, 84_371)
"""Days since 1970: of the years 1 to 9999, and of 1971 to 2200; the end is exclusive."""


def to_stored(batch: pl.DataFrame, row: int, columns: Columns) -> pl.DataFrame:
    """Return a batch in the store's dtypes; ``row`` is where it begins in the stream.

    Raises
    ------
    InvalidTradeError
        Names column, row and value: nulls, what no trade can be, and what would change.
    """
    made: list[pl.Series] = []
    for values in batch.iter_columns():
        name = values.name
        column = _Column(values, columns.given(name), row)
        if name in ROLES:
            column.refuse(values.is_null, "must not be null", nulls=True)
        if name == "timestamp":
            made.append(_times(column, columns))
        elif name == "price":
            floats = _floats(column, columns.decimals)
            column.refuse_unless_finite(floats, floats > 0, "must be finite and above 0")
            made.append(floats)
        elif name == "quantity":
            floats = _floats(column, None)
            column.refuse_unless_finite(floats, floats >= 0, "must be finite and not negative")
            made.append(floats)
        elif name == ID or name.endswith("_trade_id"):
            made.append(_integers(column))
        else:
            made.append(values)
    return pl.DataFrame(made)


class _Column:
    """A column of a batch, which knows how to name a bad value in it."""

    def __init__(self, values: pl.Series, name: str, row: int) -> None:
        self.values = values
        self.name = name
        self.row = row

    def refuse(self, bad: Callable[[], pl.Series], rule: str, *, nulls: bool = False) -> None:
        """Refuse the first value that ``bad`` marks."""
        if nulls and not self.values.null_count():
            return
        marks = bad()
        if marks.any():
            self.refuse_at(marks.arg_max() or 0, rule)

    def refuse_unless_finite(self, floats: pl.Series, good: pl.Series, rule: str) -> None:
        # Faster than asking each; a sum that overflows is looked at closer, and found good.
        if not (math.isfinite(floats.sum()) and good.all()):
            self.refuse(lambda: ~(floats.is_finite() & good), rule)

    def refuse_at(self, at: int, rule: str, value: str | None = None) -> None:
        """Raise for the value at ``at``."""
        if value is None:
            value = "null" if self.values[at] is None else str(self.values[at])
            value = "NaN" if value == "nan" else value
        row = self.row + at
        msg = f"column '{self.name}', row {row}: {self.values.name} {rule}, got {value}"
        raise InvalidTradeError(msg, self.name, row, value)


def _times(column: _Column, columns: Columns) -> pl.Series:
    """Naive microseconds in UTC."""
    values = column.values
    dtype = values.dtype
    unit = (dtype.time_unit or "us") if isinstance(dtype, pl.Datetime) else columns.time_unit
    per_second = UNITS_PER_SECOND[unit or "us"]
    # Of a Datetime with a zone this is UTC already.
    ticks = values.to_physical()
    bounds = _ANY_YEAR if columns.time_unit is None else _LIKELY
    low, high = (day * DAY_US // 1_000_000 * per_second for day in bounds)
    least, most = _extremes(ticks)
    if least < low or most >= high:
        wide = as_dtype(ticks, pl.Int128)
        outside = ~wide.is_between(_int128(low), _int128(high), closed="left")
        at = outside.arg_max() or 0
        column.refuse_at(at, *_outside(int(ticks[at]), per_second, columns.time_unit))
    if per_second > UNITS_PER_SECOND["us"]:
        column.refuse(
            lambda: (ticks % 1000) != 0, "must be whole microseconds, which is what the store keeps"
        )
        return as_dtype(as_dtype(ticks, pl.Int64) // 1000, _TIME)
    if dtype == _TIME:
        return values
    return as_dtype(as_dtype(ticks, pl.Int64) * (UNITS_PER_SECOND["us"] // per_second), _TIME)


def _outside(tick: int, per_second: int, time_unit: str | None) -> tuple[str, str]:
    """What is wrong with a time, and how to write it."""
    try:
        shown = instant_of(tick * UNITS_PER_SECOND["us"] // per_second).isoformat(" ")
    except OverflowError:
        shown = "outside the years 1 to 9999"
    if time_unit is None:
        return "must lie in the years 1 to 9999, which the store keeps", str(tick)
    rule = f"must lie in the years 1971 to 2200: is time_unit={time_unit!r} right?"
    return f"{rule} As such it is {shown}", str(tick)


def _floats(column: _Column, decimals: int | None) -> pl.Series:
    """Float64 that is what was given; ``decimals`` are those a Decimal may have."""
    values = column.values
    dtype = values.dtype
    if dtype == pl.Float64:
        return values
    if isinstance(dtype, pl.Decimal):
        return _of_decimals(column, dtype.scale, decimals)
    floats = as_dtype(values, pl.Float64)
    if dtype.is_integer():
        least, most = _extremes(values)
        if max(-least, most) > _EXACT:
            column.refuse(
                lambda: as_dtype(floats, pl.Int128).ne_missing(as_dtype(values, pl.Int128)),
                "cannot be stored exactly: Float64 holds every whole number up to 2**53 only",
            )
    return floats


def _of_decimals(column: _Column, scale: int, decimals: int | None) -> pl.Series:
    units = column.values.to_physical()
    name = column.values.name
    if decimals is not None and scale > decimals:
        step = _int128(10 ** (scale - decimals))
        column.refuse(
            lambda: _series(pl.lit(units) % step != _int128(0)),
            f"cannot be stored exactly with decimals={decimals} (decimals goes up to 12)",
        )
        units, scale = _series(pl.lit(units) // step), decimals
    scales = pl.repeat(scale, units.len(), dtype=pl.Int64, eager=True)
    # Zeros at the end take digits for nothing.
    while True:
        least, most = _extremes(units)
        if max(-least, most) < _TOLD_APART and _extremes(scales)[1] <= _MAX_SCALE:
            break
        shorter = _series((pl.lit(units) % _int128(10) == _int128(0)) & pl.lit(scales > 0))
        if not shorter.any():
            break
        units = _series(
            pl.when(shorter).then(pl.lit(units) // _int128(10)).otherwise(pl.lit(units))
        )
        scales = _series(pl.lit(scales) - pl.lit(as_dtype(shorter, pl.Int64)))
    fits = pl.lit(units).is_between(_int128(-_TOLD_APART), _int128(_TOLD_APART), closed="none")
    column.refuse(
        lambda: ~_series(fits & pl.lit(scales <= _MAX_SCALE)),
        "has more digits than Float64 tells apart: round it to 15 significant digits",
    )
    divisors = pl.Series([10.0**power for power in range(_MAX_SCALE + 1)]).gather(scales)
    # Columns divide columns: by a constant Polars is not exact.
    return (as_dtype(units, pl.Float64) / divisors).rename(name)


def _integers(column: _Column) -> pl.Series:
    values = column.values
    if values.dtype == pl.Int64:
        return values
    least, most = _extremes(values)
    if least < -_INT64 or most >= _INT64:
        column.refuse(
            lambda: as_dtype(values, pl.Int64, strict=False).is_null() & values.is_not_null(),
            "must fit a signed integer of 64 bits",
        )
    return as_dtype(values, pl.Int64)


def _extremes(values: pl.Series) -> tuple[int, int]:
    least, most = values.min(), values.max()
    return cast("int", least or 0), cast("int", most or 0)


def _int128(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.Int128)


def _series(expr: pl.Expr) -> pl.Series:
    return pl.select(expr).to_series()
