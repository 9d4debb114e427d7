"""Names, addresses and columns of the archive."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rangebar_polars.sources.binance.files import ArchiveFile, Feed, Kind, Market

ARCHIVE = Path(__file__).resolve().parents[4] / "shared" / "data" / "binance_archive"


def test_paths() -> None:
    day = ArchiveFile(Feed("BTCUSDT", "spot", "trades"), date(2024, 1, 5), date(2024, 1, 5))
    assert day.path == "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip"
    month = ArchiveFile(Feed("BTCUSD_PERP", "cm"), date(2024, 2, 1), date(2024, 2, 29))
    assert month.path == (
        "data/futures/cm/monthly/aggTrades/BTCUSD_PERP/BTCUSD_PERP-aggTrades-2024-02.zip"
    )
    assert month.monthly
    assert not day.monthly


def test_paths_are_those_of_the_archive() -> None:
    if not ARCHIVE.is_dir():
        pytest.skip(f"needs a copy of the archive that this repository does not ship: {ARCHIVE}")
    markets: list[Market] = ["spot", "um", "cm"]
    kinds: list[Kind] = ["aggTrades", "trades"]
    files = [
        ArchiveFile(Feed(symbol, market, kind), date(2024, 8, 8), date(2024, 8, 8))
        for market in markets
        for kind in kinds
        for symbol in (("ETHUSD_PERP",) if market == "cm" else ("ETHUSDT",))
    ]
    assert [file.name for file in files if not (ARCHIVE / file.path).is_file()] == []


@pytest.mark.parametrize(
    ("market", "kind", "fields", "last"),
    [
        ("spot", "aggTrades", 8, "is_best_match"),
        ("um", "aggTrades", 7, "last_trade_id"),
        ("spot", "trades", 7, "is_best_match"),
        ("um", "trades", 6, "quote_quantity"),
        ("cm", "trades", 6, "base_quantity"),
    ],
)
def test_columns(market: Market, kind: Kind, fields: int, last: str) -> None:
    feed = Feed("X", market, kind)
    assert len(feed.csv_columns) == fields
    assert list(feed.schema)[:3] == ["timestamp", "price", "quantity"]
    assert list(feed.schema)[-1] == last


def test_what_the_archive_does_not_have() -> None:
    with pytest.raises(ValueError, match="market must be one of spot, um, cm, got 'options'"):
        Feed("BTCUSDT", "options")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="kind must be one of"):
        Feed("BTCUSDT", "um", "klines")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "symbol", ["../BTC", "BTC/USDT", "", " BTCUSDT", "BTC*", "..", "_", "a" * 51]
)
def test_symbols_that_the_exchange_cannot_have(symbol: str) -> None:
    with pytest.raises(ValueError, match="symbol must be letters, digits"):
        Feed(symbol)


def test_a_symbol_that_is_not_text() -> None:
    with pytest.raises(TypeError, match="symbol must be text"):
        Feed(None)  # type: ignore


def test_symbols_are_upper_case() -> None:
    assert Feed("btcusdt") == Feed("BTCUSDT")
    assert Feed("btcusd_perp", "cm").symbol == "BTCUSD_PERP"


def test_addresses_are_encoded() -> None:
    day = date(2025, 10, 9)
    file = ArchiveFile(Feed("币安人生usdt", "um"), day, day)
    encoded = "%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"
    assert file.name == "币安人生USDT-aggTrades-2025-10-09.zip"
    assert file.url("https://example.org/") == (
        "https://example.org/data/futures/um/daily/aggTrades/"
        f"{encoded}/{encoded}-aggTrades-2025-10-09.zip"
    )
