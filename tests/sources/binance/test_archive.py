"""From a server to a lazy frame of trades, through the store."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.sources.binance import (
    ArchiveError,
    BrokenLineError,
    FetchError,
    FetchReport,
    Kind,
    Market,
    MissingDaysError,
    scan_binance,
)
from rangebar_polars.sources.binance.bars import get_n_range_bars, get_range_bars
from rangebar_polars.sources.binance.files import ArchiveFile, Feed
from rangebar_polars.store import TradeStore, reading
from tests.support.archive_server import ArchiveServer, Cut, Status, serve
from tests.support.made_files import BTC, csv_text, day_trades, publish, publish_text

REAL = Path(__file__).resolve().parents[4] / "shared" / "data"
DAYS = [date(2024, 1, 30) + timedelta(days=n) for n in range(4)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    with serve(folder) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path / "store")


def publish_days(server: ArchiveServer, days: list[date] = DAYS, rows: int = 50) -> pl.DataFrame:
    """Publish daily files with ids that run through, and return their trades."""
    frames = [day_trades(BTC, day, rows, 1 + rows * n) for n, day in enumerate(days)]
    for day, trades in zip(days, frames, strict=True):
        publish(server.root, BTC, trades, day, header=True)
    return pl.concat(frames)


def scan(server: ArchiveServer, store: TradeStore, /, **options: Any) -> pl.LazyFrame:
    given: dict[str, Any] = {"start": DAYS[0], "end": DAYS[-1], "market": "um", **options}
    given = {"store": store, "base_url": server.url, "backoff_s": 0.001, **given}
    return scan_binance("BTCUSDT", **given)


def names(days: list[date]) -> list[str]:
    return [ArchiveFile(BTC, day, day).name for day in days]


def test_days_over_a_month_boundary(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    report = FetchReport()
    plan = scan(server, store, report=report)
    assert server.requests == []  # nothing before it is collected
    assert_frame_equal(plan.collect(), trades, check_exact=True)
    assert report.fetched == names(DAYS)
    assert report.bytes_downloaded == sum(r.sent for r in server.asked(".zip"))


def test_what_is_stored_is_not_fetched_again(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    report = FetchReport()
    plan = scan(server, store, report=report)
    plan.collect()
    server.requests.clear()
    assert_frame_equal(plan.collect(), trades)
    assert server.asked(".zip") == []
    assert len(server.asked(".CHECKSUM")) == 4
    assert (report.fetched, report.reused) == ([], names(DAYS))
    server.requests.clear()
    offline = scan(server, store, revalidate=False, client=None)
    assert_frame_equal(offline.collect(), trades)
    assert server.requests == []


def test_a_file_replaced_with_a_new_hash_is_fetched_again(
    server: ArchiveServer, store: TradeStore
) -> None:
    trades = publish_days(server)
    scan(server, store).collect()
    corrected = trades[50:100].filter(pl.col("agg_trade_id") != 60).with_columns(price=pl.lit(7.5))
    publish(server.root, BTC, corrected, DAYS[1])
    report = FetchReport()
    expected = pl.concat([trades[:50], corrected, trades[100:]])
    assert_frame_equal(scan(server, store, report=report).collect(), expected, check_exact=True)
    assert report.fetched == names(DAYS[1:2])


@pytest.mark.parametrize("market", ["spot", "um", "cm"])
@pytest.mark.parametrize("kind", ["aggTrades", "trades"])
@pytest.mark.parametrize(("header", "unit"), [(False, "ms"), (True, "us")])
def test_all_markets_and_forms(
    server: ArchiveServer, store: TradeStore, market: Market, kind: Kind, header: bool, unit: str
) -> None:
    feed = Feed("BTCUSDT", market, kind)
    trades = day_trades(feed, DAYS[0])
    publish(server.root, feed, trades, DAYS[0], header=header, unit=unit, title=market == "spot")
    found = scan(server, store, market=market, kind=kind, end=DAYS[0])
    assert found.collect_schema() == pl.Schema(feed.schema)
    assert_frame_equal(found.collect(), trades, check_exact=True)


def test_a_whole_month_comes_as_one_file(server: ArchiveServer, store: TradeStore) -> None:
    february = [date(2024, 2, day) for day in range(1, 30)]
    trades = pl.concat([day_trades(BTC, day, 20, 1 + 20 * n) for n, day in enumerate(february)])
    publish(server.root, BTC, trades, february[0], february[-1])
    after = day_trades(BTC, date(2024, 3, 1), 20, 581)
    publish(server.root, BTC, after, date(2024, 3, 1))
    report = FetchReport()
    plan = scan(server, store, start="2024-02", end="2024-03-01", report=report)
    assert_frame_equal(plan.collect(), pl.concat([trades, after]), check_exact=True)
    assert report.fetched == [
        "BTCUSDT-aggTrades-2024-02.zip",
        "BTCUSDT-aggTrades-2024-03-01.zip",
    ]
    # A part of the month is there now, and not fetched day by day.
    part = scan(server, store, start="2024-02-10", end="2024-02-12", report=report)
    assert_frame_equal(part.collect(), trades[180:240])
    assert report.reused == ["BTCUSDT-aggTrades-2024-02.zip"]


def test_a_month_that_is_not_published_comes_day_by_day(
    server: ArchiveServer, store: TradeStore
) -> None:
    february = [date(2024, 2, day) for day in range(1, 30)]
    trades = publish_days(server, february, rows=5)
    report = FetchReport()
    plan = scan(server, store, start="2024-02", end="2024-02", report=report)
    assert_frame_equal(plan.collect(), trades)
    assert report.fetched == names(february)


def test_missing_days_are_an_error_before_anything_is_fetched(
    server: ArchiveServer, store: TradeStore
) -> None:
    publish_days(server, [DAYS[0], DAYS[3]])
    with pytest.raises(MissingDaysError, match=r"no trades for 2024-01-31, 2024-02-01; missing="):
        scan(server, store).collect()
    assert server.asked(".zip") == []


def test_missing_days_can_be_skipped_and_are_listed(
    server: ArchiveServer, store: TradeStore, caplog: pytest.LogCaptureFixture
) -> None:
    trades = publish_days(server, [DAYS[0], DAYS[3]])
    report = FetchReport()
    with caplog.at_level(logging.WARNING):
        found = scan(server, store, missing="skip", report=report).collect()
    assert_frame_equal(found, trades)
    assert report.missing_days == DAYS[1:3]
    assert "no trades for 2024-01-31, 2024-02-01" in caplog.text
    assert store.gaps("BTCUSDT")["kind"].to_list() == ["missing_day"]


def test_nothing_at_all(server: ArchiveServer, store: TradeStore) -> None:
    found = scan(server, store, missing="skip").collect()
    assert found.schema == pl.Schema(BTC.schema)
    assert found.is_empty()


FEBRUARY = [date(2024, 2, day) for day in range(1, 30)]
HOLE = date(2024, 2, 11)


def publish_february(server: ArchiveServer, without: date | None = None) -> pl.DataFrame:
    """Publish the file of a month, and return its trades; ids are those of the whole month."""
    trades = pl.concat(day_trades(BTC, day, 5, 1 + 5 * n) for n, day in enumerate(FEBRUARY))
    there = trades.filter(pl.col("timestamp").dt.date() != without) if without else trades
    publish(server.root, BTC, there, FEBRUARY[0], FEBRUARY[-1])
    return trades


def february(server: ArchiveServer, store: TradeStore, **options: Any) -> pl.LazyFrame:
    return scan(server, store, start="2024-02", end="2024-02", **options)


def test_a_day_that_nobody_has(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_february(server, without=HOLE)
    for _ in range(2):  # fresh, and stored
        with pytest.raises(MissingDaysError, match="2024-02-11"):
            february(server, store).collect()
    report = FetchReport()
    found = february(server, store, missing="skip", report=report).collect()
    assert_frame_equal(found, trades.filter(pl.col("timestamp").dt.date() != HOLE))
    assert report.missing_days == [HOLE]


@pytest.mark.parametrize("before", ["nothing", "the month", "the day", "its neighbours"])
def test_a_day_that_its_month_lacks_comes_from_its_own_file(
    before: str, server: ArchiveServer, store: TradeStore
) -> None:
    """Whatever was stored before: the same trades, and in the same order."""
    trades = publish_february(server, without=HOLE)
    daily = trades.filter(pl.col("timestamp").dt.date() == HOLE)
    if before == "the month":
        with pytest.raises(MissingDaysError):
            february(server, store).collect()
    for day in (HOLE - timedelta(days=1), HOLE, HOLE + timedelta(days=1)):
        publish(server.root, BTC, trades.filter(pl.col("timestamp").dt.date() == day), day)
    if before == "the day":
        scan(server, store, start=HOLE, end=HOLE).collect()
    if before == "its neighbours":
        scan(server, store, start=HOLE - timedelta(days=1), end=HOLE - timedelta(days=1)).collect()
        scan(server, store, start=HOLE + timedelta(days=1), end=HOLE + timedelta(days=1)).collect()
    report = FetchReport()
    assert_frame_equal(february(server, store, report=report).collect(), trades, check_exact=True)
    assert (f"BTCUSDT-aggTrades-{HOLE}.zip" in report.fetched) == (before != "the day")
    # A part of the month, and the month again: nothing is fetched any more.
    report = FetchReport()
    part = scan(server, store, start=HOLE - timedelta(days=2), end=HOLE, report=report).collect()
    assert_frame_equal(part, trades[40:55])
    assert_frame_equal(february(server, store, report=report).collect(), trades)
    assert report.fetched == []
    assert daily.height == 5


def test_a_month_published_anew_without_a_day_that_was_stored(
    server: ArchiveServer, store: TradeStore
) -> None:
    trades = publish_february(server, without=HOLE)
    publish(server.root, BTC, trades.filter(pl.col("timestamp").dt.date() == HOLE), HOLE)
    february(server, store).collect()
    # Its days are replaced, the one from elsewhere among them.
    changed = trades.with_columns(price=pl.lit(7.5))
    publish(
        server.root,
        BTC,
        changed.filter(pl.col("timestamp").dt.date() != HOLE),
        FEBRUARY[0],
        FEBRUARY[-1],
    )
    found = february(server, store).collect()
    assert found["agg_trade_id"].to_list() == trades["agg_trade_id"].to_list()
    assert found.filter(pl.col("price") == 7.5).height == trades.height - 5


@pytest.mark.parametrize("text", ["", ",".join(BTC.csv_columns) + "\n"])
def test_a_day_published_without_a_trade_is_not_missing(
    text: str, server: ArchiveServer, store: TradeStore
) -> None:
    trades = publish_days(server)
    publish_text(server.root, ArchiveFile(BTC, DAYS[1], DAYS[1]), text)
    expected = trades.filter(pl.col("timestamp").dt.date() != DAYS[1])
    for _ in range(2):
        report = FetchReport()
        assert_frame_equal(scan(server, store, report=report).collect(), expected)
        assert report.missing_days == []


def test_a_wrong_checksum(server: ArchiveServer, store: TradeStore) -> None:
    publish_days(server)
    file = ArchiveFile(BTC, DAYS[1], DAYS[1])
    text = csv_text(BTC, day_trades(BTC, DAYS[1]))
    publish_text(server.root, file, text, sha256="ab" * 32)
    with pytest.raises(ArchiveError, match=r"-2024-01-31.zip: its sha256 differs.*expected abab"):
        scan(server, store).collect()
    assert len(server.asked(f"{file.name}")) == 2  # it may have been replaced at that moment
    assert date(2024, 1, 31) not in store.days("BTCUSDT", source=BTC.source)
    found = scan(server, store, checksum=False).collect()
    assert found.height == 200


def test_a_checksum_that_changes_while_we_fetch(server: ArchiveServer, store: TradeStore) -> None:
    publish_days(server)
    replaced = day_trades(BTC, DAYS[0], 50).with_columns(price=pl.lit(3.25))

    def replace(path: str) -> None:
        if path.endswith(f"{names(DAYS)[0]}"):
            server.on_request = lambda _path: None
            publish(server.root, BTC, replaced, DAYS[0])

    server.on_request = replace
    found = scan(server, store, end=DAYS[0]).collect()
    assert_frame_equal(found, replaced)


def test_transfers_that_break_are_taken_up(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    first, second = names(DAYS[:2])
    server.fail(first, Cut(400), Status(503), Cut(100), Status(429, {"Retry-After": "0"}))
    server.fail(f"{second}.CHECKSUM", Status(500))
    assert_frame_equal(scan(server, store).collect(), trades)
    ranges = [r.range for r in server.asked(first) if r.status in {200, 206}]
    assert ranges == [None, "bytes=400-", "bytes=500-"]


def test_an_interrupted_download_is_gone_on_with_by_the_next_run(
    server: ArchiveServer, store: TradeStore
) -> None:
    trades = publish_days(server)
    name = names(DAYS)[0]
    server.fail(name, Cut(700), *[Status(500)] * 3)
    with pytest.raises(FetchError, match="gave up after"):
        scan(server, store, retries=2).collect()
    server.requests.clear()
    assert_frame_equal(scan(server, store).collect(), trades)
    assert server.asked(name)[0].range == "bytes=700-"
    assert not list(store.root.rglob("*.part"))


def test_what_no_run_wants_any_more_is_removed_after_a_day(
    server: ArchiveServer, store: TradeStore
) -> None:
    publish_days(server)
    first, second = names(DAYS[:2])
    for day, name in zip(DAYS, (first, second), strict=False):
        server.fail(name, Cut(700), *[Status(500)] * 3)
        with pytest.raises(FetchError, match="gave up after"):
            scan(server, store, start=day, end=day, retries=2).collect()
    parts = {part.name.partition(".")[0]: part for part in store.root.rglob("*.part")}
    assert len(parts) == 2
    os.utime(parts[first.partition(".")[0]], (0, 0))
    scan(server, store, start=DAYS[2], end=DAYS[2]).collect()
    assert list(store.root.rglob("*.part")) == [parts[second.partition(".")[0]]]


@pytest.mark.parametrize(
    ("members", "text", "message"),
    [
        (("a.csv", "b.csv"), "1", "found 2"),
        (None, "0" * 2_000_000, "refused as a zip bomb"),
        (("a.txt",), "1", "expected a CSV"),
    ],
)
def test_zips_that_are_refused(
    server: ArchiveServer,
    store: TradeStore,
    members: tuple[str, ...] | None,
    text: str,
    message: str,
) -> None:
    publish_days(server)
    file = ArchiveFile(BTC, DAYS[2], DAYS[2])
    publish_text(server.root, file, text, members=members)
    with pytest.raises(ArchiveError, match=message):
        scan(server, store).collect()
    assert store.days("BTCUSDT", source=BTC.source) == DAYS[:2]
    # The file behind it may have been fetched already, and then waits for the next run.
    assert not list(store.root.rglob(f"{file.name}.*.part"))


def test_a_broken_line_stores_nothing_of_its_file(server: ArchiveServer, store: TradeStore) -> None:
    publish_days(server)
    lines = csv_text(BTC, day_trades(BTC, DAYS[2], 500)).splitlines()
    lines[444] = lines[444].replace(",", ";", 2)
    file = ArchiveFile(BTC, DAYS[2], DAYS[2])
    publish_text(server.root, file, "\n".join(lines))
    with pytest.raises(
        BrokenLineError, match=f"{file.name}: line 445: expected 7 fields"
    ) as raised:
        scan(server, store).collect()
    assert raised.value.text == lines[444]
    assert store.days("BTCUSDT", source=BTC.source) == DAYS[:2]


def test_a_price_beyond_the_grid_is_named_by_its_line(
    server: ArchiveServer, store: TradeStore
) -> None:
    publish_days(server)
    for header in (False, True):
        lines = csv_text(BTC, day_trades(BTC, DAYS[2], 500), header=header).splitlines()
        cells = lines[444].split(",")
        lines[444] = ",".join([cells[0], "100.123456789", *cells[2:]])
        file = ArchiveFile(BTC, DAYS[2], DAYS[2])
        publish_text(server.root, file, "\r\n".join(lines))
        with pytest.raises(BrokenLineError, match="line 445: price 100.123456789 cannot") as raised:
            scan(server, store).collect()
        assert (raised.value.line, raised.value.text) == (445, lines[444])
        assert store.days("BTCUSDT", source=BTC.source) == DAYS[:2]
        assert not list(store.root.rglob(f"{file.name}.*.part"))


def test_interleaved_and_repeated_ids(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    # Day one: two streams mixed, with repeats. Day two repeats the last trades of day one.
    day = trades[:50]
    mixed = pl.concat([day[25:], day[:30]]).with_row_index("i").sort(pl.col("i") % 25).drop("i")
    publish(server.root, BTC, mixed, DAYS[0])
    publish(server.root, BTC, trades[47:100], DAYS[1])
    assert_frame_equal(scan(server, store).collect(), trades, check_exact=True)
    assert store.verify().is_empty()


def test_time_that_falls_across_midnight(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    late = pl.lit(datetime(2024, 1, 30, 23, 59, 59)).cast(pl.Datetime("us"))
    odd = trades.with_columns(
        timestamp=pl.when(pl.col("agg_trade_id") == 53).then(late).otherwise("timestamp")
    )
    publish(server.root, BTC, odd[50:100], DAYS[1])
    found = scan(server, store).collect()
    assert_frame_equal(found, odd, check_exact=True)


def test_instants_predicates_columns_and_heads(server: ArchiveServer, store: TradeStore) -> None:
    trades = publish_days(server)
    start, end = datetime(2024, 1, 30, 6), datetime(2024, 2, 1, 18)
    plan = scan(server, store, start=start, end=end)
    inside = trades.filter(pl.col("timestamp").is_between(start, end, closed="left"))
    assert_frame_equal(plan.collect(), inside)
    dear = pl.col("price") > 100.05
    assert_frame_equal(
        plan.filter(dear).select("price", "agg_trade_id").collect(),
        inside.filter(dear).select("price", "agg_trade_id"),
    )
    assert_frame_equal(plan.filter(dear).head(7).collect(), inside.filter(dear).head(7))
    assert plan.select(pl.len()).collect().item() == inside.height


def test_predicates_reach_the_row_groups_unless_rows_were_counted_before(
    server: ArchiveServer, store: TradeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = publish_days(server)
    plans: list[str] = []

    def noted(plan: pl.LazyFrame) -> pl.DataFrame:
        plans.append(plan.explain())
        return plan.collect(engine="in-memory")

    monkeypatch.setattr(reading, "_collect", noted)
    late = pl.col("agg_trade_id") > 150
    plan = scan(server, store)
    found = plan.filter(late).select("price").collect()
    assert_frame_equal(found, trades.filter(late).select("price"))
    assert plans
    assert all("SELECTION" in text and "150" in text for text in plans)
    assert not any("quantity" in text.partition("PROJECT")[0] for text in plans)
    plans.clear()
    assert_frame_equal(plan.head(160).filter(late).collect(), trades.head(160).filter(late))
    assert plans
    assert not any("150" in text for text in plans)


def test_a_plan_can_be_pickled(server: ArchiveServer, store: TradeStore) -> None:
    pytest.importorskip("cloudpickle")
    trades = publish_days(server)
    plan = pickle.loads(pickle.dumps(scan(server, store)))
    assert_frame_equal(plan.collect(), trades)
    bars = get_n_range_bars(
        "BTCUSDT", 5, DAYS[-1], 50, market="um", store=store, base_url=server.url
    )
    assert_frame_equal(pickle.loads(pickle.dumps(bars)).collect(), bars.collect())


def test_a_head_fetches_no_more_than_it_needs(server: ArchiveServer, store: TradeStore) -> None:
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(12)]
    trades = publish_days(server, days)
    plan = scan(server, store, start=days[0], end=days[-1])
    assert_frame_equal(plan.head(5).collect(), trades.head(5))
    # The day itself, and the next, which may share trades with it.
    assert [r.path.rpartition("/")[2] for r in server.asked(".zip")] == names(days[:2])
    # Which rows a head takes is settled before any filter.
    late = pl.col("agg_trade_id") > 3
    assert_frame_equal(plan.head(5).filter(late).collect(), trades.head(5).filter(late))
    assert len(server.asked(".zip")) == 2


def test_explain_says_what_is_read(server: ArchiveServer, store: TradeStore) -> None:
    plan = scan(server, store).filter(pl.col("price") > 1).select("price").explain()
    assert "BINANCE TRADES" in plan
    assert "BTCUSDT, um aggTrades; 2024-01-30 to 2024-02-02" in plan
    assert "PROJECT 1/7 COLUMNS" in plan
    assert server.requests == []


@pytest.mark.parametrize("symbol", ["币安人生USDT", "btcusdt", "BTC-240628", "1000SATSUSDT"])
def test_symbols_of_any_kind(symbol: str, server: ArchiveServer, store: TradeStore) -> None:
    feed = Feed(symbol, "um")
    trades = day_trades(feed, DAYS[0])
    publish(server.root, feed, trades, DAYS[0])
    options: dict[str, Any] = {"market": "um", "store": store, "base_url": server.url}
    for _ in range(2):
        found = scan_binance(symbol, DAYS[0], DAYS[0], **options).collect()
        assert_frame_equal(found, trades, check_exact=True)
    assert len(server.asked(".zip")) == 1
    assert store.symbols() == [(feed.source, symbol.upper())]
    bars = get_range_bars([symbol], DAYS[0], DAYS[0], 50, **options).collect()
    assert set(bars["symbol"]) == {symbol.upper()}


def test_real_rows_survive(tmp_path: Path) -> None:
    parquet = REAL / "binance_spot_aggtrades_XRPETH_20191011.parquet"
    if not parquet.exists():
        pytest.skip(f"needs real trades that this repository does not ship: {parquet}")
    store = TradeStore(tmp_path)
    with serve(REAL / "binance_archive") as server:
        scanned = scan_binance(
            "XRPETH", "2019-10-11", "2019-10-13", store=store, base_url=server.url
        ).collect()
    expected = pl.read_parquet(parquet).with_columns(
        pl.col("timestamp").cast(pl.Datetime("ms")).cast(pl.Datetime("us")),
        pl.col("price", "quantity").cast(pl.Float64),
    )
    assert expected.height == 12_477
    for found in (scanned, store.scan("XRPETH").collect()):
        assert_frame_equal(found.select(expected.columns), expected, check_exact=True)
    # Not only as floats: digit for digit as the exchange wrote them.
    text = pl.read_parquet(parquet)["price"].to_list()
    assert [f"{price:.8f}" for price in scanned["price"]] == text


def test_every_file_of_the_real_archive(tmp_path: Path) -> None:
    root = REAL / "binance_archive" / "data"
    if not root.is_dir():
        pytest.skip(f"needs a copy of the archive that this repository does not ship: {root}")
    store = TradeStore(tmp_path)
    zips = sorted(root.rglob("*.zip"))
    assert zips
    with serve(root.parent) as server:
        for path in zips:
            *_, market, _daily, kind, symbol, _name = path.parts
            day = path.stem[-10:]
            found = scan_binance(
                symbol,
                day,
                day,
                market=market,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                kind=kind,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
                store=store,
                base_url=server.url,
            ).collect()
            assert found.height > 10
            assert found["timestamp"].dt.date().unique().to_list() == [date.fromisoformat(day)]
    assert store.verify().is_empty()


def test_a_client_of_ones_own(server: ArchiveServer, store: TradeStore) -> None:
    publish_days(server)
    with httpx.Client(headers={"X-Who": "me"}) as client:
        assert scan(server, store, client=client).collect().height == 200
        assert not client.is_closed


def test_progress_shows_and_silence_is_silent(
    server: ArchiveServer, store: TradeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    publish_days(server)
    scan(server, store).collect()
    assert capsys.readouterr() == ("", "")
    store.delete("BTCUSDT")
    scan(server, store, progress=True).collect()
    shown = capsys.readouterr().err
    assert "BTCUSDT: 100%" in shown
    assert "4/4" in shown


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"market": "x"}, ValueError, "market must be one of"),
        ({"missing": "maybe"}, ValueError, "missing must be"),
        ({"end": "2020-01-01"}, ValueError, "must come after"),
        ({"end": "2999-01"}, ValueError, r"end \(2999-01\) lies in the future"),
        ({"start": "2998-12-31", "end": None}, ValueError, "start .* must not come after the last"),
        ({"kind": "trades", "recent": True}, ValueError, "recent=True works for"),
        ({"colour": 1}, TypeError, "unexpected keyword argument 'colour'"),
        ({"store": "folder"}, TypeError, "store must be a TradeStore"),
        ({"recent": "yes"}, TypeError, "recent must be True or False"),
        ({"base_url": "data.binance.vision"}, ValueError, "base_url must begin with 'https://'"),
        ({"rest_url": 5}, TypeError, "rest_url must be a URL"),
        ({"client": "proxy"}, TypeError, r"client must be an httpx\.Client"),
        ({"retries": -1}, ValueError, "retries must not be negative"),
        ({"retries": 1.5}, TypeError, "retries must be a whole number"),
        ({"backoff_s": float("nan")}, ValueError, "backoff_s must be a number of seconds"),
        ({"backoff_s": "1"}, TypeError, "backoff_s must be a number of seconds"),
    ],
)
def test_mistakes_are_named_at_the_call(
    server: ArchiveServer,
    store: TradeStore,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        scan(server, store, **options)
