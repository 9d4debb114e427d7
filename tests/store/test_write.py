"""What goes in comes out: sorted, each id once, every bit as it was."""

from __future__ import annotations

import random
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError
from polars.testing import assert_frame_equal

from rangebar_polars.exceptions import InvalidTradeError, RangeBarError
from rangebar_polars.store import Origin, TradeStore
from rangebar_polars.store.parquet import ROW_GROUP, read_footer
from tests.support.trades import COLUMNS, days_of_trades

START = datetime(2024, 1, 30, 20)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path / "store")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_round_trip_over_a_month_boundary(store: TradeStore, lazy: bool) -> None:
    trades = days_of_trades(START, 3, 5000)
    report = store.write("BTC", trades.lazy() if lazy else trades)
    assert report.rows_in == report.rows_stored == 5000
    assert report.days == [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1), date(2024, 2, 2)]
    assert report.merged_days == []
    assert_frame_equal(store.scan("BTC").collect(), trades, check_exact=True)
    months = sorted(p.name for p in (store.root / "trades/source=trades/symbol=BTC").iterdir())
    assert months == ["month=2024-01", "month=2024-02"]


def test_any_order_gives_the_same_store(store: TradeStore) -> None:
    trades = days_of_trades(START, 3, 3000)
    rows = list(range(3000))
    random.Random(5).shuffle(rows)
    store.write("A", trades)
    store.write("B", trades[rows])
    assert_frame_equal(store.scan("B").collect(), store.scan("A").collect(), check_exact=True)


def test_two_interleaved_streams_of_one_day_are_sorted(store: TradeStore) -> None:
    # Larger than a row group, and far apart in ids: as in the archive's 2023-05 files.
    size = 6 * ROW_GROUP
    low = days_of_trades(datetime(2024, 1, 1), 0.5, size)
    high = days_of_trades(datetime(2024, 1, 1, 12), 0.4, size, first_id=10_000_000)
    mixed = pl.concat([low, high]).with_row_index("i").sort(pl.col("i") % size).drop("i")
    assert store.write("BTC", mixed).merged_days == [date(2024, 1, 1)]
    assert_frame_equal(store.scan("BTC").collect(), pl.concat([low, high]), check_exact=True)


def test_writing_again_changes_nothing(store: TradeStore) -> None:
    trades = days_of_trades(START, 2, 2000)
    for part in (trades, trades, trades[500:900], trades.reverse()):
        store.write("BTC", part)
    assert_frame_equal(store.scan("BTC").collect(), trades, check_exact=True)
    assert store.verify().is_empty()


