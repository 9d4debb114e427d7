"""The oracle against bars worked out by hand, one rule at a time."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import polars as pl
import pytest

from tests.support.oracle import Columns, oracle_bar_ids, oracle_bars, parse_duration, to_units


def trades(
    prices: list[float],
    times: list[int] | None = None,
    quantities: list[float] | None = None,
    **more: list[object],
) -> pl.DataFrame:
    """Trades one tick apart, of one unit each, unless told otherwise."""
    return pl.DataFrame(
        {
            "timestamp": times or list(range(len(prices))),
            "price": pl.Series(prices, dtype=pl.Float64),
            "quantity": quantities or [1.0] * len(prices),
            **more,
        }
    )


def spans(bars: pl.DataFrame) -> list[tuple[float, float, int, bool]]:
    return bars.select("open", "close", "trade_count", "is_complete").rows()


def test_a_price_exactly_on_the_boundary_closes_the_bar() -> None:
    # 1% of 100 is 1: the boundaries are 101 and 99, and both belong to the outside.
    bars = oracle_bars(trades([100, 100.99999999, 101, 50, 49.5, 49.50000001]), 1000)
    assert spans(bars) == [(100, 101, 3, True), (50, 49.5, 2, True)]


def test_one_grid_step_inside_the_boundary_does_not_close_it() -> None:
    inside = trades([100, 100.99999999, 99.00000001, 100])
    assert oracle_bars(inside, 1000).is_empty()
    assert spans(oracle_bars(inside, 1000, incomplete="keep")) == [(100, 100, 4, False)]


def test_the_boundary_is_the_floor_and_at_least_one_step() -> None:
    # 0.001% of 1.23456789 is 0.0000123456..., 1234 grid steps.
    bars = oracle_bars(trades([1.23456789, 1.23458022, 1.23458023]), 1)
    assert spans(bars) == [(1.23456789, 1.23458023, 3, True)]
    # 0.001% of two grid steps is far below one.
    assert spans(oracle_bars(trades([2e-8, 2e-8, 3e-8]), 1)) == [(2e-8, 3e-8, 3, True)]


def test_a_jump_over_many_bars_makes_no_phantom_bars() -> None:
    bars = oracle_bars(trades([100, 200, 200, 201, 210]), 1000)
    assert spans(bars) == [(100, 200, 2, True), (200, 210, 3, True)]


def test_a_bar_cannot_close_at_its_opening_timestamp() -> None:
    same = trades([100, 102, 100, 103, 100], times=[7, 7, 7, 8, 9])
    assert spans(oracle_bars(same, 1000)) == [(100, 103, 4, True)]
    lifted = oracle_bars(same, 1000, same_timestamp_close=True)
    assert spans(lifted) == [(100, 102, 2, True), (100, 103, 2, True)]


def test_crossing_under_the_gate_is_forgotten_when_the_price_comes_back() -> None:
    frame = trades([100, 102, 100, 100], times=[7, 7, 8, 9])
    assert spans(oracle_bars(frame, 1000, incomplete="keep")) == [(100, 100, 4, False)]


def test_without_a_clock_there_is_no_gate() -> None:
    frame = trades([100, 102, 100]).drop("timestamp")
    bars = oracle_bars(frame, 1000, columns=Columns(timestamp=None))
    assert spans(bars) == [(100, 102, 2, True)]
    assert "open_time" not in bars.columns


def test_sums_are_exact_and_rounded_once() -> None:
    frame = trades([100, 100, 101], quantities=[0.1, 0.2, 0.3])
    (bar,) = oracle_bars(frame, 1000).to_dicts()
    assert (bar["volume"], bar["turnover"]) == (0.6, 60.3)
    assert bar["vwap"] == 100.5


def test_a_bar_without_volume_has_no_vwap() -> None:
    (bar,) = oracle_bars(trades([100, 101], quantities=[0.0, 0.0]), 1000).to_dicts()
    assert (bar["volume"], bar["turnover"], bar["vwap"]) == (0.0, 0.0, None)


def test_sides_and_ids() -> None:
    frame = trades(
        [100, 100.5, 101],
        quantities=[1.0, 2.0, 4.0],
        is_buyer_maker=[True, False, False],
        agg_trade_id=[11, 12, 13],
        first_trade_id=[30, 35, 36],
        last_trade_id=[34, 35, 40],
    )
    (bar,) = oracle_bars(frame, 1000).to_dicts()
    assert bar == {
        "bar_id": 0,
        "open_time": 0,
        "close_time": 2,
        "open": 100.0,
        "high": 101.0,
        "low": 100.0,
        "close": 101.0,
        "volume": 7.0,
        "turnover": 705.0,
        "vwap": 705 / 7,
        "trade_count": 3,
        "individual_trade_count": 11,
        "buy_volume": 6.0,
        "sell_volume": 1.0,
        "buy_turnover": 605.0,
        "sell_turnover": 100.0,
        "buy_trade_count": 2,
        "sell_trade_count": 1,
        "first_agg_trade_id": 11,
        "last_agg_trade_id": 13,
        "first_trade_id": 30,
        "last_trade_id": 40,
        "is_complete": True,
    }


def test_order_of_bars_over_keys_and_thresholds() -> None:
    frame = trades(
        [100, 10, 101, 10.1, 102, 10.05, 100],
        symbol=["a", "b", "a", "b", "a", "b", "a"],
    )
    bars = oracle_bars(frame, [2000, 1000], by=["symbol"], incomplete="keep")
    assert bars.select(
        "symbol", "threshold_decimal_bps", "open_time", "close_time", "is_complete"
    ).rows() == [
        ("a", 1000, 0, 2, True),
        ("b", 1000, 1, 3, True),
        ("a", 2000, 0, 4, True),
        ("a", 1000, 4, 6, True),
        # In progress at the end, by the trade that opened them.
        ("b", 2000, 1, 5, False),
        ("b", 1000, 5, 5, False),
        ("a", 2000, 6, 6, False),
    ]


def test_bar_ids_count_from_zero_in_each_key() -> None:
    frame = trades(
        [100, 10, 101, 10, 102, 103.5, 100],
        symbol=["a", "b", "a", "b", "a", "a", "b"],
    )
    ids = oracle_bar_ids(frame, 1000, by=["symbol"])
    assert ids.to_list() == [0, 0, 0, 0, 1, 1, 0]
    assert ids.dtype == pl.UInt32


def test_a_gap_longer_than_allowed_cuts_the_bar() -> None:
    # The silence before 25 is 11 ticks, that before 14 is 10, which is still allowed.
    frame = trades([100, 100.1, 100.2, 103], times=[0, 4, 14, 25])
    bars = oracle_bars(frame, 1000, max_gap="10ms", time_unit="ms", incomplete="keep")
    assert spans(bars) == [(100, 100.2, 3, False), (103, 103, 1, False)]


def test_a_cut_bar_stands_where_the_cutting_trade_stands() -> None:
    frame = trades(
        [100, 10, 101, 10, 10.2],
        times=[0, 0, 1, 20, 21],
        symbol=["a", "b", "a", "b", "b"],
    )
    bars = oracle_bars(
        frame, 1000, by=["symbol"], max_gap="10ms", time_unit="ms", incomplete="keep"
    )
    times = pl.col("open_time").dt.epoch("ms")
    assert bars.select("symbol", times, "is_complete").rows() == [
        ("a", 0, True),
        ("b", 0, False),
        ("b", 20, True),
    ]


def test_a_reset_cuts_at_the_calendar_boundary() -> None:
    clock = [datetime(2024, 1, 6, 23), datetime(2024, 1, 7, 1), datetime(2024, 1, 8, 1)]
    frame = trades([100, 100.1, 100.2]).with_columns(timestamp=pl.Series(clock))
    by_day = oracle_bars(frame, 1000, reset="1d", incomplete="keep")
    assert by_day["trade_count"].to_list() == [1, 1, 1]
    # Polars' weeks begin on Monday, here on the 8th; a day earlier begins on Sunday, the 7th.
    by_week = oracle_bars(frame, 1000, reset="1w", incomplete="keep")
    assert by_week["trade_count"].to_list() == [2, 1]
    from_sunday = oracle_bars(frame, 1000, reset="1w", reset_offset="-1d", incomplete="keep")
    assert from_sunday["trade_count"].to_list() == [1, 2]


def test_values_on_the_grid() -> None:
    assert to_units(0.1) == 10_000_000
    assert to_units(2.5e-8) == 2  # halves to even
    assert to_units(Decimal("92233720368.54775807")) == 2**63 - 1
    assert to_units(3) == 300_000_000


def test_durations() -> None:
    assert parse_duration("2h30m") == 9_000_000_000_000
    with pytest.raises(ValueError, match="1mo"):
        parse_duration("1mo")
