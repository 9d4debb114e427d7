"""What is stored, what is missing, what is damaged, and doing away with it."""

from __future__ import annotations

import random
import threading
import time
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store import Origin, TradeStore
from tests.support.trades import days_of_trades

DAY = datetime(2024, 1, 1)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    return TradeStore(tmp_path)


def day_path(store: TradeStore, name: str) -> Path:
    (path,) = (store.root / "trades").rglob(f"{name}.parquet")
    return path


def test_info(store: TradeStore) -> None:
    assert store.info().is_empty()
    store.write("BTC", days_of_trades(DAY, 3, 900))
    store.write("ETH", days_of_trades(DAY, 1, 50), source="other")
    rows = store.info().rows(named=True)
    assert [(row["source"], row["symbol"]) for row in rows] == [("other", "ETH"), ("trades", "BTC")]
    btc = rows[1]
    assert (btc["first_day"], btc["last_day"]) == (date(2024, 1, 1), date(2024, 1, 3))
    assert (btc["days"], btc["rows"]) == (3, 900)
    assert btc["bytes"] == sum(p.stat().st_size for p in store.root.rglob("symbol=BTC/*/*.parquet"))
    assert store.info("ETH")["rows"].to_list() == [50]
    with pytest.raises(FileNotFoundError, match="no trades of 'XRP'"):
        store.info("XRP")


def test_gaps_lists_missing_days_and_jumps_across_batches(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 5, 5000)
    holes = ~pl.col("agg_trade_id").is_between(1001, 3000) & (pl.col("agg_trade_id") != 4500)
    store.write("BTC", trades.filter(holes))
    assert store.gaps("BTC").rows() == [
        (
            "id_jump",
            *trades["timestamp"].gather([999, 3000]).to_list(),
            1000,
            3001,
            2000,
        ),
        (
            "missing_day",
            datetime(2024, 1, 2),
            datetime(2024, 1, 3, 23, 59, 59, 999_999),
            None,
            None,
            2,
        ),
        ("id_jump", *trades["timestamp"].gather([4498, 4500]).to_list(), 4499, 4501, 1),
    ]


def test_no_gaps(store: TradeStore) -> None:
    store.write("BTC", days_of_trades(DAY, 5, 5000))
    assert store.gaps("BTC").is_empty()


def test_verify_finds_a_flipped_bit(store: TradeStore) -> None:
    store.write("BTC", days_of_trades(DAY, 2, 5000))
    assert store.verify().is_empty()
    path = day_path(store, "2024-01-02")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 1
    path.write_bytes(raw)
    problems = store.verify("BTC")
    assert problems["file"].to_list()[0].endswith("month=2024-01/2024-01-02.parquet")
    assert problems.height >= 1


def test_verify_finds_files_in_the_wrong_place_and_strangers(store: TradeStore) -> None:
    store.write("BTC", days_of_trades(DAY, 2, 500))
    first, second = (day_path(store, f"2024-01-0{n}") for n in (1, 2))
    first.write_bytes(second.read_bytes())
    pl.DataFrame({"x": [1]}).write_parquet(second.with_name("2024-01-03.parquet"))
    second.with_name("2024-01-04.parquet").write_bytes(b"no parquet")
    texts = store.verify()["problem"].to_list()
    assert "times from 2024-01-02 to 2024-01-02 in the file of 2024-01-01" in texts[0]
    assert all("not a file of this store, or damaged" in text for text in texts[1:])
    assert len(texts) == 3


def test_verify_compares_rows_and_sums_with_what_was_noted(store: TradeStore) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    store.write("BTC", days_of_trades(DAY, 1, 500))
    path = day_path(store, "2024-01-01")
    table = pq.read_table(path)  # pyright: ignore
    pq.write_table(table.slice(0, 499), path)  # pyright: ignore
    texts = store.verify()["problem"].to_list()
    assert any("the sum of price is" in text and "was noted" in text for text in texts)


@pytest.mark.parametrize("column", ["price_units", "quantity"])
def test_verify_sees_one_changed_value(store: TradeStore, column: str) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    store.write("BTC", days_of_trades(DAY, 1, 500))
    path = day_path(store, "2024-01-01")
    noted = pq.read_schema(path).metadata  # pyright: ignore
    frame = pl.read_parquet(path)
    changed = frame[column].to_list()
    changed[250] = changed[250] * 2
    table = frame.with_columns(pl.Series(column, changed)).to_arrow()
    pq.write_table(table.replace_schema_metadata(noted), path)  # pyright: ignore
    (text,) = store.verify()["problem"].to_list()
    assert f"the sum of {column.removesuffix('_units')} is" in text


