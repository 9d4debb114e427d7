"""Other tools read the store too."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

from rangebar_polars.store import TradeStore
from rangebar_polars.store.layout import default_root
from rangebar_polars.store.parquet import read_footer
from tests.support.trades import days_of_trades

TRADES = days_of_trades(datetime(2024, 1, 31), 2, 3000)


@pytest.fixture
def store(tmp_path: Path) -> TradeStore:
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES)
    store.write("ETH", TRADES[:10], source="other")
    return store


def test_a_plain_scan_of_the_folder_finds_the_partitions(store: TradeStore) -> None:
    plain = pl.scan_parquet(store.root / "trades", hive_partitioning=True).filter(
        pl.col("symbol") == "BTC"
    )
    price = pl.col("price_units") / pl.col("price_divisor")
    found = plain.select("timestamp", "source", "month", price=price).sort("timestamp").collect()
    assert_series_equal(found["price"], TRADES["price"], check_exact=True)
    assert found["source"].unique().to_list() == ["trades"]
    assert found["month"].unique().sort().to_list() == ["2024-01", "2024-02"]


def test_duckdb_reads_it(store: TradeStore) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    rows = duckdb.sql(
        f"""
        select price_units / price_divisor as price
        from read_parquet('{store.root}/trades/**/*.parquet', hive_partitioning = true)
        where symbol = 'BTC' order by agg_trade_id
        """
    ).fetchall()
    assert [row[0] for row in rows] == TRADES["price"].to_list()


def test_pyarrow_reads_it(store: TradeStore) -> None:
    dataset = pytest.importorskip("pyarrow.dataset")
    folder = dataset.dataset(store.root / "trades", partitioning="hive")
    table = folder.to_table(filter=dataset.field("symbol") == "ETH")
    frame = pl.DataFrame(pl.from_arrow(table))
    assert frame["agg_trade_id"].to_list() == TRADES["agg_trade_id"][:10].to_list()


def test_the_layout_of_a_file(store: TradeStore) -> None:
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    (path,) = store.root.rglob("symbol=BTC/month=2024-02/*.parquet")
    group = pq.read_metadata(path).row_group(0)  # pyright: ignore
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}  # pyright: ignore
    for name in ("timestamp", "price_units", "agg_trade_id"):
        assert "DELTA_BINARY_PACKED" in columns[name].encodings  # pyright: ignore
        assert columns[name].compression == "UNCOMPRESSED"  # pyright: ignore
    assert columns["quantity"].compression == "ZSTD"  # pyright: ignore
    assert columns["price_divisor"].total_compressed_size < 200  # pyright: ignore
    footer = read_footer(path)
    assert "RLE_DICTIONARY" in columns["quantity"].encodings  # pyright: ignore
    assert footer.divisor == 100
    assert footer.rows == 1500
    day = TRADES[1500:]
    assert (footer.first_id, footer.last_id) == (day["agg_trade_id"][0], day["agg_trade_id"][-1])
    assert footer.sums["price"] == sum(round(price * 100) for price in day["price"])
    bits = (struct.unpack("q", struct.pack("d", quantity))[0] for quantity in day["quantity"])
    assert footer.sums["quantity"] == sum(bits)


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANGEBAR_CACHE_DIR", str(tmp_path / "here"))
    assert TradeStore().root == tmp_path / "here"
    assert repr(TradeStore()) == f"TradeStore({str(tmp_path / 'here')!r})"
    monkeypatch.delenv("RANGEBAR_CACHE_DIR")
    assert "rangebar_polars" in str(default_root())
    assert not (tmp_path / "here").exists()


def test_a_store_that_was_moved(store: TradeStore, tmp_path: Path) -> None:
    moved = store.root.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert_frame_equal(TradeStore(moved).scan("BTC").collect(), TRADES, check_exact=True)
