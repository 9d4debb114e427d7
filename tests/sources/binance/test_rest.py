"""Days that are not in the archive yet, from the exchange's REST service."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars import _time
from rangebar_polars.sources.binance import (
    FetchReport,
    MissingDaysError,
    scan_binance,
)
from rangebar_polars.sources.binance.archive import days_until
from rangebar_polars.store import TradeStore
from tests.sources.binance.archive_server import ArchiveServer, Status, serve
from tests.sources.binance.made_files import BTC, day_trades, publish

TODAY = date(2024, 1, 4)
ROWS = 3000
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(4)]
TRADES = pl.concat([day_trades(BTC, day, ROWS, 1 + ROWS * n) for n, day in enumerate(DAYS)])


@pytest.fixture(autouse=True)
def fixed_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_time, "utc_today", lambda: TODAY)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        publish(running.root, BTC, TRADES[:ROWS], DAYS[0])
        running.rest = answer
        yield running


def answer(path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    """Answer as the exchange does: by id, or by a window of at most an hour."""
    assert path == "/rest/aggTrades"
    assert query["symbol"] == "BTCUSDT"
    ms = pl.col("timestamp").dt.epoch("ms")
    if "fromId" in query:
        found = TRADES.filter(pl.col("agg_trade_id") >= int(query["fromId"]))
    else:
        start, end = int(query["startTime"]), int(query["endTime"])
        assert end - start < 3_600_000
        found = TRADES.filter(ms.is_between(start, end))
    return [
        {
            "a": row["agg_trade_id"],
            "p": f"{row['price']:.2f}",
            "q": f"{row['quantity']:.3f}",
            "f": row["first_trade_id"],
            "l": row["last_trade_id"],
            "T": row["timestamp"] // 1000,
            "m": row["is_buyer_maker"],
        }
        for row in found.head(int(query["limit"]))
        .with_columns(pl.col("timestamp").to_physical())
        .rows(named=True)
    ]


def scan(server: ArchiveServer, store: TradeStore, **options: Any) -> pl.LazyFrame:
    given: dict[str, Any] = {"start": DAYS[0], "recent": True, "end": None, **options}
    return scan_binance(
        "BTCUSDT",
        market="um",
        store=store,
        base_url=server.url,
        rest_url=f"{server.url}/rest",
        backoff_s=0.001,
        **given,
    )


def test_the_last_days_come_by_id(server: ArchiveServer, tmp_path: Path) -> None:
    store, report = TradeStore(tmp_path / "store"), FetchReport()
    found = scan(server, store, report=report).collect()
    assert_frame_equal(found, TRADES, check_exact=True)
    assert report.recent_days == DAYS[1:]
    assert report.fetched == ["BTCUSDT-aggTrades-2024-01-01.zip"]
    # Another run asks only for what came since.
    server.requests.clear()
    assert_frame_equal(scan(server, store).collect(), TRADES)
    assert len(server.asked("/rest/aggTrades")) == 1


def test_without_an_earlier_day_the_first_id_is_looked_for(
    server: ArchiveServer, tmp_path: Path
) -> None:
    store = TradeStore(tmp_path / "store")
    found = scan(server, store, start=DAYS[2], end=DAYS[2]).collect()
    assert_frame_equal(found, TRADES[2 * ROWS : 3 * ROWS], check_exact=True)


def test_a_published_day_takes_the_place_of_what_rest_gave(
    server: ArchiveServer, tmp_path: Path
) -> None:
    store = TradeStore(tmp_path / "store")
    scan(server, store).collect()
    publish(server.root, BTC, TRADES[ROWS : 2 * ROWS], DAYS[1])
    report = FetchReport()
    assert_frame_equal(scan(server, store, report=report).collect(), TRADES)
    assert "BTCUSDT-aggTrades-2024-01-02.zip" in report.fetched


def test_holes_before_the_end_are_still_missing(server: ArchiveServer, tmp_path: Path) -> None:
    publish(server.root, BTC, TRADES[2 * ROWS : 3 * ROWS], DAYS[2])
    with pytest.raises(MissingDaysError, match=r"2024-01-02;"):
        scan(server, TradeStore(tmp_path / "store")).collect()


def test_a_limit_is_waited_out(server: ArchiveServer, tmp_path: Path) -> None:
    server.fail("rest", Status(429, {"Retry-After": "0"}), Status(418, {"Retry-After": "0"}))
    found = scan(server, TradeStore(tmp_path / "store"), end=DAYS[1]).collect()
    assert_frame_equal(found, TRADES[: 2 * ROWS])


def test_the_default_end(server: ArchiveServer, tmp_path: Path) -> None:
    store = TradeStore(tmp_path / "store")
    for number, day in enumerate(DAYS[:3]):
        publish(server.root, BTC, TRADES[ROWS * number : ROWS * (number + 1)], day)
    assert scan(server, store, recent=False).collect().height == 3 * ROWS
    with pytest.raises(ValueError, match="after the last day"):
        scan(server, store, start=TODAY, recent=False)
    assert days_until(TODAY, None, recent=True).first_day == TODAY
