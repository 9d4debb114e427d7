"""From a symbol and two dates to bars."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars import _time
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.frames import range_bars
from rangebar_polars.sources.binance import FetchReport, MissingDaysError
from rangebar_polars.sources.binance.bars import get_n_range_bars, get_range_bars
from rangebar_polars.sources.binance.files import Feed
from rangebar_polars.store import TradeStore
from tests.support.archive_server import ArchiveServer, serve
from tests.support.made_files import BTC, day_trades, publish

DAYS = [date(2024, 1, 25) + timedelta(days=n) for n in range(10)]
ROWS = 200
TRADES = pl.concat([day_trades(BTC, day, ROWS, 1 + ROWS * n) for n, day in enumerate(DAYS)])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    for number, day in enumerate(DAYS):
        publish(folder, BTC, TRADES[ROWS * number : ROWS * (number + 1)], day)
    with serve(folder) as running:
        yield running


@pytest.fixture
def options(server: ArchiveServer, tmp_path: Path) -> dict[str, Any]:
    store = TradeStore(tmp_path / "store")
    return {"market": "um", "store": store, "base_url": server.url, "backoff_s": 0.001}


def test_bars_of_a_range(server: ArchiveServer, options: dict[str, Any]) -> None:
    report = FetchReport()
    plan = get_range_bars("BTCUSDT", DAYS[0], DAYS[-1], 50, report=report, **options)
    assert server.requests == []
    bars = plan.collect()
    assert_frame_equal(bars, range_bars(TRADES, 50), check_exact=True)
    assert bars.height > 100
    assert len(report.fetched) == len(DAYS)


def test_all_that_makes_a_bar_is_passed_on(options: dict[str, Any]) -> None:
    rules: dict[str, Any] = {
        "incomplete": "keep",
        "same_timestamp_close": True,
        "reset": "1d",
        "reset_offset": "6h",
        "max_gap": "6m",
    }
    plan = get_range_bars("BTCUSDT", "2024-01-25", "2024-01-27", ["tight", 100], **rules, **options)
    expected = range_bars(TRADES[: 3 * ROWS], [50, 100], **rules)
    assert_frame_equal(plan.collect(), expected, check_exact=True)


def test_several_symbols(server: ArchiveServer, options: dict[str, Any]) -> None:
    other = Feed("ETHUSDT", "um")
    eth = day_trades(other, DAYS[0], 90)
    publish(server.root, other, eth, DAYS[0])
    bars = get_range_bars(["ETHUSDT", "BTCUSDT"], DAYS[0], DAYS[0], 50, **options).collect()
    for symbol, trades in (("ETHUSDT", eth), ("BTCUSDT", TRADES[:ROWS])):
        mine = bars.filter(pl.col("symbol") == symbol).drop("symbol")
        assert_frame_equal(mine, range_bars(trades, 50), check_exact=True)
    with pytest.raises(ValueError, match="symbol must name at least one"):
        get_range_bars([], DAYS[0], **options)
    with pytest.raises(ValueError, match="symbol names BTCUSDT more than once"):
        get_range_bars(["BTCUSDT", "btcusdt"], DAYS[0], **options)
    with pytest.raises(ValueError, match="takes one symbol"):
        get_range_bars(["A", "B"], DAYS[0], report=FetchReport(), **options)


def by_day(days: list[date], threshold: int = 50) -> pl.DataFrame:
    inside = TRADES.filter(pl.col("timestamp").dt.date().is_in(days))
    return range_bars(inside, threshold, reset="1d")


def last_of(bars: pl.DataFrame, n: int) -> pl.DataFrame:
    """The last bars, counted among themselves."""
    return bars.tail(n).with_columns(bar_id=pl.int_range(pl.len(), dtype=pl.UInt32))


@pytest.mark.parametrize("n", [1, 5, 30, 60])
def test_exactly_the_last_n_bars(server: ArchiveServer, options: dict[str, Any], n: int) -> None:
    bars = get_n_range_bars("BTCUSDT", n, DAYS[-1], 50, **options).collect()
    assert_frame_equal(bars, last_of(by_day(DAYS), n), check_exact=True)
    # No day more than needed was read.
    needed = bars["close_time"].dt.date().n_unique()
    assert len(server.asked(".zip")) == needed


def test_an_end_inside_a_day(options: dict[str, Any]) -> None:
    end = datetime(2024, 1, 30, 7, 30)
    bars = get_n_range_bars("BTCUSDT", 12, end, 50, **options).collect()
    expected = last_of(range_bars(TRADES.filter(pl.col("timestamp") < end), 50, reset="1d"), 12)
    assert_frame_equal(bars, expected, check_exact=True)


def test_months(server: ArchiveServer, options: dict[str, Any]) -> None:
    options["missing"] = "skip"
    bars = get_n_range_bars("BTCUSDT", 100, DAYS[-1], 50, reset="1mo", **options).collect()
    assert_frame_equal(bars, last_of(range_bars(TRADES, 50, reset="1mo"), 100), check_exact=True)


def test_the_last_published_day(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # Three days after the last file: archives are late.
    monkeypatch.setattr(_time, "utc_today", lambda: DAYS[-1] + timedelta(days=3))
    bars = get_n_range_bars("BTCUSDT", 7, None, 50, **options).collect()
    assert_frame_equal(bars, last_of(by_day(DAYS), 7), check_exact=True)


def test_a_month_whose_last_days_are_not_published_yet(
    server: ArchiveServer, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The month in progress is there up to the day before yesterday, and its bars count.
    monkeypatch.setattr(_time, "utc_today", lambda: DAYS[-1] + timedelta(days=3))
    first = date(2024, 2, 1)
    february = [day for day in DAYS if day >= first]
    expected = range_bars(TRADES.filter(pl.col("timestamp").dt.date() >= first), 50)
    plan = get_n_range_bars("BTCUSDT", 10, None, 50, reset="1mo", **options)
    assert_frame_equal(plan.collect(), last_of(expected, 10), check_exact=True)
    # A hole before that is no delay.
    next(server.root.rglob(f"*{february[1]}.zip.CHECKSUM")).unlink()
    elsewhere: dict[str, Any] = {**options, "store": TradeStore(server.root)}
    with pytest.raises(MissingDaysError, match=str(february[1])):
        get_n_range_bars("BTCUSDT", 10, None, 50, reset="1mo", **elsewhere).collect()


def test_a_hole_is_an_error(server: ArchiveServer, options: dict[str, Any]) -> None:
    next(server.root.rglob("*2024-02-02.zip.CHECKSUM")).unlink()
    with pytest.raises(MissingDaysError, match="2024-02-02"):
        get_n_range_bars("BTCUSDT", 250, DAYS[-1], 50, **options).collect()
    options["missing"] = "skip"
    bars = get_n_range_bars("BTCUSDT", 250, DAYS[-1], 50, **options).collect()
    left = [day for day in DAYS if day != date(2024, 2, 2)]
    assert_frame_equal(bars, last_of(by_day(left), 250), check_exact=True)


def test_a_history_that_is_too_short(options: dict[str, Any]) -> None:
    with pytest.raises(RangeBarError, match="no trades for 2024-01-24"):
        get_n_range_bars("BTCUSDT", 10_000, DAYS[-1], 50, **options).collect()
    options["missing"] = "skip"
    bars = get_n_range_bars("BTCUSDT", 10_000, DAYS[-1], 50, **options).collect()
    assert_frame_equal(bars, last_of(by_day(DAYS), 10_000), check_exact=True)


def test_it_is_a_lazy_frame_like_any_other(options: dict[str, Any]) -> None:
    plan = get_n_range_bars("BTCUSDT", 20, DAYS[-1], 50, **options)
    bars = last_of(by_day(DAYS), 20)
    up = pl.col("close") > pl.col("open")
    assert_frame_equal(
        plan.filter(up).select("close").head(3).collect(), bars.filter(up).select("close").head(3)
    )
    assert_frame_equal(plan.head(6).filter(up).collect(), bars.head(6).filter(up))
    assert plan.select(pl.len()).collect().item() == 20
    explained = plan.explain()
    assert "LAST RANGE BARS" in explained
    assert "BTCUSDT, um aggTrades; 20 bars up to 2024-02-03" in explained


def test_mistakes_are_named_at_the_call(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        get_n_range_bars("BTCUSDT", 0, **options)
    for n in (2.5, True, "5"):
        with pytest.raises(TypeError, match="n must be a whole number of bars"):
            get_n_range_bars("BTCUSDT", n, **options)  # type: ignore
    with pytest.raises(ValueError, match=r"end \(2999-01-01\) lies in the future"):
        get_n_range_bars("BTCUSDT", 5, "2999-01-01", **options)
    with pytest.raises(ValueError, match="reset must be '1d' or '1mo'"):
        get_n_range_bars("BTCUSDT", 5, reset="1w", **options)
    with pytest.raises(ValueError, match="between 1 and 100000"):
        get_n_range_bars("BTCUSDT", 5, None, 0, **options)
    with pytest.raises(ValueError, match="between 1 and 100000"):
        get_range_bars("BTCUSDT", DAYS[0], None, 100_001, **options)
