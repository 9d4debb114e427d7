"""What is stored is there without a network, and said to be unchecked."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.sources.binance import (
    FetchError,
    FetchReport,
    MissingDaysError,
    UncheckedFilesWarning,
    scan_binance,
)
from rangebar_polars.sources.binance.files import ArchiveFile
from rangebar_polars.store import TradeStore
from tests.support.archive_server import ArchiveServer, Status, serve
from tests.support.made_files import BTC, day_trades, publish

DAYS = [date(2023, 12, 25) + timedelta(days=n) for n in range(24)]
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def trades(server: ArchiveServer) -> pl.DataFrame:
    frames = [day_trades(BTC, day, 4, 1 + 4 * n) for n, day in enumerate(DAYS)]
    for day, frame in zip(DAYS, frames, strict=True):
        publish(server.root, BTC, frame, day)
    return pl.concat(frames)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path, server: ArchiveServer, trades: pl.DataFrame) -> TradeStore:
    filled = TradeStore(tmp_path / "store")
    scan(filled, server.url).collect()
    return filled


def scan(store: TradeStore, url: str, **options: Any) -> pl.LazyFrame:
    given: dict[str, Any] = {"start": DAYS[0], "end": DAYS[-1], "backoff_s": 0.01, **options}
    return scan_binance("BTCUSDT", market="um", store=store, base_url=url, **given)


def test_stored_days_are_served_offline(store: TradeStore, trades: pl.DataFrame) -> None:
    report = FetchReport()
    started = time.monotonic()
    with pytest.warns(
        UncheckedFilesWarning, match="23 more used as stored, without a check"
    ) as seen:
        found = scan(store, NOWHERE, report=report).collect()
    # Nobody waits for as many timeouts as there are files.
    assert time.monotonic() - started < 5
    assert_frame_equal(found, trades)
    assert report.unchecked == [ArchiveFile(BTC, day, day).name for day in DAYS]
    assert report.reused == report.unchecked
    assert len(seen) == 1
    warning = seen[0].message
    assert isinstance(warning, UncheckedFilesWarning)
    assert "ConnectError" in str(warning)
    again = pickle.loads(pickle.dumps(warning))
    assert (str(again), again.files) == (str(warning), warning.files)


def test_stored_months_are_served_offline(server: ArchiveServer, tmp_path: Path) -> None:
    days = [date(2024, 1, day) for day in range(1, 32)]
    whole = pl.concat(day_trades(BTC, day, 4, 1 + 4 * n) for n, day in enumerate(days))
    publish(server.root, BTC, whole, days[0], days[-1])
    store = TradeStore(tmp_path / "store")
    options: dict[str, Any] = {"start": "2024-01", "end": "2024-01"}
    assert scan(store, server.url, **options).collect().height == whole.height
    with pytest.warns(UncheckedFilesWarning, match=r"2024-01\.zip used as stored"):
        assert_frame_equal(scan(store, NOWHERE, **options).collect(), whole)


def test_days_that_are_not_stored_still_need_the_network(store: TradeStore) -> None:
    with pytest.raises(FetchError, match="ConnectError"):
        scan(store, NOWHERE, end=DAYS[-1] + timedelta(days=1), retries=1).collect()
    store.delete("BTCUSDT", DAYS[5], DAYS[5])
    with pytest.raises(FetchError, match="ConnectError"):
        scan(store, NOWHERE, retries=1).collect()


def test_whoever_does_not_ask_is_not_warned(store: TradeStore, trades: pl.DataFrame) -> None:
    assert_frame_equal(scan(store, NOWHERE, revalidate=False).collect(), trades)


def test_a_page_that_asks_to_log_in_is_no_answer(
    server: ArchiveServer, store: TradeStore, trades: pl.DataFrame
) -> None:
    for path in server.root.rglob("*.CHECKSUM"):
        path.write_text("<html>Welcome to this hotel's network</html>")
    with pytest.warns(UncheckedFilesWarning, match="Welcome to this hotel"):
        assert_frame_equal(scan(store, server.url).collect(), trades)


def test_a_server_in_trouble_is_not_asked_about_every_file(
    server: ArchiveServer, store: TradeStore, trades: pl.DataFrame
) -> None:
    server.requests.clear()
    for day in DAYS:
        server.fail(f"{ArchiveFile(BTC, day, day).name}.CHECKSUM", *[Status(503)] * 20)
    with pytest.warns(UncheckedFilesWarning, match="status 503"):
        assert_frame_equal(scan(store, server.url).collect(), trades)
    assert len(server.asked(".CHECKSUM")) <= 8 * 3  # as many threads, as many attempts


def test_a_file_that_is_not_published_any_more(
    server: ArchiveServer, store: TradeStore, trades: pl.DataFrame
) -> None:
    name = ArchiveFile(BTC, DAYS[3], DAYS[3]).name
    next(server.root.rglob(f"{name}.CHECKSUM")).unlink()
    with pytest.warns(UncheckedFilesWarning, match=f"{name} is not published any more"):
        assert_frame_equal(scan(store, server.url).collect(), trades)
    store.delete("BTCUSDT", DAYS[3], DAYS[3])
    with pytest.raises(MissingDaysError, match=str(DAYS[3])):
        scan(store, server.url).collect()
