"""Every bad input is the promised error, from the expression, the LazyFrame and the DataFrame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError, ComputeError, DuplicateError

import rangebar_polars as rb
from tests.support.doors import DOORS, FRAME_DOORS, ID_DOORS, keeps_type
from tests.support.sources import batched

NAN, INF = float("nan"), float("inf")


def good(**changed: list[Any] | pl.Series) -> pl.DataFrame:
    """Six valid trades, with some columns replaced."""
    columns: dict[str, Any] = {
        "timestamp": [1, 2, 3, 4, 5, 6],
        "price": [100.0, 101.0, 102.0, 103.0, 104.0, 105.0],
        "quantity": [1.0, 2.0, 0.0, 4.0, 5.0, 6.0],
    }
    return pl.DataFrame({**columns, **changed}, strict=False)


def with_value(column: str, row: int, value: float | None) -> pl.DataFrame:
    values: list[Any] = good()[column].to_list()
    values[row] = value
    dtype = pl.Float64 if column != "timestamp" else pl.Int64
    return good().with_columns(pl.Series(column, values, dtype=dtype))


@dataclass(frozen=True)
class BadTrade:
    """A frame with one bad value, and what the error must say of it."""

    frame: pl.DataFrame
    column: str
    row: int
    says: str


def bad_value(column: str, row: int, value: float | None, says: str) -> BadTrade:
    return BadTrade(with_value(column, row, value), column, row, says)


BAD_TRADES = {
    "null price": bad_value("price", 3, None, "null"),
    "NaN price": bad_value("price", 3, NAN, "NaN"),
    "infinite price": bad_value("price", 0, INF, "inf"),
    "minus infinite price": bad_value("price", 5, -INF, "-inf"),
    "price of zero": bad_value("price", 2, 0.0, "0"),
    "negative price": bad_value("price", 2, -1.5, "-1.5"),
    "price below the grid": bad_value("price", 4, 4e-9, "4e-9|0.000000004"),
    "price that would round up to the grid": bad_value("price", 4, 9e-9, "9e-9|0.000000009"),
    "price beyond the grid": bad_value("price", 1, 1e11, "1e11|100000000000"),
    "price far beyond the grid": bad_value("price", 1, 1e300, "1e300|1" + "0" * 20),
    "null quantity": bad_value("quantity", 3, None, "null"),
    "NaN quantity": bad_value("quantity", 3, NAN, "NaN"),
    "infinite quantity": bad_value("quantity", 0, INF, "inf"),
    "negative quantity": bad_value("quantity", 5, -0.25, "-0.25"),
    "quantity beyond the grid": bad_value("quantity", 2, 1e300, "1e300|1" + "0" * 20),
    "null timestamp": bad_value("timestamp", 2, None, "null"),
    "time going backwards": bad_value("timestamp", 3, 2, "2"),
    "negative decimal quantity": BadTrade(
        good(quantity=pl.Series([Decimal("1.5"), Decimal("-2.5")] * 3)), "quantity", 1, "-2.5"
    ),
    "negative integer price": BadTrade(good(price=[5, 5, 5, -7, 5, 5]), "price", 3, "-7"),
    "null side": BadTrade(
        good(is_buyer_maker=[True, False, None, True, True, True]), "is_buyer_maker", 2, "null"
    ),
    "null aggregate id": BadTrade(
        good(agg_trade_id=[1, 2, 3, 4, None, 6]), "agg_trade_id", 4, "null"
    ),
    "null trade id": BadTrade(
        good(first_trade_id=[1, 2, 3, 4, 5, 6], last_trade_id=[1, 2, 3, None, 5, 6]),
        "last_trade_id",
        3,
        "null",
    ),
}


@pytest.mark.parametrize("bad", BAD_TRADES.values(), ids=BAD_TRADES)
def test_a_bad_trade_is_named(bad: BadTrade) -> None:
    said: dict[str, str] = {}
    for label, door in DOORS.items():
        with pytest.raises(ComputeError, match=bad.says) as raised:
            door(bad.frame, 250)
        assert f"column '{bad.column}', row {bad.row}: " in str(raised.value), label
        said[label] = str(raised.value)
        if keeps_type(label):
            assert isinstance(raised.value, rb.InvalidTradeError), label
            assert raised.value.column == bad.column
            assert raised.value.row == bad.row
    message = said["DataFrame"]
    for label, text in said.items():
        if keeps_type(label):
            assert message == text, label
        else:
            assert message in text, label  # Polars may put its own words around a plugin's


@pytest.mark.parametrize("bad", BAD_TRADES.values(), ids=BAD_TRADES)
def test_a_bad_trade_is_named_by_bar_ids_too(bad: BadTrade) -> None:
    if bad.column not in ("timestamp", "price"):
        return  # bar ids read nothing else
    place = f"column '{bad.column}', row {bad.row}: "
    with pytest.raises(ComputeError, match=bad.says) as raised:
        bad.frame.select(rb.bar_id(rule=250))
    assert place in str(raised.value)
    for door in ID_DOORS.values():
        with pytest.raises(ComputeError, match=bad.says) as raised:
            door(bad.frame, 250)
        assert place in str(raised.value)


def test_the_exact_words() -> None:
    frame = with_value("price", 3, NAN)
    for door in DOORS.values():
        with pytest.raises(ComputeError) as raised:
            door(frame, 250)
        assert "column 'price', row 3: price must be finite, got NaN" in str(raised.value)


def test_a_column_goes_by_the_users_name() -> None:
    frame = with_value("price", 3, NAN).rename({"price": "last px"})
    for label, door in DOORS.items():
        with pytest.raises(ComputeError, match="column 'last px', row 3: ") as raised:
            door(frame, 250, columns={"price": "last px"})
        if keeps_type(label):
            assert isinstance(raised.value, rb.InvalidTradeError)
            assert raised.value.column == "last px"


def test_rows_count_from_the_start_of_the_stream() -> None:
    many = pl.concat([good()] * 100).with_columns(timestamp=pl.int_range(pl.len()))
    row = pl.int_range(many.height, eager=True)
    bad = many.with_columns(price=pl.when(row == 571).then(-3.0).otherwise("price"))
    for lengths in ([600], [1] * 600, [571, 29], [570, 1, 29], [0, 599, 1]):
        with pytest.raises(ComputeError, match="column 'price', row 571: "):
            rb.range_bars(batched(bad, lengths), 250).collect(engine="streaming")


def test_rows_count_over_all_keys() -> None:
    frame = pl.concat([good()] * 2).with_columns(
        symbol=pl.Series(["a", "b"] * 6),
        timestamp=pl.int_range(12),
        price=pl.when(pl.int_range(12) == 9).then(NAN).otherwise("price"),
    )
    for door in FRAME_DOORS.values():
        with pytest.raises(ComputeError, match="column 'price', row 9: "):
            door(frame, 250, by="symbol")


def test_time_may_go_backwards_between_keys_only() -> None:
    frame = good(timestamp=[10, 1, 11, 2, 12, 3]).with_columns(symbol=pl.Series(["a", "b"] * 3))
    assert rb.range_bars(frame, 100_000, by="symbol", incomplete="keep").height == 2
    within = frame.with_columns(symbol=pl.Series(["a", "b", "a", "a", "b", "b"]))
    for door in FRAME_DOORS.values():
        with pytest.raises(ComputeError, match="column 'timestamp', row 3: "):
            door(within, 250, by="symbol")


def test_time_is_checked_across_bars() -> None:
    # The first two trades are a finished bar; the third may still not come before them.
    frame = good(price=[100.0, 200.0, 100.0, 1.0, 1.0, 1.0], timestamp=[5, 6, 4, 7, 8, 9])
    for door in DOORS.values():
        with pytest.raises(ComputeError, match="column 'timestamp', row 2: "):
            door(frame, 250)


def test_sums_beyond_the_grid() -> None:
    # Either value is fine, and their product is; the sum of many is more than an i128.
    many = pl.DataFrame({"price": [9e10] * 5000, "quantity": [9e10] * 5000}).with_columns(
        timestamp=pl.int_range(5000)
    )
    for label, door in DOORS.items():
        with pytest.raises(ComputeError, match=r"column '\w+', row \d+: ") as raised:
            door(many, 250, incomplete="keep")
        if keeps_type(label):
            assert isinstance(raised.value, rb.InvalidTradeError)
            assert raised.value.column == "quantity"


def test_zero_quantity_is_legal() -> None:
    frame = good(quantity=[0.0] * 6)
    for door in DOORS.values():
        bars = door(frame, 100)
        assert bars["volume"].to_list() == [0.0] * bars.height
        assert bars["vwap"].null_count() == bars.height > 0


@pytest.mark.parametrize("column", ["timestamp", "price", "quantity"])
def test_a_missing_column_is_named(column: str) -> None:
    for door in DOORS.values():
        with pytest.raises(ColumnNotFoundError, match=column):
            door(good().drop(column), 250)


def test_a_missing_optional_column_is_named_where_it_was_asked_for() -> None:
    for column in ("is_buyer_maker", "agg_trade_id", "first_trade_id", "last_trade_id"):
        for door in DOORS.values():
            with pytest.raises(ColumnNotFoundError, match="nowhere"):
                door(good(), 250, columns={column: "nowhere"})


def test_a_missing_key_is_named() -> None:
    for door in (*FRAME_DOORS.values(), *ID_DOORS.values()):
        with pytest.raises(ColumnNotFoundError, match="symbol"):
            door(good(), 250, by=["symbol"])


WRONG_DTYPES: dict[str, tuple[str, pl.Series, str]] = {
    "text price": ("price", pl.Series(["1.0"] * 6), "str|String"),
    "boolean price": ("price", pl.Series([True] * 6), "bool|Boolean"),
    "dates as price": ("price", pl.Series([date(2024, 1, 1)] * 6), "date|Date"),
    "text quantity": ("quantity", pl.Series(["1.0"] * 6), "str|String"),
    "lists as quantity": ("quantity", pl.Series([[1.0]] * 6), "list|List"),
    "text time": ("timestamp", pl.Series(["2024-01-01"] * 6), "str|String"),
    "float time": ("timestamp", pl.Series([1.0, 2, 3, 4, 5, 6]), "f64|Float64"),
    "duration as time": ("timestamp", pl.Series([timedelta(1)] * 6), "duration|Duration"),
    "text side": ("is_buyer_maker", pl.Series(["buy"] * 6), "str|String"),
    "integer side": ("is_buyer_maker", pl.Series([1] * 6), "i64|Int64"),
    "text id": ("agg_trade_id", pl.Series(["1"] * 6), "str|String"),
    "float id": ("first_trade_id", pl.Series([1.0] * 6), "f64|Float64"),
}


@pytest.mark.parametrize("wrong", WRONG_DTYPES.values(), ids=WRONG_DTYPES)
def test_a_wrong_dtype_is_named(wrong: tuple[str, pl.Series, str]) -> None:
    column, values, dtype = wrong
    frame = good().with_columns(values.alias(column))
    for label, door in DOORS.items():
        with pytest.raises(ComputeError, match=dtype) as raised:
            door(frame, 250)
        assert f"column '{column}'" in str(raised.value), label
        if not label.startswith("expression"):
            assert isinstance(raised.value, rb.RangeBarError), label


def test_something_that_is_no_frame_fails_at_the_call() -> None:
    range_bars: Any = rb.range_bars
    with pytest.raises(TypeError, match="polars frame"):
        range_bars({"price": [1.0]}, 250)


def test_a_key_that_would_collide_with_a_bar_column_fails() -> None:
    frame = good().with_columns(volume=pl.lit("a"))
    for door in FRAME_DOORS.values():
        with pytest.raises(ValueError, match="volume"):
            door(frame, 250, by="volume")
    taken = good().with_columns(bar_id=pl.lit(1))
    for door in ID_DOORS.values():
        with pytest.raises(DuplicateError, match="bar_id"):
            door(taken, 250)


def test_after_an_error_the_next_query_is_fine() -> None:
    bad = rb.range_bars(with_value("price", 3, NAN).lazy(), 250)
    fine = rb.range_bars(good().lazy(), 250)
    for _ in range(3):
        with pytest.raises(ComputeError, match="row 3: "):
            bad.collect()
        assert fine.collect().height == 3