def test_files_of_another_format_are_refused(store: TradeStore) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    store.write("BTC", days_of_trades(DAY, 1, 5))
    path = day_path(store, "2024-01-01")
    note = pl.read_parquet_metadata(path)["rangebar_polars"].replace('"format": 2', '"format": 9')
    table = pl.read_parquet(path).to_arrow()
    pq.write_table(table.replace_schema_metadata({"rangebar_polars": note}), path)  # pyright: ignore
    with pytest.raises(RangeBarError, match=r"format 9, this version reads format 2: delete it"):
        store.scan("BTC")


def test_verify_reads_the_manifest(store: TradeStore) -> None:
    origin = Origin("a.zip", "0" * 64, DAY.date(), DAY.date())
    store.write("BTC", days_of_trades(DAY, 1, 5), origin=origin)
    (manifest,) = store.root.rglob("sources.json")
    manifest.write_text("{")
    assert "not a manifest" in store.verify()["problem"][0]


def test_delete(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 4, 4000)
    for number in range(4):
        day = date(2024, 1, number + 1)
        origin = Origin(f"{day}.zip", "0" * 64, day, day)
        store.write("BTC", trades[1000 * number : 1000 * (number + 1)], origin=origin)
    assert store.delete("BTC", "2024-01-02", "2024-01-03") == 2
    assert_frame_equal(store.scan("BTC").collect(), pl.concat([trades[:1000], trades[3000:]]))
    assert sorted(store.origins("BTC", source="trades")) == ["2024-01-01.zip", "2024-01-04.zip"]
    with pytest.raises(ValueError, match="whole days"):
        store.delete("BTC", datetime(2024, 1, 1, 12))
    assert store.delete("BTC") == 2
    assert store.symbols() == []
    assert store.origins("BTC", source="trades") == {}


def test_gaps_of_individual_trades(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 5, 6).with_columns(
        first_trade_id=pl.Series([10, 12, 20, -1, 21, 5]),
        last_trade_id=pl.Series([11, 14, 20, -1, 25, 6]),
    )
    store.write("BTC", trades)
    times = trades["timestamp"].to_list()
    # Aggregate ids follow each other all along: nothing but these ids shows what is missing.
    assert store.gaps("BTC").rows() == [
        ("trade_id_jump", times[1], times[2], 14, 20, 5),
        ("trade_id_reset", times[4], times[5], 25, 5, None),
    ]


def test_gaps_of_trades_that_are_their_own_aggregates_are_told_once(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 0.5, 1000).filter(pl.col("agg_trade_id") != 500)
    ids = dict.fromkeys(("first_trade_id", "last_trade_id"), pl.col("agg_trade_id"))
    store.write("BTC", trades.with_columns(**ids))
    assert store.gaps("BTC")["kind"].to_list() == ["id_jump"]


