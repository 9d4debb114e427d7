"""Names, addresses and columns of the archive's files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal, TypeAlias, get_args
from urllib.parse import quote

import polars as pl

__all__ = [
    "ARCHIVE_URL",
    "REST_URLS",
    "ArchiveFile",
    "Feed",
    "Kind",
    "Market",
]

Market: TypeAlias = Literal["spot", "um", "cm"]
"""Spot, USD-margined futures, coin-margined futures."""

Kind: TypeAlias = Literal["aggTrades", "trades"]

ARCHIVE_URL = "https://data.binance.vision"
REST_URLS: dict[str, str] = {
    "spot": "https://api.binance.com/api/v3",
    "um": "https://fapi.binance.com/fapi/v1",
    "cm": "https://dapi.binance.com/dapi/v1",
}
_SYMBOL = re.compile(r"(?=.*[^\W_])[\w.-]{1,50}")
"""The exchange's own rule: of any script, without small letters. One is 币安人生USDT."""
_FOLDERS = {"spot": "spot", "um": "futures/um", "cm": "futures/cm"}
_AGG_TRADES: dict[str, pl.DataType] = {
    "agg_trade_id": pl.Int64(),
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "first_trade_id": pl.Int64(),
    "last_trade_id": pl.Int64(),
    "time": pl.Int64(),
    "is_buyer_maker": pl.Boolean(),
}
_TRADES: dict[str, pl.DataType] = {
    "agg_trade_id": pl.Int64(),
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "quote_quantity": pl.Float64(),
    "time": pl.Int64(),
    "is_buyer_maker": pl.Boolean(),
}


@dataclass(frozen=True)
class Feed:
    """One kind of trades of one symbol on one market.

    The symbol is made upper case, as the exchange writes all of them.

    Raises
    ------
    ValueError
        Where the archive does not have such a market or kind, or the exchange such symbols.
    TypeError
        Where the symbol is not text.
    """

    symbol: str
    market: Market = "spot"
    kind: Kind = "aggTrades"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("market", self.market, get_args(Market)),
            ("kind", self.kind, get_args(Kind)),
        ):
            if value not in known:
                msg = f"{name} must be one of {', '.join(known)}, got {value!r}"
                raise ValueError(msg)
        if not isinstance(self.symbol, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"symbol must be text such as 'BTCUSDT', got {self.symbol!r}"
            raise TypeError(msg)
        # The exchange's symbols have capitals only, and nothing is published under others.
        symbol = self.symbol.upper()
        if not _SYMBOL.fullmatch(symbol):
            msg = (
                "symbol must be letters, digits, '_', '-' and '.' only, as the exchange writes "
                f"it ('BTCUSDT', 'BTCUSD_PERP'), got {self.symbol!r}"
            )
            raise ValueError(msg)
        object.__setattr__(self, "symbol", symbol)

    @property
    def source(self) -> str:
        """Name under which a store keeps this feed's trades."""
        return f"binance-{self.market}-{self.kind}"

    @property
    def description(self) -> str:
        """What `explain` and messages call it."""
        return f"{self.symbol}, {self.market} {self.kind}"

    @property
    def csv_columns(self) -> dict[str, pl.DataType]:
        """Columns of a CSV line, in order."""
        columns = dict(_AGG_TRADES if self.kind == "aggTrades" else _TRADES)
        if self.kind == "trades" and self.market == "cm":
            # Contracts are worth a fixed sum, so here the other side is counted in coins.
            columns = {n.replace("quote_", "base_"): t for n, t in columns.items()}
        if self.market == "spot":
            columns["is_best_match"] = pl.Boolean()
        return columns

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Columns of the trades that come out. A single trade is its own aggregate."""
        csv = self.csv_columns
        first = ["price", "quantity", "is_buyer_maker"]
        ids = ["agg_trade_id", "first_trade_id", "last_trade_id"]
        rest = [name for name in csv if name not in {*first, *ids, "time"}]
        schema: dict[str, pl.DataType] = {"timestamp": pl.Datetime("us")}
        schema.update({name: csv[name] for name in first})
        schema.update({name: pl.Int64() for name in ids})
        schema.update({name: csv[name] for name in rest})
        return schema


@dataclass(frozen=True)
class ArchiveFile:
    """A zip of one day or of one month."""

    feed: Feed
    first_day: date
    last_day: date

    @property
    def monthly(self) -> bool:
        """Whether the file holds a month."""
        return self.first_day != self.last_day

    @property
    def name(self) -> str:
        """File name, which is unique in a feed."""
        period = f"{self.first_day:%Y-%m}" if self.monthly else self.first_day.isoformat()
        return f"{self.feed.symbol}-{self.feed.kind}-{period}.zip"

    @property
    def path(self) -> str:
        """Path below the archive's base URL."""
        feed = self.feed
        every = "monthly" if self.monthly else "daily"
        return f"data/{_FOLDERS[feed.market]}/{every}/{feed.kind}/{feed.symbol}/{self.name}"

    def url(self, base: str) -> str:
        """Address below a base URL."""
        return f"{base.rstrip('/')}/{quote(self.path)}"
