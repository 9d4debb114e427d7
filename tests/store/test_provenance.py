"""Rows know which file brought them: a file published anew takes its own rows with it, all over."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.store import Origin, TradeStore
from tests.support.trades import days_of_trades

TRADES = days_of_trades(datetime(2024, 1, 1), 3, 300)
FIRST, SECOND, THIRD = (date(2024, 1, n) for n in (1, 2, 3))


def origin(day: date, version: int) -> Origin:
    return Origin(f"{day}.zip", f"{version:064}", day, day)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    """The file of the first day holds the first two trades of the second."""
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES[:102], origin=origin(FIRST, 1))
    store.write("BTC", TRADES[102:200], origin=origin(SECOND, 1))
    store.write("BTC", TRADES[200:], origin=origin(THIRD, 1))
    assert_frame_equal(store.scan("BTC").collect(), TRADES)
    return store


def test_the_neighbour_is_published_anew_and_the_stray_stays(store: TradeStore) -> None:
    store.write("BTC", TRADES[110:200], origin=origin(SECOND, 2))
    expected = pl.concat([TRADES[:102], TRADES[110:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
    assert store.verify().is_empty()


def test_a_stray_that_its_own_file_has_no_more_is_gone(store: TradeStore) -> None:
    store.write("BTC", TRADES[:101], origin=origin(FIRST, 2))
    expected = pl.concat([TRADES[:101], TRADES[102:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
    store.write("BTC", TRADES[:50], origin=origin(FIRST, 3))
    expected = pl.concat([TRADES[:50], TRADES[102:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
    assert store.verify().is_empty()


@pytest.mark.parametrize("again", [FIRST, SECOND])
def test_a_trade_of_two_files_stays_while_one_has_it(store: TradeStore, again: date) -> None:
    # Both have the first two trades of the second day now.
    store.write("BTC", TRADES[100:200], origin=origin(SECOND, 2))
    assert_frame_equal(store.scan("BTC").collect(), TRADES)
    rows = {FIRST: TRADES[:100], SECOND: TRADES[102:200]}
    store.write("BTC", rows[again], origin=origin(again, 3))
    assert_frame_equal(store.scan("BTC").collect(), TRADES, check_exact=True)
    other = FIRST if again == SECOND else SECOND
    store.write("BTC", rows[other], origin=origin(other, 4))
    expected = pl.concat([TRADES[:100], TRADES[102:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)


def test_a_day_of_strays_only_vanishes_with_them(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES[:102], origin=origin(FIRST, 1))
    store.write("BTC", TRADES[:100], origin=origin(FIRST, 2))
    assert store.days("BTC", source="trades") == [FIRST]
    assert_frame_equal(store.scan("BTC").collect(), TRADES[:100])


def test_rows_of_no_file_beside_strays_stay(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES[150:160])
    store.write("BTC", TRADES[:102], origin=origin(FIRST, 1))
    report = store.write("BTC", TRADES[:100], origin=origin(FIRST, 2))
    assert report.days == [FIRST, SECOND]
    expected = pl.concat([TRADES[:100], TRADES[150:160]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)


def test_what_was_stored_before_the_file_came_is_replaced_with_it(tmp_path: Path) -> None:
    # As days that only the exchange's service had, until their file is published and replaced.
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES[:100])
    store.write("BTC", TRADES[:90], origin=origin(FIRST, 1))
    store.write("BTC", TRADES[:80], origin=origin(FIRST, 2))
    assert_frame_equal(store.scan("BTC").collect(), TRADES[:80], check_exact=True)


def test_deleting_days_forgets_all_files_that_had_brought_rows(store: TradeStore) -> None:
    assert store.delete("BTC", SECOND, SECOND) == 1
    # To have the second day whole again, the first day's file is needed too.
    assert list(store.origins("BTC", source="trades")) == [f"{THIRD}.zip"]


def test_the_column_is_seen_by_nobody(store: TradeStore) -> None:
    assert store.scan("BTC").collect_schema().names() == TRADES.columns
    with pytest.raises(pl.exceptions.ComputeError, match="'brought_by' is named like one that"):
        store.write("BTC", TRADES.with_columns(brought_by=pl.lit("x")))


def test_a_damaged_day_is_healed_by_its_file_published_anew(store: TradeStore) -> None:
    (path,) = store.root.rglob(f"{SECOND}.parquet")
    path.write_bytes(b"damaged")
    store.write("BTC", TRADES[100:200], origin=origin(SECOND, 2))
    assert_frame_equal(store.scan("BTC").collect(), TRADES, check_exact=True)


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_an_origin_has_a_name_of_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="name of an origin"):
        Origin(name, "0" * 64, FIRST, FIRST)


def test_a_month_published_anew_is_right_about_its_days(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    month = [Origin("month.zip", f"{n:064}", FIRST, THIRD) for n in range(2)]
    store.write("BTC", TRADES[:102], origin=origin(FIRST, 1))
    store.write("BTC", TRADES[102:200], origin=origin(SECOND, 1))
    store.write("BTC", TRADES, origin=month[0])
    # A bad trade is gone from the new month; the days' own files, replaced by it, do not keep it.
    store.write("BTC", TRADES.filter(pl.col("agg_trade_id") != 51), origin=month[1])
    expected = pl.concat([TRADES[:50], TRADES[51:]])
    assert_frame_equal(store.scan("BTC").collect(), expected, check_exact=True)
