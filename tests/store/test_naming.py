"""Any text is a symbol, and comes back as it was, on every disk and through other readers."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from rangebar_polars.store import TradeStore
from rangebar_polars.store.naming import (
    decode_source,
    decode_symbol,
    encode_source,
    encode_symbol,
)
from tests.support.trades import days_of_trades

REAL = [
    "BTCUSDT",
    "btcusdt",
    "币安人生USDT",
    "BTC/USDT",
    "BTC/USDT:USDT",
    "ES=F",
    "^GSPC",
    "000001",
    "0700.HK",
    "BRK.B",
    "Brent Crude",
    " padded ",
    "..",
    ".",
    "-x",
    "CON",
    "nul.txt",
    "a\\b",
    "100%25",
    "x.",
    "[1]*?",
    "é",
    "e\u0301",
    "EUR+USD",
    '"<>|',
]
TRADES = days_of_trades(datetime(2024, 1, 31), 1.5, 30)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=16))
@example("%2E")
def test_every_text_comes_back(text: str) -> None:
    for encode, decode in ((encode_symbol, decode_symbol), (encode_source, decode_source)):
        name = encode(text)
        assert decode(name) == text
        assert name.isascii()
        assert not set(name) & set(' /\\:*?"<>|=[]')
        assert name[-1] != "."


@given(st.lists(st.sampled_from("aAbBéÉßẞ1."), min_size=1), st.randoms())
def test_case_tells_symbols_apart_on_disks_that_ignore_it(letters, random) -> None:
    one = "".join(letters)
    other = "".join(c.swapcase() if random.random() < 0.5 else c for c in one)
    same_folder = encode_symbol(one).casefold() == encode_symbol(other).casefold()
    assert same_folder == (one == other)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "must not be empty"),
        ("a\nb", r"has the control character '\\n' at position 1"),
        ("a\x00", "has the control character"),
        ("\x85", "has the control character"),
        ("\ud800", "has the control character"),
        ("a" * 101, r"takes 303 bytes .* at most 200 .* use a shorter one"),
    ],
)
def test_what_is_refused_is_refused_at_every_call(tmp_path: Path, name: str, message: str) -> None:
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES)
    calls = [
        lambda: store.write(name, TRADES),
        lambda: store.scan(name),
        lambda: store.scan(["BTC", name]),
        lambda: store.info(name),
        lambda: store.gaps(name),
        lambda: store.verify(name),
        lambda: store.delete(name),
        lambda: store.days(name, source="trades"),
        lambda: store.origins(name, source="trades"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"symbol {message}|symbol .*{message}"):
            call()
    with pytest.raises(TypeError, match="symbol must be a str"):
        store.write(7, TRADES)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert store.symbols() == [("trades", "BTC")]


def test_every_symbol_is_kept_apart_and_read_back_by_all(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    for number, symbol in enumerate(REAL):
        store.write(symbol, TRADES.with_columns(number=pl.lit(number)), source="a b/c")
    assert store.symbols() == sorted(("a b/c", symbol) for symbol in REAL)
    assert set(store.info()["symbol"]) == set(REAL)
    for number, symbol in enumerate(REAL):
        found = store.scan(symbol).collect()
        assert_frame_equal(found.drop("number"), TRADES)
        assert found["number"].unique().to_list() == [number]
    assert store.scan(REAL).select("symbol").unique().collect().height == len(REAL)
    assert store.verify().is_empty()
    expected = sorted((symbol, number) for number, symbol in enumerate(REAL))
    folder = store.root / "trades"
    keys = pl.Schema(dict.fromkeys(("source", "symbol", "month"), pl.String))
    plain = pl.scan_parquet(folder, hive_schema=keys).select("symbol", "number").unique()
    assert sorted(plain.collect().rows()) == expected
    folders = [p.name.casefold() for p in folder.glob("*/*")]
    assert len(folders) == len(set(folders)) == len(REAL)


def test_duckdb_and_pyarrow_read_the_same_symbols(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    dataset = pytest.importorskip("pyarrow.dataset")
    pa = pytest.importorskip("pyarrow")
    store = TradeStore(tmp_path)
    for symbol in REAL:
        store.write(symbol, TRADES[:1])
    rows = duckdb.sql(
        f"select symbol from read_parquet('{store.root}/trades/**/*.parquet', "
        "hive_partitioning = true, hive_types_autocast = false)"
    ).fetchall()
    assert sorted(row[0] for row in rows) == sorted(REAL)
    keys = pa.schema([(name, pa.string()) for name in ("source", "symbol", "month")])
    partitioning = dataset.partitioning(keys, flavor="hive")
    table = dataset.dataset(store.root / "trades", partitioning=partitioning).to_table()
    assert sorted(table["symbol"].to_pylist()) == sorted(REAL)


def test_sources_that_differ_in_case_only(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    store.write("BTC", TRADES, source="kraken")
    with pytest.raises(ValueError, match="'Kraken' differs only in case from the stored 'kraken'"):
        store.write("BTC", TRADES, source="Kraken")
    assert store.symbols() == [("kraken", "BTC")]


def test_folders_of_other_names_are_left_alone(tmp_path: Path) -> None:
    store = TradeStore(tmp_path)
    for name in ("symbol=btc", "symbol=%zz", "symbol=", "symbol=%0A"):
        (tmp_path / "trades/source=trades" / name).mkdir(parents=True)
    assert store.symbols() == []
    assert store.verify().is_empty()
