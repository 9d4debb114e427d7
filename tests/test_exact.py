"""Every column of every bar equals the oracle's, on drawn trades and on real ones."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.compare import assert_bars_equal, assert_same_bits
from tests.support.doors import DOORS, ENGINES, FRAME_DOORS, ID_DOORS, Door
from tests.support.oracle import Columns, oracle_bar_ids, oracle_bars
from tests.support.real_data import REAL_FILES, XRPETH, real_trades, xrpeth_as_decimal
from tests.support.strategies import COMMON_THRESHOLDS, Case, bar_cases, thresholds, trades

GATES = pytest.mark.parametrize("gate_lifted", [False, True], ids=["gate", "no-gate"])


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
@given(case=bar_cases())
def test_drawn_trades(door: Door, case: Case) -> None:
    expected = oracle_bars(
        case.trades,
        case.threshold,
        incomplete=case.incomplete,
        same_timestamp_close=case.same_timestamp_close,
    )
    actual = door(
        case.trades,
        case.threshold,
        incomplete=case.incomplete,
        same_timestamp_close=case.same_timestamp_close,
    )
    assert_bars_equal(actual, expected)


@pytest.mark.parametrize("door", FRAME_DOORS.values(), ids=FRAME_DOORS)
@given(case=bar_cases(keys=3), more=st.lists(thresholds(), max_size=3))
def test_drawn_trades_of_several_keys_at_several_thresholds(
    door: Door, case: Case, more: list[int]
) -> None:
    asked = list(dict.fromkeys([case.threshold, *more]))
    gate, incomplete = case.same_timestamp_close, case.incomplete
    expected = oracle_bars(
        case.trades, asked, by=["symbol"], incomplete=incomplete, same_timestamp_close=gate
    )
    bars = door(case.trades, asked, by="symbol", incomplete=incomplete, same_timestamp_close=gate)
    assert_bars_equal(bars, expected)


@given(case=bar_cases(keys=2))
def test_drawn_trades_get_the_ids_of_their_bars(case: Case) -> None:
    gate = case.same_timestamp_close
    by_key = oracle_bar_ids(case.trades, case.threshold, by=["symbol"], same_timestamp_close=gate)
    expected = case.trades.with_columns(by_key)
    for door in ID_DOORS.values():
        out = door(case.trades, case.threshold, by="symbol", same_timestamp_close=gate)
        assert_same_bits(out, expected)
    ids = rb.bar_id(rule=case.threshold, same_timestamp_close=gate)
    for engine in ENGINES:
        over = case.trades.lazy().with_columns(ids.over("symbol").alias("bar_id"))
        assert_same_bits(over.collect(engine=engine), expected)


@given(case=bar_cases(), keep=st.sets(st.sampled_from(("clock", "amount", "side", "ids"))))
def test_drawn_trades_with_columns_missing(case: Case, keep: set[str]) -> None:
    names = Columns(
        timestamp="timestamp" if "clock" in keep else None,
        quantity="quantity" if "amount" in keep else None,
        is_buyer_maker="is_buyer_maker" if "side" in keep else None,
        agg_trade_id="agg_trade_id" if "ids" in keep else None,
        first_trade_id="first_trade_id" if "ids" in keep else None,
        last_trade_id="last_trade_id" if "ids" in keep else None,
    )
    expected = oracle_bars(case.trades, case.threshold, columns=names, incomplete="keep")
    for door in DOORS.values():
        actual = door(
            case.trades,
            case.threshold,
            columns=asdict(names),
            incomplete="keep",
        )
        assert_bars_equal(actual, expected)


@given(trades=trades())
def test_columns_that_are_absent_are_not_made_up(trades: pl.DataFrame) -> None:
    bare = trades.select("timestamp", "price", "quantity")
    bars = rb.range_bars(bare, 250, incomplete="keep")
    assert_bars_equal(bars, oracle_bars(bare, 250, incomplete="keep"))
    assert not {"buy_volume", "individual_trade_count", "first_trade_id"} & set(bars.columns)


@cache
def expected_of(name: str, gate_lifted: bool) -> pl.DataFrame:
    """All thresholds in one pass of the oracle, for it is slow."""
    return oracle_bars(
        real_trades(name),
        COMMON_THRESHOLDS,
        incomplete="keep",
        same_timestamp_close=gate_lifted,
    )


def expected_at(
    name: str, gate_lifted: bool, threshold: int, incomplete: Literal["drop", "keep"]
) -> pl.DataFrame:
    bars = expected_of(name, gate_lifted)
    wanted = pl.col("threshold_decimal_bps") == threshold
    if incomplete == "drop":
        wanted &= pl.col("is_complete")
    return bars.filter(wanted).drop("threshold_decimal_bps")


@GATES
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_trades(name: str, gate_lifted: bool) -> None:
    real = real_trades(name)
    for threshold in COMMON_THRESHOLDS:
        for incomplete in ("drop", "keep"):
            expected = expected_at(name, gate_lifted, threshold, incomplete)
            for label, door in DOORS.items():
                actual = door(
                    real, threshold, incomplete=incomplete, same_timestamp_close=gate_lifted
                )
                try:
                    assert_bars_equal(actual, expected)
                except AssertionError as error:
                    raise AssertionError(f"{label} at {threshold}, {incomplete}") from error


@GATES
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_trades_at_all_thresholds_at_once(name: str, gate_lifted: bool) -> None:
    expected = expected_of(name, gate_lifted)
    for door in FRAME_DOORS.values():
        bars = door(
            real_trades(name),
            list(COMMON_THRESHOLDS),
            incomplete="keep",
            same_timestamp_close=gate_lifted,
        )
        assert_bars_equal(bars, expected)


@GATES
@pytest.mark.parametrize("name", REAL_FILES)
def test_real_trades_get_the_ids_of_their_bars(name: str, gate_lifted: bool) -> None:
    real = real_trades(name).head(30_000)
    for threshold in (10, 25, 100):
        ids = oracle_bar_ids(real, threshold, same_timestamp_close=gate_lifted)
        expression = rb.bar_id(rule=threshold, same_timestamp_close=gate_lifted)
        assert_same_bits(real.with_columns(bar_id=expression), real.with_columns(ids))


@GATES
def test_text_prices_cast_to_decimal_make_the_same_bars(gate_lifted: bool) -> None:
    exact = xrpeth_as_decimal()
    for threshold in COMMON_THRESHOLDS:
        expected = expected_at(XRPETH, gate_lifted, threshold, "keep")
        for door in DOORS.values():
            actual = door(exact, threshold, incomplete="keep", same_timestamp_close=gate_lifted)
            assert_bars_equal(actual, expected)


def test_volume_of_a_tenth_and_two_tenths_is_three_tenths() -> None:
    frame = pl.DataFrame({"timestamp": [0, 1], "price": [1.0, 2.0], "quantity": [0.1, 0.2]})
    assert rb.range_bars(frame, 250)["volume"].to_list() == [0.3]


def test_sums_next_to_the_largest_that_the_grid_holds() -> None:
    # 20 times 9e18 * 9e17 grid steps is 95% of what an i128 holds.
    frame = pl.DataFrame(
        {
            "timestamp": range(20),
            "price": [9e10] * 20,
            "quantity": [9e9] * 20,
            "is_buyer_maker": [True] * 20,
        }
    )
    expected = oracle_bars(frame, 250, incomplete="keep")
    for door in DOORS.values():
        assert_bars_equal(door(frame, 250, incomplete="keep"), expected)


def test_the_widest_threshold_on_the_largest_price_has_an_upper_boundary() -> None:
    # Twice 9e10 lies beyond the grid: only the lower boundary, at zero, is left, out of reach.
    frame = pl.DataFrame(
        {"timestamp": [0, 1, 2], "price": [9e10, 9.2e10, 1e-8], "quantity": [1.0, 1.0, 1.0]}
    )
    for door in DOORS.values():
        bars = door(frame, 100_000, incomplete="keep")
        assert_bars_equal(bars, oracle_bars(frame, 100_000, incomplete="keep"))
        assert bars["is_complete"].to_list() == [False]
