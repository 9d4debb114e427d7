"""What must hold of any bars, whoever made them: nothing lost, nothing invented, no lookahead."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rangebar_polars as rb
from tests.support.compare import assert_same_bits
from tests.support.oracle import to_units
from tests.support.real_data import REAL_FILES, real_trades
from tests.support.strategies import Case, bar_cases, trades

GRID = 10**8
EXACT = 2**50
"""Sums below this many grid steps survive the rounding to Float64 and can be added up again."""


def units(values: pl.Series) -> int:
    return sum(to_units(value) for value in values.to_list())


def turnover_units(trades: pl.DataFrame) -> int:
    rows = zip(trades["price"].to_list(), trades["quantity"].to_list(), strict=True)
    return sum(to_units(price) * to_units(quantity) for price, quantity in rows)


def assert_conserved(trades: pl.DataFrame, bars: pl.DataFrame) -> None:
    """Compare the sums over all bars, unfinished ones too, with those over the trades."""
    assert bars["trade_count"].sum() == trades.height
    assert bars["buy_trade_count"].sum() == (~trades["is_buyer_maker"]).sum()
    assert bars["sell_trade_count"].sum() == trades["is_buyer_maker"].sum()
    of_each = trades.select(pl.col("last_trade_id") - pl.col("first_trade_id") + 1).to_series()
    assert bars["individual_trade_count"].sum() == of_each.sum()

    sold = trades.filter("is_buyer_maker")
    bought = trades.filter(~pl.col("is_buyer_maker"))
    parts = {"volume": trades, "buy_volume": bought, "sell_volume": sold}
    if units(trades["quantity"]) < EXACT:
        for column, part in parts.items():
            assert units(bars[column]) == units(part["quantity"])
    parts = {"turnover": trades, "buy_turnover": bought, "sell_turnover": sold}
    for column, part in parts.items():
        # Each bar's turnover was rounded once, by at most half a bit.
        expected = turnover_units(part) / GRID**2
        assert bars[column].sum() == pytest.approx(expected, rel=1e-14 + 2e-16 * bars.height)


@given(case=bar_cases(max_size=60, keys=3))
def test_trades_are_conserved(case: Case) -> None:
    bars = rb.range_bars(
        case.trades,
        case.threshold,
        by="symbol",
        incomplete="keep",
        same_timestamp_close=case.same_timestamp_close,
    )
    assert_conserved(case.trades, bars)
    for (symbol,), part in case.trades.group_by("symbol"):
        assert_conserved(part, bars.filter(pl.col("symbol") == symbol))


@given(trades=trades(keys=2))
def test_trades_are_conserved_at_every_threshold(trades: pl.DataFrame) -> None:
    asked = [250, 10, 1000]
    bars = rb.range_bars(trades, asked, by="symbol", incomplete="keep")
    for threshold in asked:
        assert_conserved(trades, bars.filter(pl.col("threshold_decimal_bps") == threshold))


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_trades_are_conserved(name: str) -> None:
    real = real_trades(name)
    bars = rb.range_bars(real.lazy(), 25, incomplete="keep").collect()
    assert bars["trade_count"].sum() == real.height
    assert units(bars["volume"]) == units(real["quantity"])
    assert bars["turnover"].sum() == pytest.approx(turnover_units(real) / GRID**2, rel=1e-12)
    if "is_buyer_maker" in real.columns:
        assert_conserved(real, bars)


@given(case=bar_cases(max_size=60))
def test_prices_of_a_bar_are_in_order(case: Case) -> None:
    bars = rb.range_bars(case.trades, case.threshold, incomplete="keep")
    low, high = pl.col("low"), pl.col("high")
    for price in ("open", "close"):
        assert bars.select((low <= pl.col(price)) & (pl.col(price) <= high)).to_series().all()
    assert (bars["close_time"] >= bars["open_time"]).all()
    closed = bars.filter("is_complete")
    assert (closed["close_time"] > closed["open_time"]).all(), "the gate let a bar through"


@given(case=bar_cases(max_size=60))
def test_a_bar_closes_at_the_first_price_outside(case: Case) -> None:
    frame, threshold = case.trades, case.threshold
    ids = rb.with_bar_id(frame, threshold, same_timestamp_close=True)
    bars = rb.range_bars(frame, threshold, incomplete="keep", same_timestamp_close=True)
    groups = ids.group_by("bar_id", maintain_order=True).agg("price")
    for prices, complete in zip(groups["price"].to_list(), bars["is_complete"], strict=True):
        opened = to_units(prices[0])
        delta = max(1, opened * threshold // 100_000)
        outside = [abs(to_units(price) - opened) >= delta for price in prices]
        assert not any(outside[:-1])
        assert outside[-1] == complete


@given(case=bar_cases(max_size=60, keys=2), share=st.floats(0, 1))
def test_nothing_later_changes_a_closed_bar(case: Case, share: float) -> None:
    whole = rb.range_bars(case.trades, case.threshold, by="symbol")
    until = case.trades.head(round(share * case.trades.height))
    so_far = rb.range_bars(until, case.threshold, by="symbol")
    assert_same_bits(so_far, whole.head(so_far.height))


@given(case=bar_cases(keys=3))
def test_keys_do_not_touch_each_other(case: Case) -> None:
    together = rb.range_bars(case.trades, case.threshold, by="symbol", incomplete="keep")
    for (symbol,), part in case.trades.group_by("symbol", maintain_order=True):
        alone = rb.range_bars(part, case.threshold, by="symbol", incomplete="keep")
        assert_same_bits(together.filter(pl.col("symbol") == symbol), alone)


@given(trades=trades(keys=2))
def test_thresholds_do_not_touch_each_other(trades: pl.DataFrame) -> None:
    asked = [1000, 1, 250]
    together = rb.range_bars(trades, asked, by="symbol", incomplete="keep")
    for threshold in asked:
        alone = rb.range_bars(trades, threshold, by="symbol", incomplete="keep")
        mine = together.filter(pl.col("threshold_decimal_bps") == threshold)
        assert_same_bits(mine.drop("threshold_decimal_bps"), alone)


@given(case=bar_cases(keys=2))
def test_bars_are_the_groups_of_their_ids(case: Case) -> None:
    bars = rb.range_bars(case.trades, case.threshold, by="symbol", incomplete="keep")
    with_ids = rb.with_bar_id(case.trades, case.threshold, by="symbol")
    groups = with_ids.group_by("symbol", "bar_id").agg(
        open_time=pl.col("timestamp").first(),
        close_time=pl.col("timestamp").last(),
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        trade_count=pl.len().cast(pl.Int64),
        first_agg_trade_id=pl.col("agg_trade_id").first(),
    )
    shared = [name for name in groups.columns if name != "bar_id"]
    order = ["symbol", "first_agg_trade_id"]
    assert_same_bits(bars.select(shared).sort(order), groups.select(shared).sort(order))
