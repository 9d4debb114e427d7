"""Scans read the files, columns and row groups they need, and no others."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.exceptions import ColumnNotFoundError
from polars.testing import assert_frame_equal

from rangebar_polars.store import TradeStore, reading
from rangebar_polars.store.layout import series
from rangebar_polars.store.parquet import ROW_GROUP, Footer, read_footer
from rangebar_polars.store.reading import read_part
from rangebar_polars.store.time_range import TimeRange, parse_time_range
from tests.support.trades import days_of_trades

START = datetime(2024, 1, 30)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path)


@pytest.fixture
def trades(store: TradeStore) -> pl.DataFrame:
    trades = days_of_trades(START, 4, 4000)
    store.write("BTC", trades)
    return trades


def test_only_the_days_asked_for_are_in_the_plan(store: TradeStore, trades: pl.DataFrame) -> None:
    plan = store.scan("BTC", "2024-01-31", "2024-02-01").explain()
    assert "2024-01-31.parquet" in plan
    assert "2024-02-01.parquet" in plan
    assert "2024-01-30.parquet" not in plan
    assert "2024-02-02.parquet" not in plan


def test_other_months_are_not_even_listed(
    store: TradeStore, trades: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    iterdir = Path.iterdir

    def spy(self: Path):  # pyright: ignore
        listed.append(self.name)
        return iterdir(self)

    monkeypatch.setattr(Path, "iterdir", spy)
    store.scan("BTC", "2024-02", "2024-02")
    assert "month=2024-02" in listed
    assert "month=2024-01" not in listed


def test_only_the_columns_in_use_are_read(store: TradeStore, trades: pl.DataFrame) -> None:
    plan = store.scan("BTC").select("price").explain()
    assert "PROJECT 2/6 COLUMNS" in plan
    assert "quantity" not in plan


def test_a_range_of_instants_reaches_the_files_as_a_filter(
    store: TradeStore, trades: pl.DataFrame
) -> None:
    start, end = datetime(2024, 1, 31, 6), datetime(2024, 2, 1, 18)
    scan = store.scan("BTC", start, end)
    assert "SELECTION" in scan.explain()
    expected = trades.filter(pl.col("timestamp").is_between(start, end, closed="left"))
    assert_frame_equal(scan.collect(), expected, check_exact=True)


def test_row_groups_outside_a_filter_are_not_read(store: TradeStore) -> None:
    trades = days_of_trades(START, 0.9, 4 * ROW_GROUP)
    store.write("BIG", trades)
    (path,) = (store.root / "trades").rglob("symbol=BIG/**/*.parquet")
    wanted = trades["agg_trade_id"][3 * ROW_GROUP + 5]
    # Everything but the last row group is overwritten: what is read in vain breaks the query.
    spoil_first_pages(path)
    row = store.scan("BIG").filter(pl.col("agg_trade_id") == wanted).collect()
    assert row["price"].to_list() == [trades["price"][3 * ROW_GROUP + 5]]
    with pytest.raises(Exception):  # noqa: B017 - whatever the decoder says
        store.scan("BIG").filter(pl.col("price") > 0).collect()


def spoil_first_pages(path: Path) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    group = pq.read_metadata(path).row_group(0)  # pyright: ignore
    with path.open("r+b") as file:
        for column in range(group.num_columns):  # pyright: ignore
            file.seek(group.column(column).data_page_offset)  # pyright: ignore
            file.write(b"\xff" * 64)


def test_columns_in_the_order_asked(store: TradeStore, trades: pl.DataFrame) -> None:
    assert store.scan("BTC", columns=["price", "timestamp"]).collect_schema().names() == [
        "price",
        "timestamp",
    ]
    with pytest.raises(ColumnNotFoundError, match="nope"):
        store.scan("BTC", columns=["nope"]).collect()


def test_several_symbols(store: TradeStore, trades: pl.DataFrame) -> None:
    other = days_of_trades(START, 2, 100, seed=3).with_columns(extra=pl.lit(1))
    store.write("ETH", other)
    both = store.scan(["ETH", "BTC"], "2024-01-30", "2024-01-31").collect()
    assert both["symbol"].unique(maintain_order=True).to_list() == ["ETH", "BTC"]
    eth = both.filter(pl.col("symbol") == "ETH").drop("symbol")
    assert_frame_equal(eth, other, check_exact=True, check_column_order=False)
    with pytest.raises(ValueError, match="no symbol"):
        store.scan([])


def test_days_without_trades_give_no_rows_but_the_columns(
    store: TradeStore, trades: pl.DataFrame
) -> None:
    assert_frame_equal(store.scan("BTC", "2020-01", "2020-02").collect(), trades.clear())


def test_two_sources_of_one_symbol(store: TradeStore, trades: pl.DataFrame) -> None:
    store.write("BTC", trades[:10], source="other")
    with pytest.raises(ValueError, match=r"several sources.*other.*trades"):
        store.scan("BTC")
    assert store.scan("BTC", source="other").collect().height == 10
    assert store.symbols() == [("other", "BTC"), ("trades", "BTC")]


def overlapping(store: TradeStore) -> pl.DataFrame:
    """Ids 90 to 110 stand around midnight with times in no order, some on both days."""
    trades = days_of_trades(datetime(2024, 1, 31, 23), 2 / 24, 200)
    midnight = datetime(2024, 2, 1)
    shifted = pl.when(pl.col("agg_trade_id").is_in([93, 95, 97])).then(pl.lit(midnight))
    shifted = shifted.when(pl.col("agg_trade_id").is_in([103, 108])).then(
        pl.lit(datetime(2024, 1, 31, 23, 59, 59))
    )
    mixed = trades.with_columns(timestamp=shifted.otherwise("timestamp").cast(pl.Datetime("us")))
    store.write("MIX", mixed)
    # The same id on the other side of midnight as well.
    again = mixed.filter(pl.col("agg_trade_id") == 95).with_columns(
        timestamp=pl.lit(datetime(2024, 1, 31, 23, 59, 58)).cast(pl.Datetime("us"))
    )
    store.write("MIX", again)
    return mixed


def test_neighbouring_days_that_share_ids_are_sorted_and_once(store: TradeStore) -> None:
    mixed = overlapping(store)
    found = store.scan("MIX").collect()
    assert found["agg_trade_id"].to_list() == mixed["agg_trade_id"].to_list()
    assert_frame_equal(found.drop("timestamp"), mixed.drop("timestamp"), check_exact=True)


def test_parts_of_a_range_add_up_to_it(store: TradeStore) -> None:
    mixed = overlapping(store)
    place, whole = series(store.root, "trades", "MIX"), parse_time_range(None, None)
    days = [day for day, _ in place.day_files()]
    parts = [
        read_part(place, TimeRange.of_days(day, day), whole, lambda plan: plan) for day in days
    ]
    joined = pl.concat(batch for part in parts for batch in part)
    assert joined["agg_trade_id"].to_list() == mixed["agg_trade_id"].to_list()


def test_a_range_of_many_parts_reads_each_footer_once(
    store: TradeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = days_of_trades(START, 60, 6000)
    store.write("BTC", trades)
    place, whole = series(store.root, "trades", "BTC"), parse_time_range(None, None)
    read: list[Path] = []

    def counting(path: Path) -> Footer:
        read.append(path)
        return read_footer(path)

    monkeypatch.setattr(reading, "read_footer", counting)
    days = [day for day, _ in place.day_files()]
    parts = (read_part(place, TimeRange.of_days(d, d), whole, lambda plan: plan) for d in days)
    joined = pl.concat(batch for part in parts for batch in part)
    assert_frame_equal(joined, trades, check_exact=True)
    assert len(read) == len(set(read)) == 60
    # A file that was replaced meanwhile is looked at again.
    store.write("BTC", trades[:1].with_columns(price=pl.lit(0.5)), on_conflict="replace")
    first = TimeRange.of_days(days[0], days[0])
    (batch,) = read_part(place, first, whole, lambda plan: plan)
    assert batch["price"][0] == 0.5
    assert len(read) == 61


def test_a_numbering_that_begins_anew_loses_nothing(store: TradeStore) -> None:
    first = days_of_trades(datetime(2024, 1, 1), 1, 500)
    second = days_of_trades(datetime(2024, 1, 2), 1, 400)
    store.write("NEW", pl.concat([first, second]))
    assert_frame_equal(store.scan("NEW").collect(), pl.concat([first, second]), check_exact=True)
    assert store.gaps("NEW")["kind"].to_list() == ["id_reset"]


def test_a_stored_plan_survives_a_finer_grid(store: TradeStore, trades: pl.DataFrame) -> None:
    # Made before the file is replaced by one with another divisor.
    plan = store.scan("BTC")
    fine = trades[:1].with_columns(price=pl.lit(0.00000123))
    store.write("BTC", fine, on_conflict="replace")
    assert_frame_equal(plan.collect(), pl.concat([fine, trades[1:]]), check_exact=True)
