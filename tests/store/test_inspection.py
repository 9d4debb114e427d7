"""What is stored, what is missing, what is damaged, and doing away with it."""

from __future__ import annotations

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
