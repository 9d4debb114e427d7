"""How each vendor writes trades: one entry of `VENDORS` says all there is to know about one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

__all__ = [
    "BY_HAND",
    "ROLES",
    "VENDORS",
    "InputTimeUnit",
    "Resolution",
    "Role",
    "Vendor",
    "binance_columns",
]

InputTimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]
Resolution: TypeAlias = Literal["us", "ns"]
Role: TypeAlias = Literal[
    "timestamp",
    "price",
    "quantity",
    "side",
    "is_buyer_maker",
    "trade_id",
    "agg_trade_id",
    "first_trade_id",
    "last_trade_id",
    "symbol",
]
ROLES: Final[tuple[Role, ...]] = (
    "timestamp",
    "price",
    "quantity",
    "side",
    "is_buyer_maker",
    "trade_id",
    "agg_trade_id",
    "first_trade_id",
    "last_trade_id",
    "symbol",
)


@dataclass(frozen=True)
class Vendor:
    """
    How one vendor writes trades.

    Attributes
    ----------
    columns
        For each role the names that the vendor gives its column, the first that is there counts.
    documented
        The page that this was taken from.
    time_units
        What a number in the time column counts since 1970. Of several, the one in which the number
        lies between 1971 and 2200: no number does in two of them.
    sells, buys
        What the side column holds where the taker (or, by `side_of`, the maker) sold or bought.
    side_of
        Whose side that is.
    resolution
        Of the times that come out.
    price_decimals
        Prices that are whole numbers count 10 to the power of minus this. None: they are prices.
    price_missing
        The whole number that stands for no price.
    """

    columns: Mapping[Role, tuple[str, ...]]
    documented: str
    time_units: tuple[InputTimeUnit, ...] = ()
    sells: tuple[str, ...] = ("sell",)
    buys: tuple[str, ...] = ("buy",)
    side_of: Literal["taker", "maker"] = "taker"
    resolution: Resolution = "us"
    price_decimals: int | None = None
    price_missing: int | None = None


BY_HAND: Final = Vendor(
    # An id of single trades has to be named: many a column trade_id is text.
    {role: (role,) for role in ROLES if role != "trade_id"},
    documented="",
    sells=("sell", "Sell", "SELL", "s", "S"),
    buys=("buy", "Buy", "BUY", "b", "B"),
)
"""Our own names. Bid and ask are missing on purpose: to some, a trade at the ask is a purchase."""

VENDORS: Final[Mapping[str, Vendor]] = {
    "binance": Vendor(
        {
            "timestamp": ("transact_time", "time", "timestamp", "T"),
            "price": ("price", "p"),
            "quantity": ("quantity", "qty", "q"),
            "is_buyer_maker": ("is_buyer_maker", "isBuyerMaker", "m"),
            "trade_id": ("id", "trade_id", "t"),
            "agg_trade_id": ("agg_trade_id", "aggTradeId", "a"),
            "first_trade_id": ("first_trade_id", "firstTradeId", "f"),
            "last_trade_id": ("last_trade_id", "lastTradeId", "l"),
            "symbol": ("symbol", "s"),
        },
        documented="https://github.com/binance/binance-public-data/",
        # Spot counts microseconds from 2025 on.
        time_units=("ms", "us"),
    ),
    "bybit": Vendor(
        {
            "timestamp": ("T", "timestamp"),
            "price": ("p", "price"),
            "quantity": ("v", "size", "volume"),
            "side": ("S", "side"),
            "symbol": ("s", "symbol"),
        },
        documented="https://bybit-exchange.github.io/docs/derivatives/ws-public/trade",
        # Files of derivatives count seconds, with fractions.
        time_units=("ms", "s"),
        sells=("Sell", "sell"),
        buys=("Buy", "buy"),
    ),
    "okx": Vendor(
        {
            "timestamp": ("ts",),
            "price": ("px",),
            "quantity": ("sz",),
            "side": ("side",),
            "trade_id": ("tradeId",),
            "symbol": ("instId",),
        },
        documented="https://docs.rs/crate/nautilus-okx/latest/source/test_data/ws_trades.json",
        time_units=("ms",),
    ),
    "coinbase": Vendor(
        {
            "timestamp": ("time",),
            "price": ("price",),
            "quantity": ("size",),
            "side": ("side",),
            "trade_id": ("trade_id",),
            "symbol": ("product_id",),
        },
        documented=(
            "https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/"
            "get-product-trades"
        ),
        side_of="maker",
    ),
    "kraken": Vendor(
        {
            "timestamp": ("timestamp", "time"),
            "price": ("price",),
            "quantity": ("qty", "volume"),
            "side": ("side",),
            "trade_id": ("trade_id",),
            "symbol": ("symbol",),
        },
        documented="https://docs.kraken.com/api/docs/rest-api/get-recent-trades/",
        time_units=("s",),
        sells=("sell", "s"),
        buys=("buy", "b"),
        # Its seconds have seven decimals and more.
        resolution="ns",
    ),
    "deribit": Vendor(
        {
            "timestamp": ("timestamp",),
            "price": ("price",),
            "quantity": ("amount",),
            "side": ("direction",),
            # Counts the trades of an instrument; its trade_id is text.
            "trade_id": ("trade_seq",),
            "symbol": ("instrument_name",),
        },
        documented=(
            "https://docs.deribit.com/api-reference/market-data/public-get_last_trades_by_currency"
        ),
        time_units=("ms",),
    ),
    "tardis": Vendor(
        {
            "timestamp": ("timestamp",),
            "price": ("price",),
            "quantity": ("amount",),
            "side": ("side",),
            "symbol": ("symbol",),
        },
        documented="https://docs.tardis.dev/downloadable-csv-files/data-types",
        time_units=("us",),
    ),
    "databento": Vendor(
        {
            "timestamp": ("ts_event",),
            "price": ("price",),
            "quantity": ("size",),
            "side": ("side",),
            "symbol": ("symbol",),
        },
        documented="https://databento.com/docs/schemas/trades",
        time_units=("ns",),
        sells=("A",),
        buys=("B",),
        resolution="ns",
        price_decimals=9,
        price_missing=2**63 - 1,
    ),
    "kaiko": Vendor(
        {
            "timestamp": ("date",),
            "price": ("price",),
            "quantity": ("amount",),
            "is_buyer_maker": ("sell",),
            "symbol": ("symbol",),
        },
        documented="https://docs.kaiko.com/kaiko-csv-data/data-feeds/level-1-tick-level/all-trades",
        time_units=("ms",),
    ),
    "polygon": Vendor(
        {
            "timestamp": ("sip_timestamp",),
            "price": ("price",),
            "quantity": ("size",),
            "symbol": ("ticker",),
        },
        documented="https://massive.com/docs/rest/stocks/trades-quotes/trades",
        time_units=("ns",),
        resolution="ns",
    ),
}

_AGG_TRADES = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)
_TRADES = ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")
_BEST_MATCH = "is_best_match"
_BOOLEANS = {"true", "false", "True", "False"}


def binance_columns(fields: list[str]) -> list[str] | None:
    """
    Names of the columns of a line from the Binance archive whose file has no header.

    Spot trades and futures' aggregate trades have seven fields both; the sixth of the first is a
    boolean, that of the second a time.
    """
    booleans = [value in _BOOLEANS for value in fields]
    for columns in (_AGG_TRADES, _TRADES):
        for names in ([*columns], [*columns, _BEST_MATCH]):
            if booleans == [name.startswith("is_") for name in names]:
                return names
    return None
