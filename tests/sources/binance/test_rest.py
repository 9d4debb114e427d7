"""Days that are not in the archive yet, from the exchange's REST service."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rangebar_polars import _time
from rangebar_polars.sources.binance import (
    FetchError,
    FetchReport,
    MissingDaysError,
    rest,
    scan_binance,
)
from rangebar_polars.sources.binance.archive import days_until
from rangebar_polars.sources.binance.http import Http
from rangebar_polars.sources.binance.rest import RestTrades
from rangebar_polars.store import TradeStore
from tests.support.archive_server import ArchiveServer, Status, serve
from tests.support.made_files import BTC, day_trades, publish

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
    """Answer as the exchange does: by id, by a window of at most an hour, or the newest."""
    assert path == "/rest/aggTrades"
    assert query["symbol"] == "BTCUSDT"
    ms = pl.col("timestamp").dt.epoch("ms")
    if "fromId" in query:
        found = TRADES.filter(pl.col("agg_trade_id") >= int(query["fromId"]))
    elif "startTime" not in query:
        found = TRADES.tail(int(query["limit"]))
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


def test_days_that_cannot_be_there_yet(server: ArchiveServer, tmp_path: Path) -> None:
    store = TradeStore(tmp_path / "store")
    hint = "recent=True takes days that are not published yet"
    with pytest.raises(MissingDaysError, match=f"2024-01-04; .*{hint}"):
        scan(server, store, end=TODAY, recent=False).collect()
    for end in (TODAY + timedelta(days=1), "2024-01", "2024-01-05T00:00:01"):
        for recent in (False, True):
            with pytest.raises(ValueError, match="lies in the future, today is 2024-01-04"):
                scan(server, store, end=end, recent=recent, missing="skip")
    # Up to midnight is not the future.
    assert scan(server, store, end="2024-01-05T00:00").collect().height == 4 * ROWS


def test_runs_that_left_a_gap_between_them(server: ArchiveServer, tmp_path: Path) -> None:
    """Days that a later run began with are no reason to leave out those before."""
    store = TradeStore(tmp_path / "store")
    scan(server, store, start=DAYS[2]).collect()
    assert_frame_equal(scan(server, store, start=DAYS[1]).collect(), TRADES[ROWS:])
    # A run that broke off in the middle of a day, before another one began at the next.
    store = TradeStore(tmp_path / "other")
    broken = TRADES[ROWS : ROWS + 700].select(list(BTC.schema))
    store.write("BTCUSDT", broken, source=BTC.source)
    scan(server, store, start=DAYS[2]).collect()
    assert_frame_equal(scan(server, store, start=DAYS[1]).collect(), TRADES[ROWS:])


def test_a_server_whose_pages_are_smaller_than_asked(server: ArchiveServer, tmp_path: Path) -> None:
    server.rest = lambda path, query: answer(path, query)[:500]
    found = scan(server, TradeStore(tmp_path / "store")).collect()
    assert_frame_equal(found, TRADES, check_exact=True)


def test_a_day_without_a_trade_yet_is_not_missing(server: ArchiveServer, tmp_path: Path) -> None:
    quiet = TRADES[:ROWS]
    server.rest = lambda path, query: (
        [] if "startTime" in query or int(query.get("fromId", 0)) > ROWS else answer(path, query)
    )
    report = FetchReport()
    found = scan(server, TradeStore(tmp_path / "store"), report=report).collect()
    assert_frame_equal(found, quiet)
    assert (report.missing_days, report.recent_days) == ([], [])


def trade(number: int, time: int, **changes: Any) -> dict[str, Any]:
    good = {"a": number, "p": "100.5", "q": "1", "f": number, "l": number, "T": time, "m": True}
    return {**good, **changes}


@dataclass
class Exchange:
    """Trades at given times, by ids that rise but may leave some out."""

    times: Sequence[int]
    step: int = 1
    limit: int = 1000
    requests: int = 0

    def json(self, url: str, params: dict[str, Any]) -> list[dict[str, Any]]:
        self.requests += 1
        limit, rows = min(self.limit, params["limit"]), len(self.times)
        if "fromId" in params:
            first = min(rows, -(-params["fromId"] // self.step))
        elif "startTime" in params:
            first = bisect_left(self.times, params["startTime"])
            limit = min(limit, bisect_right(self.times, params["endTime"]) - first)
        else:
            first = max(0, rows - limit)
        numbers = range(first, min(rows, first + limit))
        return [trade(n * self.step, self.times[n]) for n in numbers]


@given(
    gaps=st.lists(st.sampled_from([0, 1, 1, 50, 4_000_000, 90_000_000]), max_size=80),
    start=st.integers(0, 100_000_000),
    step=st.integers(1, 5),
    limit=st.sampled_from([1, 2, 3, 10, 1000]),
)
def test_the_first_id_since_any_time(gaps: list[int], start: int, step: int, limit: int) -> None:
    exchange = Exchange(list(accumulate(gaps)), step, limit)
    found = RestTrades(BTC, cast("Http", exchange), "").first_id_since(start)
    at = bisect_left(exchange.times, start)
    assert found == (at * step if at < len(exchange.times) else None)
    assert exchange.requests <= 30


@pytest.mark.parametrize("trades_since", [0, 1, 999, 1001, 5_000_000, 2_999_999_000])
def test_a_long_silence_costs_no_more_requests(trades_since: int) -> None:
    """A billion trades, and years without any before the time asked for."""
    start, silence = 1_700_000_000_000, 4 * 365 * 86_400_000

    class Times(Sequence[int]):
        def __len__(self) -> int:
            return 3_000_000_000

        def __getitem__(self, at: Any) -> Any:
            before = len(self) - trades_since
            if at < before:
                return start - silence + at // 1000
            return start + 3_600_000 * 24 * 30 + (at - before) // 1000

    exchange = Exchange(Times())
    found = RestTrades(BTC, cast("Http", exchange), "").first_id_since(start)
    assert found == (3_000_000_000 - trades_since if trades_since else None)
    assert exchange.requests <= 40


def test_requests_of_a_silent_symbol(server: ArchiveServer, tmp_path: Path) -> None:
    asked: list[dict[str, str]] = []

    def silent(path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        asked.append(query)
        old = trade(7, 1_600_000_000_000)
        return [] if "startTime" in query or int(query.get("fromId", 0)) > 7 else [old]

    server.rest = silent
    next(server.root.rglob("*.CHECKSUM")).unlink()
    found = scan(server, TradeStore(tmp_path / "store"), start="2023-12-05")
    assert found.collect().is_empty()
    assert len(asked) == 2


def repeated(path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    return answer(path, {**query, "fromId": "3001"})


def endless(path: str, query: dict[str, str]) -> list[dict[str, Any]]:
    first, day = int(query.get("fromId", 0)), 1_704_153_600_000  # 2024-01-02
    return [trade(first + n, day) for n in range(min(1000, int(query["limit"])))]


NOT_TRADES: dict[str, Any] = {
    "a page again and again": repeated,
    "pages without end": endless,
    "an object": {"code": -1121, "msg": "Invalid symbol."},
    "null": None,
    "numbers": [1, 2],
    "a trade without fields": [{}],
    "an id that is text": [trade(1, 0, a="1")],
    "an id that is a float": [trade(1, 0, a=1.5)],
    "an id that is true": [trade(1, 0, a=True)],
    "an id too large": [trade(1, 0, a=2**70)],
    "a negative id": [trade(1, 0, l=-1)],
    "a price that is a number": [trade(1, 0, p=1.5)],
    "a price that is none": [trade(1, 0, p="NaN")],
    "a price of Arabic digits": [trade(1, 0, p="\u0661")],
    "a price of a thousand digits": [trade(1, 0, p="9" * 1000)],
    "a ninth decimal": [trade(3001, 1_704_153_600_000, p="1.123456789")],
    "a price of nothing": [trade(3001, 1_704_153_600_000, p="0.00")],
    "a side that is text": [trade(1, 0, m="true")],
    "a time in microseconds": [trade(1, 1_704_153_600_000_000)],
    "ids that fall": [trade(3005, 1_704_153_600_000), trade(3004, 1_704_153_600_000)],
    "ids that stand twice": [trade(3005, 1_704_153_600_000)] * 2,
}


@pytest.mark.parametrize("case", NOT_TRADES)
def test_what_is_not_trades(
    case: str, server: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "MOST_PAGES", 20)
    said = NOT_TRADES[case]
    server.rest = said if callable(said) else lambda _path, _query: said
    store = TradeStore(tmp_path / "store")
    for start in (DAYS[0], DAYS[1]):  # behind stored trades, and without any
        with pytest.raises(FetchError, match="rest/aggTrades: "):
            scan(server, store, start=start).collect()
    assert len(server.asked("/rest/aggTrades")) <= 60