def test_gaps_of_individual_trades_across_batches(
    store: TradeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rangebar_polars.store import gaps

    trades = days_of_trades(DAY, 2, 100).with_columns(
        first_trade_id=3 * pl.col("agg_trade_id"), last_trade_id=3 * pl.col("agg_trade_id") + 2
    )
    # The aggregate without trades stands at the end of a batch.
    holes = trades.with_columns(
        pl.when(~pl.col("agg_trade_id").is_in([10, 40, 41])).then(
            pl.col("first_trade_id", "last_trade_id")
        )
    )
    store.write("BTC", holes)
    monkeypatch.setattr(gaps, "iter_batches", lambda frame: frame.collect().iter_slices(10))
    found = store.gaps("BTC").select("kind", "after_id", "before_id", "missing").rows()
    assert found == [("trade_id_jump", 29, 33, 3), ("trade_id_jump", 119, 126, 6)]


def test_verify_reports_every_damaged_file(store: TradeStore) -> None:
    store.write("BTC", days_of_trades(DAY, 5, 5000))
    store.write("ETH", days_of_trades(DAY, 1, 500))
    damages = {
        "2024-01-01": b"PAR1 but nothing else PAR1",
        "2024-01-02": b"",
        "2024-01-03": day_path(store, "2024-01-03").read_bytes()[:-20],
    }
    (btc,) = store.root.rglob("symbol=BTC/month=2024-01")
    for day, content in damages.items():
        (btc / f"{day}.parquet").write_bytes(content)
    path = btc / "2024-01-04.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 16
    path.write_bytes(raw)
    (found,) = store.root.rglob("symbol=ETH/*/*.parquet")
    found.rename(found.with_name("2024-01-02.parquet"))
    files = store.verify()["file"].unique(maintain_order=True).to_list()
    assert [Path(file).stem for file in files] == [*damages, "2024-01-04", "2024-01-02"]
    assert "symbol=ETH" in files[-1]


def test_verify_finds_whatever_a_scan_fails_or_errs_on(store: TradeStore) -> None:
    store.write("BTC", days_of_trades(DAY, 3, 600))
    expected = store.scan("BTC").collect()
    path = day_path(store, "2024-01-02")
    raw = path.read_bytes()
    luck = random.Random(4)
    harmful = 0
    for turn in range(80):
        spoilt = bytearray(raw)
        # Anywhere, and mostly in the footer, which decides how everything is read.
        at = luck.randrange(len(raw)) if turn % 4 == 0 else len(raw) - 1 - luck.randrange(1500)
        spoilt[at] ^= 1 << luck.randrange(8)
        path.write_bytes(spoilt)
        try:
            well = store.scan("BTC").collect().equals(expected)
        except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - whatever it is
            well = False
        harmful += not well
        problems = store.verify()
        assert well or problems.height, f"byte {at} makes a scan fail or err"
        assert {Path(file).stem for file in problems["file"]} <= {"2024-01-02"}
    assert harmful > 40


def test_verify_finds_days_that_cannot_be_read_together(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 2, 200).with_columns(note=pl.lit(1))
    store.write("A", trades)
    store.write("B", trades.with_columns(note=pl.lit("x")))
    store.write("C", trades.with_columns(pl.col("agg_trade_id") - 20, price=pl.lit(2.5)))
    for symbol in ("B", "C"):
        (there,) = store.root.rglob(f"symbol={symbol}/*/2024-01-02.parquet")
        (here,) = store.root.rglob("symbol=A/*/2024-01-02.parquet")
        original = here.read_bytes()
        here.write_bytes(there.read_bytes())
        (problem,) = store.verify("A")["problem"].to_list()
        if symbol == "B":
            assert "column 'note' has dtype Int32 on 2024-01-01 and String on 2024-01-02" in problem
            with pytest.raises(RangeBarError, match="column 'note' has dtype"):
                store.scan("A")
        else:
            assert "names two different trades of neighbouring days" in problem
        here.write_bytes(original)
    assert store.verify("A").is_empty()


def test_a_file_in_another_month_is_read_by_none_and_told(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 2, 20)
    store.write("BTC", trades)
    path = day_path(store, "2024-01-02")
    other = path.parent.with_name("month=2024-02") / path.name
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())
    (path.parent / "notes.txt").write_text("mine")
    assert_frame_equal(store.scan("BTC").collect(), trades)
    found = store.verify().select(pl.col("file").str.split("/").list.tail(2), "problem").rows()
    text = "not a file of this store, which does not read it: move it away"
    assert found == [
        (["month=2024-01", "notes.txt"], text),
        (["month=2024-02", "2024-01-02.parquet"], text),
    ]


def test_verify_beside_a_writer_and_a_deleter_finds_no_damage(store: TradeStore) -> None:
    trades = days_of_trades(DAY, 3, 600)
    store.write("BTC", trades)
    stop = threading.Event()
    errors: list[BaseException] = []

    def change() -> None:
        try:
            turn = 0
            while not stop.is_set():
                turn += 1
                price = pl.lit(float(turn))
                store.write("BTC", trades.with_columns(price=price), on_conflict="replace")
                store.delete("BTC", "2024-01-02", "2024-01-02")
        except BaseException as error:  # noqa: BLE001 - handed to the test's thread
            errors.append(error)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        end = time.monotonic() + 4
        looks = 0
        while time.monotonic() < end:
            assert store.verify().rows() == []
            looks += 1
    finally:
        stop.set()
        thread.join()
    assert errors == []
    assert looks > 5


def test_a_first_write_that_was_decided_is_found_without_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rangebar_polars.store import commit

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    trades = days_of_trades(DAY, 2, 20)
    with monkeypatch.context() as patch:
        patch.setattr(commit, "_carry_out", killed)
        with pytest.raises(Killed):
            TradeStore(tmp_path).write("BTC", trades)
    assert_frame_equal(TradeStore(tmp_path).scan("BTC").collect(), trades)
    assert TradeStore(tmp_path).symbols() == [("trades", "BTC")]
