"""One trade at a time: every value exact, or an error that names it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rangebar_polars as rb
from rangebar_polars._options import TimeUnit
from tests.support.compare import assert_same_bits

pd = pytest.importorskip("pandas")

TRADE: dict[str, Any] = {"price": 1.0, "quantity": 1.0}


def columns(dtype: pl.DataType) -> pl.Schema:
    return pl.Schema({"timestamp": dtype, "price": pl.Float64(), "quantity": pl.Float64()})


def opened_at(timestamp: object, dtype: pl.DataType, **options: Any) -> int:
    """The time that a bar begins with, as it stands in a column of this dtype."""
    processor: Any = rb.RangeBarProcessor(250, schema=columns(dtype), **options)
    processor.push_trade(timestamp=timestamp, **TRADE)
    return processor.open_bars()["open_time"].to_physical().item()


MOMENT = datetime(2024, 3, 10, 8, 9, 10, 125000)
IN_MS = 1_710_058_150_125

EXACT: dict[str, Any] = {
    "a datetime": MOMENT,
    "in UTC": MOMENT.replace(tzinfo=UTC),
    "in a zone": (MOMENT + timedelta(hours=2)).replace(tzinfo=timezone(timedelta(hours=2))),
    "of pandas": pd.Timestamp(MOMENT),
    "of pandas, in UTC": pd.Timestamp(MOMENT, tz="UTC"),
    "of pandas, in a zone": pd.Timestamp(MOMENT, tz="UTC").tz_convert("America/New_York"),
    "of numpy, ms": np.datetime64(MOMENT, "ms"),
    "of numpy, us": np.datetime64(MOMENT, "us"),
    "of numpy, ns": np.datetime64(MOMENT, "ns"),
    "of numpy, steps of 3 ms": np.array([IN_MS // 3]).astype("datetime64[3ms]")[0],
}

CLOCKS: dict[str, tuple[pl.DataType, dict[str, Any], int]] = {
    "ms": (pl.Datetime("ms"), {}, 1),
    "us": (pl.Datetime("us"), {}, 10**3),
    "ns": (pl.Datetime("ns"), {}, 10**6),
    "us, New York": (pl.Datetime("us", "America/New_York"), {}, 10**3),
    "integers of ms": (pl.Int64(), {"time_unit": "ms"}, 1),
    "integers of ns": (pl.Int64(), {"time_unit": "ns"}, 10**6),
}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_moment_is_the_same_however_it_is_written(clock: str) -> None:
    dtype, options, per_ms = CLOCKS[clock]
    for kind, moment in EXACT.items():
        assert opened_at(moment, dtype, **options) == IN_MS * per_ms, kind
    for integer in (np.int64, np.uint64, int):
        assert opened_at(integer(IN_MS * per_ms), dtype, **options) == IN_MS * per_ms


def test_hours_of_numpy_and_years_beyond_its_nanoseconds() -> None:
    for text, unit in (("2024-03-10T08", "h"), ("2024-03-10T08:09", "m"), ("2300-01-01T00", "s")):
        moment = np.datetime64(text, unit)
        assert opened_at(moment, pl.Datetime("us")) == int(
            moment.astype("datetime64[us]").astype(int)
        )
    # 584 years later numpy's own cast to nanoseconds has come round to where it began.
    late = np.datetime64("2608-10-01T00:00:00", "s")
    with pytest.raises(rb.InvalidTradeError, match="column 'timestamp': .*64 bits"):
        opened_at(late, pl.Datetime("ns"))
    assert opened_at(late, pl.Datetime("ms")) == int(late.astype(np.int64)) * 1000


@given(
    nanoseconds=st.integers(-(2**62), 2**62),
    unit=st.sampled_from(["ms", "us", "ns"]),
    written=st.sampled_from(["pandas", "numpy", "datetime"]),
)
def test_exact_or_an_error(nanoseconds: int, unit: TimeUnit, written: str) -> None:
    if written == "datetime":
        moment: Any = datetime(1970, 1, 1) + timedelta(microseconds=nanoseconds // 1000)
        nanoseconds -= nanoseconds % 1000
    else:
        moment = (
            pd.Timestamp(nanoseconds) if written == "pandas" else np.datetime64(nanoseconds, "ns")
        )
    each = {"ms": 10**6, "us": 10**3, "ns": 1}[unit]
    if nanoseconds % each == 0:
        assert opened_at(moment, pl.Datetime(unit)) == nanoseconds // each
    else:
        with pytest.raises(
            rb.InvalidTradeError, match=f"finer than '{unit}', the unit of"
        ) as raised:
            opened_at(moment, pl.Datetime(unit))
        assert raised.value.column == "timestamp"
        assert raised.value.value == str(moment)


def test_four_trades_within_one_microsecond() -> None:
    """As one instant they could not close a bar; they can, and do."""
    start = pd.Timestamp("2024-01-01 12:00:00.000001")
    times = [start + pd.Timedelta(i * 200, "ns") for i in range(4)]
    prices = [100.0, 101.0, 102.0, 103.5]
    frame = pl.DataFrame(
        {
            "timestamp": pl.Series([t.value for t in times]).cast(pl.Datetime("ns")),
            "price": prices,
            "quantity": 1.0,
        }
    )
    expected = rb.range_bars(frame, 250)
    assert expected.height == 2
    moments = {"pandas": times, "numpy": [t.to_datetime64() for t in times]}
    integers = {"int": [t.value for t in times], "numpy's": [np.int64(t.value) for t in times]}
    schemas: tuple[pl.Schema | None, ...] = (frame.schema, None)
    for written, schema in product([*moments.values(), *integers.values()], schemas):
        processor: Any = rb.RangeBarProcessor(250, schema=schema)
        bars = [
            processor.push_trade(timestamp=moment, price=price, quantity=1.0)
            for moment, price in zip(written, prices, strict=True)
        ]
        closed = pl.concat([frame for frame in bars if frame is not None])
        if schema is None and written in integers.values():
            closed = closed.with_columns(pl.col("open_time", "close_time").cast(pl.Datetime("ns")))
        assert_same_bits(closed, expected)
    # Into microseconds they do not go, and leave no trace.
    processor = rb.RangeBarProcessor(250, schema=columns(pl.Datetime("us")))
    processor.push_trade(timestamp=times[0], **TRADE)
    before = processor.checkpoint()
    for moment in (times[1], times[1].to_datetime64()):
        with pytest.raises(rb.InvalidTradeError, match="finer than 'us'"):
            processor.push_trade(timestamp=moment, **TRADE)
    assert processor.checkpoint() == before


REFUSED_TIMES: dict[str, tuple[Any, type[Exception], str]] = {
    "a flag": (True, TypeError, "timestamp must be a datetime or an integer .*True"),
    "a flag of numpy": (np.True_, TypeError, "timestamp must be .*True"),
    "a text": ("2024-01-01", TypeError, "timestamp must be .*'2024-01-01'"),
    "a float": (1.5, TypeError, "timestamp must be .*1.5"),
    "a Decimal": (Decimal(1), TypeError, "timestamp must be"),
    "a date": (date(2024, 1, 1), TypeError, "time of day, got the date 2024-01-01"),
    "a date of numpy": (
        np.datetime64("2024-01-01"),
        TypeError,
        "time of day, got the date 2024-01",
    ),
    "a month of numpy": (np.datetime64("2024-03"), TypeError, "time of day, got the date 2024-03"),
    "a duration": (timedelta(1), TypeError, "timestamp must be"),
    "a duration of numpy": (np.timedelta64(5, "s"), TypeError, "timestamp must be"),
    "no time of pandas": (pd.NaT, rb.InvalidTradeError, "timestamp must not be null, got NaT"),
    "no time of numpy": (
        np.datetime64("NaT", "ns"),
        rb.InvalidTradeError,
        "timestamp must not be null, got NaT",
    ),
    "nothing": (None, TypeError, "push_trade needs timestamp="),
    "beyond 64 bits": (2**63, rb.InvalidTradeError, "64 bits can hold, got 9223372036854775808"),
    "beyond 64 bits, of numpy": (np.uint64(2**63), rb.InvalidTradeError, "64 bits can hold"),
}


@pytest.mark.parametrize("kind", REFUSED_TIMES)
@pytest.mark.parametrize(
    "dtype", [pl.Datetime("ns"), pl.Datetime("us", "Asia/Tokyo"), pl.Int64()], ids=str
)
def test_what_is_not_a_time(kind: str, dtype: pl.DataType) -> None:
    moment, error, says = REFUSED_TIMES[kind]
    if dtype == pl.Int64():
        says = says.replace("a datetime or ", "")
    processor: Any = rb.RangeBarProcessor(250, schema=columns(dtype))
    processor.push_trade(timestamp=5, **TRADE)
    before = processor.checkpoint()
    with pytest.raises(error, match=says) as raised:
        processor.push_trade(timestamp=moment, **TRADE)
    if isinstance(raised.value, rb.InvalidTradeError):
        assert raised.value.column == "timestamp"
    assert processor.checkpoint() == before


def test_a_moment_for_a_column_of_integers_needs_a_unit() -> None:
    processor = rb.RangeBarProcessor(250, schema=columns(pl.Int64()))
    for moment in (MOMENT, pd.Timestamp(MOMENT), np.datetime64(MOMENT)):
        with pytest.raises(TypeError, match="Int64 column 'timestamp' needs time_unit="):
            processor.push_trade(timestamp=moment, **TRADE)


NUMBERS: dict[str, Any] = {
    "timestamp": 5,
    "price": 100.0,
    "quantity": 1.0,
    "is_buyer_maker": True,
    "agg_trade_id": 7,
    "first_trade_id": 10,
    "last_trade_id": 12,
}
SCHEMA = pl.Schema(
    {
        "timestamp": pl.Datetime("us"),
        "price": pl.Float64(),
        "quantity": pl.Float64(),
        "is_buyer_maker": pl.Boolean(),
        "agg_trade_id": pl.Int64(),
        "first_trade_id": pl.Int64(),
        "last_trade_id": pl.Int64(),
    }
)


def test_scalars_of_numpy_are_the_numbers_that_they_are() -> None:
    plain = rb.RangeBarProcessor(250, schema=SCHEMA)
    plain.push_trade(**NUMBERS)
    alike: dict[str, list[Any]] = {
        "timestamp": [np.int64(5), np.uint8(5), np.datetime64(5, "us")],
        "price": [np.float64(100), np.float32(100), np.int64(100), 100, Decimal(100)],
        "quantity": [np.float64(1), np.float32(1), np.uint16(1), 1],
        "is_buyer_maker": [np.True_],
        "agg_trade_id": [np.int64(7), np.uint64(7), np.int8(7)],
        "first_trade_id": [np.int32(10)],
        "last_trade_id": [np.uint32(12)],
    }
    for part, values in alike.items():
        for value in values:
            processor: Any = rb.RangeBarProcessor(250, schema=SCHEMA)
            processor.push_trade(**{**NUMBERS, part: value})
            assert_same_bits(processor.open_bars(), plain.open_bars())


BAD_NUMBERS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "price, a text": ({"price": "100"}, TypeError, "str"),
    "price, nothing": ({"price": None}, TypeError, "None"),
    "price, not a number": (
        {"price": np.float64("nan")},
        rb.InvalidTradeError,
        "'price', row 1: .*NaN",
    ),
    "price beyond a float": ({"price": 10**400}, rb.InvalidTradeError, "'price': .*1329 bits"),
    "quantity, a text": ({"quantity": "1"}, TypeError, "str"),
    "side, a text": ({"is_buyer_maker": "buy"}, TypeError, "str"),
    "side, a number": ({"is_buyer_maker": 1}, TypeError, "int"),
    "side, nothing": ({"is_buyer_maker": None}, TypeError, "push_trade needs is_buyer_maker="),
    "id, a float": ({"agg_trade_id": 8.0}, TypeError, "float"),
    "id, a text": ({"agg_trade_id": "8"}, TypeError, "str"),
    "id beyond 64 bits": (
        {"agg_trade_id": 2**64},
        rb.InvalidTradeError,
        "column 'agg_trade_id': agg_trade_id .*18446744073709551616",
    ),
    "last id beyond 64 bits": (
        {"last_trade_id": -(2**63) - 1},
        rb.InvalidTradeError,
        "'last_trade_id'",
    ),
}


@pytest.mark.parametrize("kind", BAD_NUMBERS)
def test_what_is_not_the_number_wanted(kind: str) -> None:
    changed, error, says = BAD_NUMBERS[kind]
    processor: Any = rb.RangeBarProcessor(250, schema=SCHEMA)
    processor.push_trade(**NUMBERS)
    before = processor.checkpoint()
    with pytest.raises(error, match=says):
        processor.push_trade(**{**NUMBERS, "agg_trade_id": 8, **changed})
    assert processor.checkpoint() == before
    processor.push_trade(**{**NUMBERS, "agg_trade_id": 8})


def test_a_first_trade_that_is_refused_settles_nothing() -> None:
    processor: Any = rb.RangeBarProcessor(250, by="symbol")
    before = processor.checkpoint()
    for bad in ({"price": -1.0}, {"timestamp": pd.NaT}, {"timestamp": 2**64}, {"price": "1"}):
        with pytest.raises((rb.InvalidTradeError, TypeError)):
            processor.push_trade(**{"timestamp": 1, **TRADE, "key": "A", **bad})
        assert processor.checkpoint() == before
    # Other columns, other keys, another clock than the refused ones had.
    frame = pl.DataFrame({"symbol": [1], "timestamp": [MOMENT], "price": [100], "quantity": [1]})
    processor.push(frame)
    assert processor.open_bars()["symbol"].to_list() == [1]
