"""Equal ids: the same trade again, or two trades that must not replace each other."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store import TradeStore
from rangebar_polars.store.columns import ID
from rangebar_polars.store.conflicts import sorted_once
from rangebar_polars.store.grid import DIVISOR, UNITS
from rangebar_polars.store.parquet import ROW_GROUP
from rangebar_polars.store.provenance import BROUGHT_BY
from tests.support.trades import days_of_trades

DAY = datetime(2024, 1, 1)
TRADES = days_of_trades(DAY, 1, 1000)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path / "store")


def rows_of_an_index(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop("agg_trade_id").with_row_index("agg_trade_id")


def same_columns(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(sorted(frame.columns))


def test_a_row_index_cannot_replace_the_trades_before(store: TradeStore) -> None:
    first, second = rows_of_an_index(TRADES[:600]), rows_of_an_index(TRADES[600:])
    store.write("BTC", first)
    with pytest.raises(RangeBarError, match="agg_trade_id 0 names two different trades") as raised:
        store.write("BTC", second)
    assert f"price {first['price'][0]}" in str(raised.value)
    assert f"price {second['price'][0]}" in str(raised.value)
    assert "agg_trade_id=None" in str(raised.value)
    found = store.scan("BTC").collect()
    assert_frame_equal(same_columns(found), same_columns(first), check_dtypes=False)


@pytest.mark.parametrize("lazy", [False, True])
def test_two_trades_of_one_id_in_one_frame(store: TradeStore, lazy: bool) -> None:
    double = pl.concat([TRADES, TRADES[5:6].with_columns(quantity=pl.lit(77.0))])
    quantity = TRADES["quantity"][5]
    message = f"agg_trade_id 6 names .*quantity {quantity}.*quantity 77.0"
    with pytest.raises(RangeBarError, match=message):
        store.write("BTC", double.lazy() if lazy else double)
    assert store.symbols() == []


@pytest.mark.parametrize("column", ["timestamp", "price", "quantity", "is_buyer_maker", "note"])
def test_any_other_value_is_another_trade(store: TradeStore, column: str) -> None:
    trades = TRADES.with_columns(note=pl.lit("a"))
    store.write("BTC", trades)
    others = {
        "timestamp": pl.col("timestamp") + timedelta(microseconds=1),
        "price": pl.col("price") + 1,
        "quantity": pl.col("quantity") * 2,
        "is_buyer_maker": ~pl.col("is_buyer_maker"),
        "note": pl.lit("b"),
    }
    changed = trades[700:701].with_columns(others[column].alias(column))
    with pytest.raises(RangeBarError, match=f"agg_trade_id 701 names .*{column}"):
        store.write("BTC", changed)
    assert_frame_equal(store.scan("BTC").collect(), trades, check_exact=True)
    store.write("BTC", changed, on_conflict="replace")
    expected = pl.concat([trades[:700], changed, trades[701:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)


def test_the_same_trades_on_another_grid_are_the_same_trades(store: TradeStore) -> None:
    # The second write alone would fit a coarser grid than the stored one.
    store.write("BTC", TRADES.with_columns(price=pl.Series([0.00000001, *[2.5] * 999])))
    store.write("BTC", TRADES[1:].with_columns(price=pl.lit(2.5)))
    assert store.scan("BTC").collect().height == 1000


def test_a_column_that_comes_later_fills_the_nulls(store: TradeStore) -> None:
    later = TRADES.with_columns(note=pl.when(pl.col("agg_trade_id") % 2 == 0).then(pl.lit("x")))
    for frame in (TRADES, later[:500], TRADES[400:], later[450:]):
        store.write("BTC", frame)
    assert_frame_equal(store.scan("BTC").collect(), later, check_exact=True)


def test_ids_that_fall_while_time_rises_within_a_day(store: TradeStore) -> None:
    later = TRADES.with_columns(pl.col("agg_trade_id") + 5000)
    store.write("BTC", later[:500])
    with pytest.raises(RangeBarError, match="ids must rise with time within a day"):
        store.write("BTC", TRADES[500:])
    store.write("ETH", TRADES[500:])
    with pytest.raises(RangeBarError, match="ids must rise with time within a day"):
        store.write("ETH", later[:500])


def test_neighbouring_days_whose_ids_name_other_trades(store: TradeStore) -> None:
    # A row index filtered afterwards: 0 to 599 on one day, 100 to 999 on the next.
    store.write("BTC", rows_of_an_index(TRADES[:600]))
    tomorrow = TRADES.with_columns(pl.col("timestamp") + timedelta(days=1), pl.col("price") + 1)
    with pytest.raises(RangeBarError, match="agg_trade_id 100 names two .* neighbouring days"):
        store.write("BTC", rows_of_an_index(tomorrow)[100:])
    assert store.days("BTC", source="trades") == [DAY.date()]


class TestWithoutIds:
    TRADES = days_of_trades(DAY, 3, 3000).drop("agg_trade_id")

    def write(self, store: TradeStore, frame: pl.DataFrame, **options) -> None:
        store.write("AAPL", frame.lazy(), agg_trade_id=None, **options)

    def test_they_come_back_as_they_were_given(self, store: TradeStore) -> None:
        # Two trades that are alike in everything are two trades.
        frame = pl.concat([self.TRADES[:7], self.TRADES[5:]])
        self.write(store, frame)
        assert_frame_equal(store.scan("AAPL").collect(), frame, check_exact=True)
        assert store.verify().is_empty()
        assert store.gaps("AAPL").is_empty()
        assert store.info()["rows"].to_list() == [3002]
        with_ids = self.TRADES[:3].with_row_index("agg_trade_id")
        store.write("MSFT", with_ids)
        both = store.scan(["AAPL", "MSFT"]).collect()
        assert both["agg_trade_id"].null_count() == 3002

    def test_day_by_day_again_and_a_day_that_grows(self, store: TradeStore) -> None:
        for end in (500, 1000, 1000, 1700, 2000, 3000):
            self.write(store, self.TRADES[1000 * (end // 1001) : end])
        self.write(store, self.TRADES)
        self.write(store, self.TRADES[:300])  # the beginning of what is stored
        assert_frame_equal(store.scan("AAPL").collect(), self.TRADES, check_exact=True)

    def test_the_second_half_of_a_day_cannot_be_told_from_the_first(self, store) -> None:
        self.write(store, self.TRADES[:500])
        message = r"trade 0 of 2024-01-01, counted from 0, differs.*from its first trade on"
        with pytest.raises(RangeBarError, match=message):
            self.write(store, self.TRADES[500:1000])
        assert store.scan("AAPL").collect().height == 500

    def test_replacing_replaces_the_whole_day(self, store: TradeStore) -> None:
        self.write(store, self.TRADES)
        self.write(store, self.TRADES[1100:1200], on_conflict="replace")
        expected = pl.concat([self.TRADES[:1000], self.TRADES[1100:1200], self.TRADES[2000:]])
        assert_frame_equal(store.scan("AAPL").collect(), expected, check_exact=True)

    def test_days_in_turns_and_a_grid_that_gets_finer(self, store: TradeStore) -> None:
        days = [days_of_trades(DAY + timedelta(days=n), 0.9, ROW_GROUP) for n in range(6)]
        # More days than are kept open, more rows than a row group, a finer price at the end.
        mixed = pl.concat([day[at : at + 40_000] for at in (0, 40_000, 80_000) for day in days])
        fine = days[0][-1:].with_columns(price=pl.lit(0.00000123))
        frame = pl.concat([mixed, fine]).drop("agg_trade_id")
        self.write(store, frame)
        expected = pl.concat([days[0], fine, *days[1:]]).drop("agg_trade_id")
        assert_frame_equal(store.scan("AAPL").collect(), expected, check_exact=True)

    def test_trades_with_and_without_ids_do_not_mix(self, store: TradeStore) -> None:
        self.write(store, self.TRADES[:1500])
        for frame in (TRADES, TRADES.with_columns(pl.col("timestamp") + timedelta(days=9))):
            with pytest.raises(RangeBarError, match="is stored without ids"):
                store.write("AAPL", frame)
        store.write("BTC", TRADES)
        with pytest.raises(RangeBarError, match="is stored with ids"):
            store.write("BTC", TRADES.drop("agg_trade_id"), agg_trade_id=None)

    def test_parts_of_days(self, store: TradeStore) -> None:
        self.write(store, self.TRADES)
        found = store.scan("AAPL", date(2024, 1, 2), datetime(2024, 1, 3, 12)).collect()
        assert_frame_equal(found, self.TRADES[1000:2500], check_exact=True)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_one_row_an_id_as_an_obvious_merge_makes_them(data) -> None:
    """Against a dictionary of rows, with nulls, files and orders of all kinds."""
    names = [None, "a", "b", "c"]
    row = st.tuples(
        st.integers(0, 4),
        st.sampled_from([7, 8]),
        st.sampled_from([None, 0.5, float("nan")]),
        st.sampled_from([None, [1], [2]]),
        st.sampled_from(names),
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=12))
    on_conflict = data.draw(st.sampled_from(["error", "replace"]))
    schema = {ID: pl.Int64, UNITS: pl.Int64, "x": pl.Float64, "y": pl.List(pl.Int64)}
    batch = pl.DataFrame(rows, schema={**schema, BROUGHT_BY: pl.String}, orient="row").with_columns(
        pl.lit(100.0).alias(DIVISOR), pl.lit(DAY).alias("timestamp")
    )
    merged: dict[int, list] = {}
    conflict = False
    for id_, *values, name in rows:
        old, files = merged.get(id_, (values, set()))
        if on_conflict == "error":
            pairs = [(a, b) for a, b in zip(old, values, strict=True) if None not in (a, b)]
            conflict |= any(repr(a) != repr(b) for a, b in pairs)
            merged[id_] = [[a if b is None else b for a, b in zip(old, values, strict=True)], set()]
        else:
            merged[id_] = [values, set()]
        merged[id_][1] = files | ({name} - {None})
    if conflict:
        with pytest.raises(RangeBarError, match="names two different trades"):
            sorted_once(batch, on_conflict)
        return
    found = sorted_once(batch, on_conflict).drop(DIVISOR, "timestamp").rows()
    expected = [
        (id_, *values, "\n".join(sorted(files)) or None)
        for id_, (values, files) in sorted(merged.items())
    ]
    assert repr(found) == repr(expected)
