"""Trades on disk: `TradeStore`, and what it is made of."""

from __future__ import annotations

from rangebar_polars.store.manifest import Origin
from rangebar_polars.store.trade_store import TradeStore
from rangebar_polars.store.writing import WriteReport

__all__ = ["Origin", "TradeStore", "WriteReport"]
