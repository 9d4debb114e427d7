"""Times as others write them, to Datetime: exact, or an error that names the value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import polars as pl

from rangebar_polars._parse import batchwise, is_text, refused, wrong_dtype
from rangebar_polars._vendors import InputTimeUnit, Resolution
from rangebar_polars.exceptions import InvalidTradeError, RangeBarError

__all__ = ["time_expr"]

_DIGITS: Final[dict[InputTimeUnit, int]] = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_FIRST_SECOND: Final = 31_536_000  # 1971-01-01
_END_SECOND: Final = 7_258_118_400  # 2200-01-01
_ASK_UNIT: Final = "say what they count since 1970 with time_unit='ms' (or 's', 'us', 'ns')"
_FINER: Final = "is finer than a microsecond; ask for nanoseconds with resolution='ns'"
_NUMBER: Final = r"^[+-]?\d+(?:\.\d*)?$"
_ISO: Final = (
    r"^(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<minute>\d{2}:\d{2})(?::(?<second>\d{2})(?:[.,](?<fraction>\d{1,9}))?)?"
    r" ?(?<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_OFFSET: Final = r"^(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?$"


def time_expr(
    column: str,
    dtype: pl.DataType,
    *,
    units: Sequence[InputTimeUnit],
    resolution: Resolution,
    time_format: str | None,
) -> pl.Expr:
    """
    A time as Datetime. One that is not a Datetime yet comes out in UTC, without a zone.

    Parameters
    ----------
    column, dtype
        The column.
    units
        What numbers count since 1970. Of several, the one in which a number lies between 1971 and
        2200, which none does in two of them.
    resolution
        Of what comes out. Nanoseconds stay nanoseconds.
    time_format
        How text is to be read; None: by ISO 8601.
    """
    if isinstance(dtype, pl.Datetime):
        if dtype.time_unit in {resolution, "ns"}:
            return pl.col(column)
        return pl.col(column).cast(pl.Datetime(resolution, dtype.time_zone))
    options: dict[str, Any] = {"resolution": resolution}
    parse: Callable[..., pl.Series]
    if is_text(dtype) and time_format is not None:
        parse, options["time_format"] = _from_format, time_format
    elif is_text(dtype) or isinstance(dtype, pl.Decimal):
        parse, options["units"] = _from_text, units
    elif not (dtype.is_integer() or dtype.is_float()):
        raise wrong_dtype(column, dtype, "Datetimes, numbers, or text")
    elif not units:
        msg = f"column '{column}' holds numbers: {_ASK_UNIT}"
        raise RangeBarError(msg)
    elif dtype.is_float() and "ns" in units:
        raise wrong_dtype(column, dtype, "nanoseconds as integers, for a float rounds them")
    else:
        parse = _from_integers if dtype.is_integer() else _from_floats
        options["units"] = units
    return batchwise(column, parse, pl.Datetime(resolution), **options)


# What times are sensible


def _window(unit: InputTimeUnit) -> tuple[int, int]:
    scale = 10 ** _DIGITS[unit]
    return _FIRST_SECOND * scale, _END_SECOND * scale


def _fits(values: pl.Series, unit: InputTimeUnit) -> pl.Series:
    first, end = _window(unit)
    return ((values >= first) & (values < end)).fill_null(value=True)


def _wrong_unit(column: str, value: float, units: Sequence[InputTimeUnit]) -> InvalidTradeError:
    said = " or ".join(f"'{unit}'" for unit in units)
    problem = f"in {said} this lies before 1971 or after 2200; is the time unit right?"
    better: list[InputTimeUnit] = [
        unit for unit in _DIGITS if _window(unit)[0] <= value < _window(unit)[1]
    ]
    if better:
        seconds = int(value) // 10 ** _DIGITS[better[0]]
        day = pl.select(pl.from_epoch(pl.lit(seconds)).dt.date()).item()
        problem += f" With time_unit='{better[0]}' it lies on {day}"
    return refused(column, value, problem)


def _by_unit(
    values: pl.Series,
    column: str,
    units: Sequence[InputTimeUnit],
    convert: Callable[[pl.Series, InputTimeUnit], pl.Series],
) -> pl.Series:
    """Convert each value from the unit in which it is a sensible time."""
    fitting: dict[InputTimeUnit, pl.Series] = {unit: _fits(values, unit) for unit in units}
    for unit, fits in fitting.items():
        if fits.all():
            return convert(values, unit)
    result = pl.Series(values.name, [None], dtype=pl.Int64).new_from_index(0, values.len())
    unread = values.is_not_null()
    for unit, fits in fitting.items():
        result = convert(_only(values, fits), unit).zip_with(fits & unread, result)
        unread &= ~fits
    if unread.any():
        raise _wrong_unit(column, values.filter(unread)[0], units)
    return result


def _only(values: pl.Series, mask: pl.Series) -> pl.Series:
    return pl.select(pl.when(mask).then(values).alias(values.name)).to_series()


# Numbers


def _from_integers(
    values: pl.Series, column: str, units: Sequence[InputTimeUnit], resolution: Resolution
) -> pl.Series:
    def convert(some: pl.Series, unit: InputTimeUnit) -> pl.Series:
        digits = _DIGITS[resolution] - _DIGITS[unit]
        if digits >= 0:
            return some * 10**digits
        return _coarser(some, -digits, column, some)

    counts = _by_unit(values.cast(pl.Int64), column, units, convert)
    return counts.cast(pl.Datetime(resolution))


def _coarser(counts: pl.Series, digits: int, column: str, shown: pl.Series) -> pl.Series:
    rest = shown.filter(counts % 10**digits != 0)
    if rest.len():
        raise refused(column, rest[0], _FINER)
    return counts // 10**digits


def _from_floats(
    values: pl.Series, column: str, units: Sequence[InputTimeUnit], resolution: Resolution
) -> pl.Series:
    """
    The nearest time, which is the one that was meant.

    A float of seconds is no finer than a quarter of a microsecond in our century. Whole part and
    fraction apart: the difference is exact, while the product of a whole time is rounded.
    """

    def convert(some: pl.Series, unit: InputTimeUnit) -> pl.Series:
        scale = 10 ** (_DIGITS[resolution] - _DIGITS[unit])
        whole = some.floor()
        fraction = ((some - whole) * float(scale)).round()
        return whole.cast(pl.Int64) * scale + fraction.cast(pl.Int64)

    values = values.cast(pl.Float64)
    nonsense = values.filter(~values.is_finite())
    if nonsense.len():
        raise refused(column, nonsense[0], "is not a time")
    if resolution == "ns":
        # A float means the shortest decimal that rounds to it; its binary value has more digits.
        return _from_text(values.cast(pl.String), column, units, resolution)
    return _by_unit(values, column, units, convert).cast(pl.Datetime(resolution))


# Text


def _from_text(
    values: pl.Series, column: str, units: Sequence[InputTimeUnit], resolution: Resolution
) -> pl.Series:
    text = values.cast(pl.String)
    if units:
        whole = text.cast(pl.Int64, strict=False)
        if whole.null_count() == text.null_count():
            return _from_integers(whole, column, units, resolution)
    numbers = text.str.contains(_NUMBER)
    if not numbers.any():
        return _from_iso(text, column, resolution)
    if not units:
        raise refused(column, text.filter(numbers)[0], f"these are numbers: {_ASK_UNIT}")
    if not numbers.all():
        raise refused(column, text.filter(~numbers)[0], "is not a number, as other times are")
    return _from_decimals(text, column, units, resolution)


def _from_decimals(
    text: pl.Series, column: str, units: Sequence[InputTimeUnit], resolution: Resolution
) -> pl.Series:
    fraction = text.str.extract(r"\.(\d*)$").fill_null("").str.strip_chars_end("0")

    def convert(some: pl.Series, unit: InputTimeUnit) -> pl.Series:
        digits = max(_DIGITS[resolution] - _DIGITS[unit], 0)
        finer = text.filter((fraction.str.len_chars() > digits) & some.is_not_null())
        if finer.len():
            raise refused(column, finer[0], _FINER)
        padded = "0" + fraction.str.pad_end(digits, "0").str.head(digits)
        # Of a time since 1971: its sign is no concern.
        return some * 10**digits + padded.cast(pl.Int64)

    whole = text.str.extract(r"^\+?(-?\d+)").cast(pl.Int64)
    return _by_unit(whole, column, units, convert).cast(pl.Datetime(resolution))


def _from_iso(text: pl.Series, column: str, resolution: Resolution) -> pl.Series:
    parts = text.str.extract_groups(_ISO).struct.unnest()
    unread = text.filter(parts["day"].is_null() & text.is_not_null())
    if unread.len():
        problem = (
            "is not a time by ISO 8601 (2024-05-01T12:30:00.123Z); "
            "say how to read it with time_format='%d/%m/%Y %H:%M:%S'"
        )
        raise refused(column, unread[0], problem)
    clock = pl.format(
        "{} {}:{}",
        pl.col("day"),
        pl.col("minute").fill_null("00:00"),
        pl.col("second").fill_null("00"),
    ).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", strict=False)
    offset = pl.col("zone").str.extract_groups(_OFFSET).struct
    minutes = offset.field("hours").cast(pl.Int64) * 60
    minutes += offset.field("minutes").cast(pl.Int64).fill_null(0)
    east = pl.when(offset.field("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    counts = parts.select(
        seconds=clock.dt.epoch("s") - east * 60,
        nanoseconds=pl.col("fraction").fill_null("0").str.pad_end(9, "0").cast(pl.Int64),
    )
    impossible = text.filter(counts["seconds"].is_null() & text.is_not_null())
    if impossible.len():
        raise refused(column, impossible[0], "there is no such day or time of day")
    return _joined(counts["seconds"], counts["nanoseconds"], text, column, resolution)


def _from_format(
    values: pl.Series, column: str, resolution: Resolution, time_format: str
) -> pl.Series:
    text = values.cast(pl.String)
    times = text.str.to_datetime(time_format, time_unit="ns", strict=False)
    unread = text.filter(times.is_null() & text.is_not_null())
    if unread.len():
        raise refused(column, unread[0], f"is not a time as time_format='{time_format}' has it")
    counts = times.to_physical()
    return _joined(counts // 10**9, counts % 10**9, text, column, resolution)


def _joined(
    seconds: pl.Series, nanoseconds: pl.Series, text: pl.Series, column: str, resolution: Resolution
) -> pl.Series:
    outside = text.filter(~_fits(seconds, "s"))
    if outside.len():
        raise refused(column, outside[0], "lies before 1971 or after 2200")
    if resolution == "us":
        nanoseconds = _coarser(nanoseconds, 3, column, text)
    counts = seconds * 10 ** _DIGITS[resolution] + nanoseconds
    return counts.cast(pl.Datetime(resolution)).alias(text.name)