def test_asked_to_replace_the_newest_row_of_an_id_stays(store: TradeStore) -> None:
    trades = days_of_trades(START, 2, 1000)
    store.write("BTC", trades)
    changed = trades[100:200].with_columns(price=pl.lit(1.5))
    store.write("BTC", pl.concat([trades[100:150], changed]), on_conflict="replace")
    expected = pl.concat([trades[:100], changed, trades[200:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)


def test_days_can_come_in_any_order(store: TradeStore) -> None:
    trades = days_of_trades(START, 4, 4000)
    parts = [trades[i : i + 500] for i in range(0, 4000, 500)]
    for part in (parts[5], parts[0], parts[7], *parts[1:5], parts[6]):
        store.write("BTC", part)
    assert_frame_equal(store.scan("BTC").collect(), trades, check_exact=True)


def test_a_finer_grid_later_in_the_day(store: TradeStore) -> None:
    # More than a row group on the coarse grid is on disk before the finer prices come.
    rows = 2 * ROW_GROUP
    coarse = days_of_trades(datetime(2024, 1, 1), 0.5, rows)
    fine = days_of_trades(datetime(2024, 1, 1, 12), 0.1, 100, first_id=rows + 1)
    fine = fine.with_columns(price=pl.Series([0.00141557] * 100))
    store.write("BTC", pl.concat([coarse, fine]))
    assert_frame_equal(store.scan("BTC").collect(), pl.concat([coarse, fine]), check_exact=True)
    (path,) = (store.root / "trades").rglob("*.parquet")
    assert read_footer(path).divisor == 10**8


def test_quantities_need_no_grid(store: TradeStore) -> None:
    # Bars work on multiples of 1e-8; the store keeps what it was given.
    odd = [0.1 + 0.2, 1e-12, 1.7976931348623157e308, 5e-324, 123456789.123456789]
    trades = days_of_trades(START, 0.1, 5).with_columns(quantity=pl.Series(odd))
    store.write("BTC", trades)
    assert store.scan("BTC").collect()["quantity"].to_list() == odd


def test_a_dictionary_that_does_not_pay_is_given_up(store: TradeStore) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    rng = random.Random(3)
    rows = ROW_GROUP + 1000
    trades = days_of_trades(START.replace(hour=1), 0.9, rows).with_columns(
        quantity=pl.Series([rng.random() for _ in range(rows)])
    )
    store.write("BTC", trades)
    assert_frame_equal(store.scan("BTC").collect(), trades, check_exact=True)
    (path,) = (store.root / "trades").rglob("*.parquet")
    metadata = pq.read_metadata(path)  # pyright: ignore
    at = metadata.schema.names.index("quantity")  # pyright: ignore
    assert "PLAIN" in metadata.row_group(0).column(at).encodings  # pyright: ignore
    assert metadata.row_group(0).column(at).total_compressed_size < 9.5 * ROW_GROUP  # pyright: ignore


@pytest.mark.parametrize("name", ["price_units", "price_divisor"])
def test_names_that_the_store_uses_itself(store: TradeStore, name: str) -> None:
    trades = days_of_trades(START, 0.1, 5).with_columns(pl.lit(1).alias(name))
    with pytest.raises(RangeBarError, match=f"column '{name}' .* rename or drop it"):
        store.write("BTC", trades)
    assert store.symbols() == []


def test_a_meme_coin_and_a_costly_one(store: TradeStore) -> None:
    trades = days_of_trades(START, 1, 3).with_columns(
        price=pl.Series([1e-6, 1.5e8, 0.00000123]),
        quantity=pl.Series([1e11, 0.0, 999_999_999_999.0]),
    )
    store.write("MEME", trades)
    assert_frame_equal(store.scan("MEME").collect(), trades, check_exact=True)
    assert store.verify().is_empty()


def test_columns_and_dtypes_that_users_have(store: TradeStore) -> None:
    given = pl.DataFrame(
        {
            "T": [1_704_067_200_000, 1_704_067_200_001],
            "p": pl.Series(["42000.10", "42000.20"]).cast(pl.Decimal(12, 2)),
            "q": pl.Series([1, 2], dtype=pl.Int32),
            "a": pl.Series([7, 8], dtype=pl.UInt32),
            "note": ["x", None],
        }
    )
    store.write(
        "BTC", given, timestamp="T", price="p", quantity="q", agg_trade_id="a", time_unit="ms"
    )
    stored = store.scan("BTC").collect()
    assert stored.schema == {
        "timestamp": pl.Datetime("us"),
        "price": pl.Float64(),
        "quantity": pl.Float64(),
        "agg_trade_id": pl.Int64(),
        "note": pl.String(),
    }
    assert stored["price"].to_list() == [42000.1, 42000.2]
    assert stored["note"].to_list() == ["x", None]
    assert stored["timestamp"][0] == datetime(2024, 1, 1)


def test_zoned_times_are_stored_as_utc(store: TradeStore) -> None:
    trades = days_of_trades(datetime(2024, 1, 1), 0.01, 10)
    zoned = trades.with_columns(
        pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    )
    store.write("BTC", zoned)
    assert_frame_equal(store.scan("BTC").collect(), trades)


def test_without_quantity(store: TradeStore) -> None:
    trades = days_of_trades(START, 1, 10).drop("quantity")
    store.write("BTC", trades, quantity=None)
    assert_frame_equal(store.scan("BTC").collect(), trades)


def test_an_empty_frame_stores_nothing(store: TradeStore) -> None:
    assert store.write("BTC", days_of_trades(START, 1, 5).clear()).rows_stored == 0
    with pytest.raises(FileNotFoundError, match="no trades of 'BTC'"):
        store.scan("BTC")


def test_a_column_that_came_later_is_null_before(store: TradeStore) -> None:
    trades = days_of_trades(datetime(2024, 1, 1), 2, 200)
    later = trades[100:].with_columns(flag=pl.lit(True))
    store.write("BTC", trades[:100])
    store.write("BTC", later)
    stored = store.scan("BTC").collect()
    assert stored["flag"].to_list() == [None] * 100 + [True] * 100
    assert_frame_equal(stored.select(COLUMNS), trades)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": pl.lit(None, pl.Float64)}, "column 'price', row 0: price must not be null"),
        ({"price": pl.lit(float("nan"))}, "row 0: price must be finite and above 0, got NaN"),
        ({"price": pl.lit(0.0)}, "price must be finite and above 0, got 0.0"),
        ({"quantity": pl.lit(-1.0)}, "quantity must be finite and not negative, got -1.0"),
        ({"agg_trade_id": pl.lit(None, pl.Int64)}, "agg_trade_id must not be null"),
        ({"timestamp": pl.lit(None, pl.Datetime("us"))}, "timestamp must not be null"),
        ({"price": pl.lit(0.1) + pl.lit(0.2)}, "cannot be stored exactly"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_stored(
    store: TradeStore, change: dict[str, pl.Expr], message: str
) -> None:
    trades = days_of_trades(START, 3, 300)
    bad = trades.tail(1).with_columns(**change)
    with pytest.raises(InvalidTradeError, match=message):
        store.write("BTC", bad)
    with pytest.raises(InvalidTradeError, match="row 300"):
        store.write("BTC", pl.concat([trades, bad]).lazy())
    assert store.symbols() == []
    assert not list((store.root / "meta").rglob("*.tmp"))


def test_nanoseconds_that_would_be_lost_are_refused(store: TradeStore) -> None:
    times = pl.Series([0, 1500]).cast(pl.Datetime("ns"))
    trades = days_of_trades(START, 1, 2).with_columns(timestamp=times)
    with pytest.raises(InvalidTradeError, match="row 1: timestamp must be whole microseconds"):
        store.write("BTC", trades)


@pytest.mark.parametrize(
    ("column", "dtype", "message"),
    [
        ("price", pl.String, "column 'price' has dtype String, expected a number"),
        ("timestamp", pl.String, "column 'timestamp' has dtype String, expected Datetime"),
        ("timestamp", pl.Int64, "say what it counts with time_unit"),
        (
            "agg_trade_id",
            pl.Float64,
            "column 'agg_trade_id' has dtype Float64, expected an integer",
        ),
        ("is_buyer_maker", pl.Int8, "column 'is_buyer_maker' has dtype Int8, expected Boolean"),
    ],
)
def test_a_dtype_that_does_not_fit(
    store: TradeStore, column: str, dtype: type[pl.DataType], message: str
) -> None:
    trades = days_of_trades(START, 1, 5).with_columns(pl.col(column).cast(dtype))
    with pytest.raises(RangeBarError, match=message):
        store.write("BTC", trades)


def test_a_missing_column_is_named(store: TradeStore) -> None:
    with pytest.raises(ColumnNotFoundError, match=r"'agg_trade_id' not found.*agg_trade_id=None"):
        store.write("BTC", days_of_trades(START, 1, 5).drop("agg_trade_id"))


def test_a_file_published_anew_replaces_its_days(store: TradeStore) -> None:
    trades = days_of_trades(datetime(2024, 1, 1), 3, 3000)
    first = Origin("a.zip", "0" * 64, date(2024, 1, 2), date(2024, 1, 2))
    second = Origin("a.zip", "1" * 64, date(2024, 1, 2), date(2024, 1, 2))
    for day in (trades[:1000], trades[2000:]):
        store.write("BTC", day)
    store.write("BTC", trades[1000:2000], origin=first)
    assert store.origins("BTC", source="trades") == {"a.zip": first}
    store.write("BTC", trades[1200:1900], origin=second)
    expected = pl.concat([trades[:1000], trades[1200:1900], trades[2000:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
    assert store.origins("BTC", source="trades") == {"a.zip": second}
    # The same hash again merges, as any other write does.
    store.write("BTC", trades[1000:1100], origin=second)
    assert store.scan("BTC").collect().height == expected.height + 100


def test_an_error_of_the_plan_comes_through(store: TradeStore) -> None:
    def burst(_frame: pl.DataFrame) -> pl.DataFrame:
        raise KeyError("mine")

    plan = days_of_trades(START, 1, 5).lazy().map_batches(burst, schema=None)
    with pytest.raises(Exception, match="mine"):
        store.write("BTC", plan)
    assert store.symbols() == []
