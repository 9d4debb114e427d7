"""Real trades, normalised to the default column names.

The files are no part of this repository: they are looked for in ``data`` beside its parent's
``shared`` folder, and tests that want them skip where they are absent.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl
import pytest

__all__ = ["REAL_FILES", "real_path", "real_trades", "xrpeth_as_decimal"]

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"

XRPETH = "binance_spot_aggtrades_XRPETH_20191011"
EMINI = "es_emini_2013"

REAL_FILES = (
    XRPETH,
    EMINI,
    "binance_ws_trade_spot_btcusdt_20240808",
    "binance_ws_trade_spot_btcusdt_20240809",
    "binance_ws_trade_spot_ethusdt_20240808",
    "binance_ws_trade_spot_ethusdt_20240809",
    "binance_ws_trade_usdm_btcusdt_20240808",
)


def real_path(name: str) -> Path:
    """Path of a file of real trades; the calling test skips where it is absent."""
    path = FOLDER / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"needs real trades that this repository does not ship: {path}")
    return path


@cache
def real_trades(name: str) -> pl.DataFrame:
    """Trades of one file as Float64 prices and quantities with a Datetime clock.

    Raises
    ------
    pytest.skip.Exception
        Where the file is absent.
    """
    raw = pl.read_parquet(real_path(name))
    clock = pl.col("timestamp").cast(pl.Datetime("ms"))
    if name == XRPETH:  # prices and quantities are text
        amounts = pl.col("price", "quantity").cast(pl.Float64)
        return raw.select(
            clock,
            amounts,
            "is_buyer_maker",
            "agg_trade_id",
            "first_trade_id",
            "last_trade_id",
        )
    if name == EMINI:  # no side, no ids, whole contracts
        return raw.select(clock, "price", pl.col("quantity").cast(pl.Float64))
    # A trade of the socket stream is not aggregated: its id is the first and the last.
    return raw.select(
        clock,
        "price",
        "quantity",
        "is_buyer_maker",
        first_trade_id="trade_id",
        last_trade_id="trade_id",
    )


def xrpeth_as_decimal() -> pl.DataFrame:
    """The text prices and quantities of XRPETH, cast without a detour over floats."""
    text = pl.read_parquet(real_path(XRPETH))
    return real_trades(XRPETH).with_columns(
        text[name].str.to_decimal(scale=8).alias(name) for name in ("price", "quantity")
    )
