"""Every dtype that trades come in, and the dtypes that bars go out in."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import DOORS, FRAME_DOORS, ID_DOORS
from tests.support.oracle import Columns, oracle_bar_ids, oracle_bars
from tests.support.trades import noise, walk

THRESHOLD = 500

CLOCKS: dict[str, pl.DataType] = {
    "ns": pl.Datetime("ns"),
    "us": pl.Datetime("us"),
    "ms": pl.Datetime("ms"),
    "ns UTC": pl.Datetime("ns", "UTC"),
    "us New York": pl.Datetime("us", "America/New_York"),
    "ms Kathmandu": pl.Datetime("ms", "Asia/Kathmandu"),
    "integer": pl.Int64(),
}


@pytest.mark.parametrize("dtype", CLOCKS.values(), ids=CLOCKS)
def test_clocks_keep_their_dtype(dtype: pl.DataType) -> None:
    frame = walk().with_columns(pl.col("timestamp").to_physical().cast(dtype))
    expected = oracle_bars(frame, THRESHOLD)
    assert expected["open_time"].dtype == dtype
    for door in DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD), expected)


def test_clocks_before_1970_and_at_the_ends_of_time() -> None:
    ends = [-(2**63) + 1, -(2**62), -1, 0, 1, 2**62, 2**63 - 1]
    frame = pl.DataFrame(
        {"timestamp": ends, "price": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0], "quantity": [1.0] * 7}
    )
    for door in DOORS.values():
        bars = door(frame, 250, incomplete="keep")
        assert_bars_equal(bars, oracle_bars(frame, 250, incomplete="keep"))


AMOUNTS: dict[str, pl.DataType] = {
    "Float32": pl.Float32(),
    "Int8": pl.Int8(),
    "Int16": pl.Int16(),
    "Int32": pl.Int32(),
    "Int64": pl.Int64(),
    "UInt8": pl.UInt8(),
    "UInt16": pl.UInt16(),
    "UInt32": pl.UInt32(),
    "UInt64": pl.UInt64(),
    "Decimal(38, 8)": pl.Decimal(38, 8),
    "Decimal(18, 2)": pl.Decimal(18, 2),
    "Decimal(12, 0)": pl.Decimal(12, 0),
}


@pytest.mark.parametrize("dtype", AMOUNTS.values(), ids=AMOUNTS)
@pytest.mark.parametrize("column", ["price", "quantity"])
def test_prices_and_quantities(column: str, dtype: pl.DataType) -> None:
    # Whole numbers within an Int8, so that every dtype holds them.
    whole = noise(np.arange(600), 9) % 27 + 100
    frame = walk(600).with_columns(pl.Series(column, whole).cast(pl.Float64).cast(dtype))
    expected = oracle_bars(frame, THRESHOLD, incomplete="keep")
    assert expected["close"].dtype == expected["volume"].dtype == pl.Float64
    for door in DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD, incomplete="keep"), expected)


def test_float32_counts_as_the_float64_of_the_same_value() -> None:
    frame = walk().with_columns(pl.col("price", "quantity").cast(pl.Float32))
    wide = frame.with_columns(pl.col("price", "quantity").cast(pl.Float64))
    for door in DOORS.values():
        assert_same_bits(door(frame, THRESHOLD), door(wide, THRESHOLD))


def test_decimals_convert_exactly() -> None:
    # Float64 has no 9007199254740993: read through a float, the close would be a tie.
    prices = [Decimal("90071992.54740991"), Decimal("90071992.54740993")]
    frame = pl.DataFrame(
        {
            "timestamp": [0, 1],
            "price": pl.Series(prices, dtype=pl.Decimal(38, 8)),
            "quantity": pl.Series([Decimal("0.00000001")] * 2, dtype=pl.Decimal(38, 8)),
        }
    )
    for door in DOORS.values():
        bars = door(frame, 1, incomplete="keep")
        assert_bars_equal(bars, oracle_bars(frame, 1, incomplete="keep"))
        assert bars["volume"].to_list() == [2e-8]


def test_large_integer_quantities_sum_exactly() -> None:
    frame = pl.DataFrame(
        {
            "timestamp": [0, 1, 2],
            "price": [1e-6, 1.1e-6, 1.2e-6],
            "quantity": [100_000_000_001, 99_999_999_999, 2**33 + 1],
        }
    )
    for door in DOORS.values():
        assert_bars_equal(
            door(frame, 100_000, incomplete="keep"),
            oracle_bars(frame, 100_000, incomplete="keep"),
        )


IDS = (pl.Int8(), pl.Int32(), pl.UInt32(), pl.UInt64(), pl.Int64())


@pytest.mark.parametrize("dtype", IDS, ids=str)
def test_ids_of_any_integer_go_out_as_int64(dtype: pl.DataType) -> None:
    ids = ("agg_trade_id", "first_trade_id", "last_trade_id")
    frame = walk(60).with_columns(pl.col(ids).cast(dtype))
    for door in DOORS.values():
        bars = door(frame, THRESHOLD)
        assert_bars_equal(bars, oracle_bars(frame, THRESHOLD))
        assert bars.height > 5


KEYS: dict[str, pl.Series] = {
    "String": pl.Series(["a", "b", "ccc"]),
    "empty and null String": pl.Series(["", "b", None]),
    "Categorical": pl.Series(["x", "y", "z"], dtype=pl.Categorical),
    "Enum": pl.Series(["x", None, "z"], dtype=pl.Enum(["z", "y", "x"])),
    "Int64": pl.Series([-5, None, 2**60]),
    "UInt8": pl.Series([0, 255, None], dtype=pl.UInt8),
    "Date": pl.Series([date(2024, 1, 1), None, date(1969, 1, 1)]),
    "Datetime": pl.Series([datetime(2024, 1, 1), None, datetime(1969, 1, 1)]),
    "Boolean": pl.Series([True, False, None]),
    "Binary": pl.Series([b"a", b"", None]),
    "Decimal": pl.Series([Decimal("1.5"), None, Decimal("-2.5")]),
    "Float64": pl.Series([0.5, None, -1.5]),
    "Struct": pl.Series([{"x": 1, "y": "a"}, {"x": 1, "y": None}, {"x": None, "y": "a"}]),
}


@pytest.mark.parametrize("values", KEYS.values(), ids=KEYS)
def test_keys(values: pl.Series) -> None:
    row = walk().select(pl.col("symbol").str.slice(1).cast(pl.Int64)).to_series()
    frame = walk().with_columns(key=values.gather(row))
    expected = oracle_bars(frame, [THRESHOLD, 100], by=["key"], incomplete="keep")
    assert expected["key"].dtype == values.dtype
    assert expected["key"].n_unique() == 3
    for door in FRAME_DOORS.values():
        assert_bars_equal(door(frame, [THRESHOLD, 100], by="key", incomplete="keep"), expected)
    ids = oracle_bar_ids(frame, THRESHOLD, by=["key"])
    for door in ID_DOORS.values():
        assert_same_bits(door(frame, THRESHOLD, by="key"), frame.with_columns(ids))


def test_several_keys_with_nulls() -> None:
    frame = walk().with_columns(
        venue=pl.when(pl.col("agg_trade_id") % 3 > 0).then(pl.lit("V")),
        day=(pl.col("agg_trade_id") % 2).cast(pl.Date),
    )
    by = ["venue", "symbol", "day"]
    expected = oracle_bars(frame, THRESHOLD, by=by, incomplete="keep")
    assert expected.columns[:3] == by
    for door in FRAME_DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD, by=by, incomplete="keep"), expected)


def test_one_key_in_a_list_is_the_same_as_one_key() -> None:
    frame = walk()
    listed = rb.range_bars(frame, THRESHOLD, by=["symbol"])
    assert_same_bits(rb.range_bars(frame, THRESHOLD, by="symbol"), listed)
    assert_same_bits(rb.range_bars(frame, THRESHOLD, by=("symbol",)), listed)


def test_many_keys() -> None:
    frame = walk(4000).with_columns(symbol=pl.Series(noise(np.arange(4000), 5) % 500))
    expected = oracle_bars(frame, THRESHOLD, by=["symbol"], incomplete="keep")
    for door in FRAME_DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD, by="symbol", incomplete="keep"), expected)


def test_sorted_keys() -> None:
    frame = walk().sort("symbol", maintain_order=True)
    expected = oracle_bars(frame, THRESHOLD, by=["symbol"], incomplete="keep")
    for door in FRAME_DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD, by="symbol", incomplete="keep"), expected)


RENAMED = {
    "timestamp": "T",
    "price": "p",
    "quantity": "q",
    "is_buyer_maker": "m",
    "agg_trade_id": "a",
    "first_trade_id": "f",
    "last_trade_id": "l",
}


def test_columns_of_other_names() -> None:
    frame = walk()
    expected = oracle_bars(frame, THRESHOLD)
    renamed = frame.rename(RENAMED)
    for door in DOORS.values():
        assert_bars_equal(door(renamed, THRESHOLD, columns=RENAMED), expected)


def test_columns_switched_off() -> None:
    frame = walk()
    off: dict[str, Any] = dict.fromkeys(
        ("is_buyer_maker", "agg_trade_id", "first_trade_id", "last_trade_id")
    )
    for door in DOORS.values():
        assert_bars_equal(
            door(frame, THRESHOLD, columns=off), oracle_bars(frame, THRESHOLD, columns=Columns())
        )


def test_more_columns_than_needed_are_ignored() -> None:
    frame = walk().with_columns(note=pl.lit(["anything"]), is_best_match=True)
    for door in DOORS.values():
        assert_bars_equal(door(frame, THRESHOLD), oracle_bars(walk(), THRESHOLD))


def test_with_bar_id_keeps_every_column_and_takes_a_name() -> None:
    frame = walk().with_columns(note=pl.lit(["anything"]))
    ids = oracle_bar_ids(frame, THRESHOLD, by=["symbol"], name="n")
    lazy = rb.with_bar_id(frame.lazy(), THRESHOLD, by="symbol", name="n")
    assert lazy.collect_schema() == frame.with_columns(ids).schema
    for door in ID_DOORS.values():
        out = door(frame, THRESHOLD, by="symbol", name="n")
        assert_same_bits(out, frame.with_columns(ids))


def test_the_schema_of_the_plan_is_that_of_the_result() -> None:
    frame = walk()
    choices: list[dict[str, Any]] = [
        {},
        {"by": ["symbol"]},
        {"by": None},
        {"by": "symbol", "columns": {"timestamp": None}},
        {"columns": {"quantity": None}},
        {"columns": {"is_buyer_maker": None, "first_trade_id": None}},
        {"columns": {"quantity": None, "is_buyer_maker": None, "agg_trade_id": None}},
    ]
    for options in choices:
        for asked in (100, [100], [100, 250], "standard", ["standard", 333]):
            lazy = rb.range_bars(frame.lazy(), asked, **options)
            collected = lazy.collect()
            assert lazy.collect_schema() == collected.schema
            assert_same_bits(rb.range_bars(frame, asked, **options), collected)


def test_the_threshold_column_is_there_only_for_several() -> None:
    frame = walk()
    for one in (100, [100], "standard", ["standard"]):
        assert "threshold_decimal_bps" not in rb.range_bars(frame, one).columns
    several = rb.range_bars(frame, ["medium", 100], by=None)
    assert several.columns[:2] == ["threshold_decimal_bps", "bar_id"]
    assert several["threshold_decimal_bps"].dtype == pl.UInt32
    assert set(several["threshold_decimal_bps"]) == {250, 100}


def test_frame_namespaces_mirror_the_functions() -> None:
    frame = walk()
    eager: Any = frame  # type checkers know nothing of registered namespaces
    lazy: Any = frame.lazy()
    asked = [100, 250]
    expected = rb.range_bars(frame, asked, by="symbol", incomplete="keep")
    assert_same_bits(eager.rangebar.bars(asked, by="symbol", incomplete="keep"), expected)
    assert_same_bits(lazy.rangebar.bars(asked, by="symbol", incomplete="keep").collect(), expected)
    by_keyword = eager.rangebar.bars(rule=asked, by="symbol")
    assert_same_bits(by_keyword, rb.range_bars(frame, asked, by="symbol"))
    expected = rb.with_bar_id(frame, 250, by="symbol")
    assert_same_bits(eager.rangebar.with_bar_id(250, by="symbol"), expected)
    assert_same_bits(lazy.rangebar.with_bar_id(250, by="symbol").collect(), expected)


def test_the_input_is_left_alone() -> None:
    frame = walk()
    before = frame.clone()
    for door in DOORS.values():
        door(frame, THRESHOLD)
    rb.with_bar_id(frame, THRESHOLD, by="symbol")
    assert_same_bits(frame, before)
