"""Every value comes back as it was given, or is refused by column, row and value."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError
from polars.testing import assert_frame_equal

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store import TradeStore
from rangebar_polars.store.columns import Columns
from rangebar_polars.store.values import to_stored
from tests.support.trades import days_of_trades

DAY = datetime(2024, 1, 1)
TRADES = days_of_trades(DAY, 1, 4)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path / "store")


def written(store: TradeStore, **columns: Any) -> pl.DataFrame:
    frame = TRADES.with_columns(**columns)
    store.write("BTC", frame, time_unit=None)
    return store.scan("BTC").collect()


class TestTimes:
    @pytest.mark.parametrize(
        ("unit", "value", "wrong", "means"),
        [
            ("s", 1_704_067_200, "ms", "1970-01-20 17:21:07.200000"),
            ("s", 1_704_067_200, "us", "1970-01-01 00:28:24.067200"),
            ("ms", 1_704_067_200_000, "s", "outside the years 1 to 9999"),
            ("ms", 1_704_067_200_000, "us", "1970-01-20 17:21:07.200000"),
            ("us", 1_704_067_200_000_000, "ms", "outside the years 1 to 9999"),
            ("us", 1_704_067_200_000_000, "s", "outside the years 1 to 9999"),
            ("ns", 1_704_067_200_000_000_000, "us", "outside the years 1 to 9999"),
            ("ns", 1_704_067_200_000_000_000, "ms", "outside the years 1 to 9999"),
        ],
    )
    def test_a_wrong_unit_is_asked_about(self, store, unit, value, wrong, means) -> None:
        frame = TRADES.with_columns(timestamp=pl.lit(value))
        with pytest.raises(InvalidTradeError, match=f"is time_unit='{wrong}' right") as raised:
            store.write("BTC", frame, time_unit=wrong)
        error = raised.value
        assert (error.column, error.row, error.value) == ("timestamp", 0, str(value))
        assert means in str(error)
        assert store.symbols() == []
        store.write("BTC", frame, time_unit=unit)
        assert store.scan("BTC").collect()["timestamp"].unique().to_list() == [DAY]

    @pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int128])
    def test_the_row_is_named_in_the_users_words(self, store, dtype) -> None:
        times = pl.Series([1_704_067_200, 1_704_067_201, 0, 7]).cast(dtype)
        frame = TRADES.drop("timestamp").with_columns(T=times)
        with pytest.raises(InvalidTradeError, match=r"column 'T', row 2: timestamp must lie in"):
            store.write("BTC", frame.lazy(), timestamp="T", time_unit="s")

    @pytest.mark.parametrize("day", [date(1970, 12, 31), date(2201, 1, 1)])
    def test_the_edges_of_the_likely_years(self, store, day) -> None:
        inside = day + timedelta(days=1 if day.year < 2000 else -1)
        seconds = (inside - date(1970, 1, 1)).days * 86_400
        store.write("BTC", TRADES.with_columns(timestamp=pl.lit(seconds)), time_unit="s")
        assert store.days("BTC", source="trades") == [inside]
        frame = TRADES.with_columns(timestamp=pl.lit((day - date(1970, 1, 1)).days * 86_400))
        with pytest.raises(InvalidTradeError, match="1971 to 2200"):
            store.write("BTC", frame, time_unit="s")

    def test_every_year_there_is_belongs_to_all_there_is(self, store) -> None:
        times = [
            datetime(1, 1, 1),
            datetime(999, 3, 4, 5),
            datetime(1969, 12, 31, 23, 59, 59, 999_999),
            datetime(1970, 1, 1),
            datetime(2262, 4, 12),
            datetime(9999, 12, 31, 23, 59, 59, 999_999),
        ]
        frame = pl.concat([TRADES[:1]] * len(times)).with_columns(
            timestamp=pl.Series(times), agg_trade_id=pl.Series(range(len(times)))
        )
        store.write("OLD", frame)
        assert_frame_equal(store.scan("OLD").collect(), frame)
        found = store.scan("OLD", "0999-03", "1969-12").collect()["timestamp"].to_list()
        assert found == times[1:3]
        assert store.verify().is_empty()
        assert store.info()["first_day"].to_list() == [date(1, 1, 1)]
        assert store.delete("OLD") == 6
        assert store.symbols() == []

    @pytest.mark.parametrize("unit", ["ms", "us"])
    def test_what_lies_beyond_every_calendar(self, store, unit) -> None:
        times = pl.Series([0, 2**62]).cast(pl.Datetime(unit))
        frame = TRADES[:2].with_columns(timestamp=times)
        with pytest.raises(InvalidTradeError, match="row 1: timestamp must lie in the years 1 to"):
            store.write("BTC", frame)

    def test_nanoseconds_and_zones(self, store) -> None:
        times = pl.Series([1_704_067_200_000_001_000] * 4).cast(pl.Datetime("ns", "Asia/Tokyo"))
        assert (
            written(store, timestamp=times)["timestamp"].to_list()
            == [DAY + timedelta(microseconds=1)] * 4
        )
        frame = TRADES.with_columns(timestamp=pl.lit(1_704_067_200_000_001_001))
        with pytest.raises(InvalidTradeError, match="row 0: timestamp must be whole microseconds"):
            store.write("ETH", frame, time_unit="ns")


class TestExact:
    @pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt64, pl.Int128, pl.Decimal(38, 0)])
    @pytest.mark.parametrize("column", ["price", "quantity"])
    def test_whole_numbers_that_float64_cannot_hold(self, store, dtype, column) -> None:
        values = pl.Series([1, 2**53 + 1, 1, 1]).cast(dtype)
        with pytest.raises(InvalidTradeError, match=f"row 1: {column} ") as raised:
            written(store, **{column: values})
        assert raised.value.value == str(2**53 + 1)
        good = pl.Series([1, 2**52 - 1, 1, 1]).cast(dtype)
        assert written(store, **{column: good})[column].to_list() == [1, 2**52 - 1, 1, 1]

    @pytest.mark.parametrize(
        ("texts", "column", "good"),
        [
            (["61837.63", "0.00000001", "42000", "0.10"], "price", True),
            (["61837.630000000000000000", "0.000000010000000000"], "price", True),
            (["0.1234567891"], "price", False),
            (["123456789.12345678"], "price", False),  # another decimal is the same Float64
            (["0.123456789012345", "1.500000000000000000"], "quantity", True),
            (["0.1234567890123456789"], "quantity", False),
            (["90071992.54740993"], "quantity", False),
            (["0.0000000000000000000001"], "quantity", True),
        ],
    )
    def test_decimals(self, store, texts, column, good) -> None:
        values = [Decimal(text) for text in texts]
        scale = max(len(text.partition(".")[2]) for text in texts)
        series = pl.Series(values, dtype=pl.Decimal(38, scale))
        frame = TRADES[: len(texts)].with_columns(series.alias(column))
        if good:
            store.write("BTC", frame)
            assert store.scan("BTC").collect()[column].to_list() == [float(v) for v in values]
        else:
            with pytest.raises(InvalidTradeError, match=rf"column '{column}', row 0: {column}"):
                store.write("BTC", frame)

    @given(
        st.lists(
            st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=18),
            min_size=1,
            max_size=20,
        ),
        st.integers(18, 26),
    )
    @settings(deadline=None)
    def test_a_decimal_is_the_nearest_float_or_refused(self, values, scale) -> None:
        batch = pl.DataFrame({"quantity": pl.Series(values, dtype=pl.Decimal(38, scale))})

        def fits(value: Decimal) -> bool:
            digits = value.normalize().as_tuple()
            exponent = int(digits.exponent)
            units = int("".join(map(str, digits.digits))) * 10 ** max(0, exponent)
            return units < 2**52 and -exponent <= 22

        if all(fits(value) for value in values):
            assert to_stored(batch, 0, Columns())["quantity"].to_list() == list(map(float, values))
        else:
            with pytest.raises(InvalidTradeError) as raised:
                to_stored(batch, 0, Columns())
            assert raised.value.row == [fits(value) for value in values].index(False)

    @pytest.mark.parametrize("name", ["agg_trade_id", "first_trade_id"])
    def test_an_id_beyond_64_bits(self, store, name) -> None:
        ids = pl.Series([1, 2, 2**64 - 1, 4], dtype=pl.UInt64)
        with pytest.raises(InvalidTradeError, match=rf"'{name}', row 2: .*18446744073709551615"):
            store.write("BTC", TRADES.with_columns(ids.alias(name)))

    def test_a_column_named_like_a_helper_of_the_store_is_kept(self, store) -> None:
        trades = days_of_trades(DAY, 3, 30).with_columns(
            __day=pl.col("agg_trade_id") * 2, day=pl.lit("x"), index=pl.lit(1), month=pl.lit(2)
        )
        store.write("BTC", trades)
        assert_frame_equal(store.scan("BTC").collect(), trades, check_column_order=False)

    @pytest.mark.parametrize(
        "values",
        [
            pl.Series(["a"], dtype=pl.Categorical),
            pl.Series(["a"], dtype=pl.Enum(["a"])),
            pl.Series([timedelta(1)]),
            pl.Series([DAY], dtype=pl.Datetime("us", "Asia/Tokyo")),
            pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)),
            pl.Series([1], dtype=pl.Int128),
            pl.Series([None]),
            pl.Series([["a"]], dtype=pl.List(pl.Categorical)),
            pl.Series([{"a": timedelta(1)}]),
        ],
        ids=lambda values: str(values.dtype),
    )
    def test_a_dtype_that_would_change_is_refused(self, store, values) -> None:
        with pytest.raises(RangeBarError, match="column 'note' has dtype .* cast it"):
            store.write("BTC", TRADES[:1].with_columns(values.alias("note")))

    @pytest.mark.parametrize(
        "values",
        [
            pl.Series([1, None], dtype=pl.UInt8),
            pl.Series([2**64 - 1, None], dtype=pl.UInt64),
            pl.Series([1.5, None], dtype=pl.Float32),
            pl.Series([b"a", None]),
            pl.Series([date(2024, 1, 1), None]),
            pl.Series([DAY, None], dtype=pl.Datetime("ms")),
            pl.Series([DAY, None], dtype=pl.Datetime("ns", "UTC")),
            pl.Series([DAY.time(), None]),
            pl.Series([Decimal("1.23"), None]),
            pl.Series([[1], None]),
            pl.Series([{"a": [1]}, None]),
        ],
        ids=lambda values: str(values.dtype),
    )
    def test_other_dtypes_come_back(self, store, values) -> None:
        frame = TRADES[:2].with_columns(values.alias("note"))
        store.write("BTC", frame)
        store.write("BTC", frame)
        assert_frame_equal(store.scan("BTC").collect(), frame)

    def test_a_dtype_that_differs_from_the_stored_days_is_refused(self, store) -> None:
        store.write("BTC", TRADES.with_columns(note=pl.lit(1)))
        later = TRADES.with_columns(
            pl.col("timestamp") + timedelta(days=3), pl.col("agg_trade_id") + 10, note=pl.lit("x")
        )
        with pytest.raises(RangeBarError, match=r"'note' has dtype Int32 on 2024-01-01 and String"):
            store.write("BTC", later)


class TestOptions:
    def test_decimals_is_the_grid_of_prices(self, store) -> None:
        tiny = TRADES.with_columns(price=pl.Series([4.567e-7, 4.5675e-8, 1.0, 1e-12]))
        with pytest.raises(InvalidTradeError, match=r"row 0: price 4.567e-07 .* decimals=8: give"):
            store.write("BTC", tiny)
        store.write("BTC", tiny, decimals=12)
        assert_frame_equal(store.scan("BTC").collect(), tiny, check_exact=True)
        assert store.verify().is_empty()
        # Stored prices may be finer than what comes later.
        store.write("BTC", tiny[2:3], decimals=2)
        assert store.scan("BTC").collect().height == 4
        with pytest.raises(InvalidTradeError, match="with decimals=1: give decimals="):
            store.write("ETH", TRADES.with_columns(price=pl.lit(0.25)), decimals=1)

    def test_a_price_too_large_beside_finer_ones(self, store) -> None:
        mixed = TRADES.with_columns(price=pl.Series([1e12, 1e-8, 1.0, 1.0]))
        with pytest.raises(InvalidTradeError, match="row 0: price 1000000000000.0 .* beside"):
            store.write("BTC", mixed)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"decimals": 13}, ValueError, "decimals must be between 0 and 12, got 13"),
            ({"decimals": -1}, ValueError, "decimals must be between 0 and 12"),
            ({"decimals": 2.0}, TypeError, "decimals must be a whole number"),
            ({"decimals": True}, TypeError, "decimals must be a whole number"),
            ({"time_unit": "m"}, ValueError, "time_unit must be one of 's', 'ms', 'us', 'ns'"),
            ({"time_unit": "ms"}, RangeBarError, "leave out time_unit='ms'"),
            ({"price": None}, TypeError, "price must be the name of a column, got None"),
            ({"price": "quantity"}, ValueError, "cannot be price and quantity at once"),
            ({"on_conflict": "skip"}, ValueError, "on_conflict must be 'error' or 'replace'"),
            ({"agg_trade_id": None}, RangeBarError, "'agg_trade_id' is there, but .*None"),
            ({"quantity": None}, RangeBarError, "'quantity' is there, but .*None"),
            ({"price": "quantity", "quantity": None}, RangeBarError, "column 'price' is there"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, store, options, error, message) -> None:
        with pytest.raises(error, match=message):
            store.write("BTC", TRADES, **options)
        assert not store.root.exists()


def test_the_root_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "a1").mkdir()
    for name in ("a[1]", "*?", "x=1", "s p"):
        store = TradeStore(tmp_path / name)
        store.write("BTC", TRADES)
        store.write("BTC", TRADES[1:2].with_columns(agg_trade_id=pl.lit(99)))  # merges
        assert store.scan("BTC").collect().height == 5
        assert store.verify().is_empty()
        assert store.gaps("BTC").height == 1
        assert store.info()["rows"].to_list() == [5]
        assert store.delete("BTC") == 1
    assert list((tmp_path / "a1").iterdir()) == []


@pytest.mark.parametrize("url", ["s3://bucket/x", Path("s3://bucket/x"), "file:///tmp/x"], ids=str)
def test_a_url_is_refused_at_the_call(tmp_path: Path, monkeypatch, url) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="root must be a local path"):
        TradeStore(url)
    monkeypatch.setenv("RANGEBAR_CACHE_DIR", str(url))
    with pytest.raises(ValueError, match="RANGEBAR_CACHE_DIR must be a local path"):
        TradeStore()
    assert list(tmp_path.iterdir()) == []


def test_a_null_is_named_whatever_the_dtype(store: TradeStore) -> None:
    for column, dtype in [("price", pl.Decimal(10, 2)), ("timestamp", pl.Int64)]:
        frame = TRADES.with_columns(pl.lit(None, dtype).alias(column))
        unit = "ms" if column == "timestamp" else None
        with pytest.raises(PolarsError, match=f"row 0: {column} must not be null, got null"):
            store.write("BTC", frame, time_unit=unit)
