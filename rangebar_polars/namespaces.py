"""The `.rangebar` namespace of LazyFrame, DataFrame and Expr.

Each method is the function of the same purpose with the frame or the price filled in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

import polars as pl

from rangebar_polars import expressions, frames
from rangebar_polars._options import (
    BarIdKeywords,
    BarKeywords,
    TradeIdKeywords,
    TradeKeywords,
    shows_keywords,
)
from rangebar_polars.rules import IntoRule

if TYPE_CHECKING:
    from polars._typing import IntoExprColumn

__all__ = ["DataFrameNameSpace", "ExprNameSpace", "LazyFrameNameSpace"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class _FrameNameSpace(Generic[Frame]):
    def __init__(self, frame: Frame) -> None:
        self._frame: Frame = frame

    @shows_keywords(TradeKeywords)
    def bars(self, rule: IntoRule | Iterable[IntoRule], **keywords: Unpack[TradeKeywords]) -> Frame:
        """
        Range bars of these trades: :func:`rangebar_polars.range_bars`.

        Examples
        --------
        >>> import polars as pl
        >>> import rangebar_polars
        >>> trades = pl.LazyFrame(
        ...     {"timestamp": [1, 2], "price": [100.0, 101.0], "quantity": [1.0, 2.0]}
        ... )
        >>> trades.rangebar.bars("medium").select("open", "close").collect().rows()
        [(100.0, 101.0)]
        """
        return frames.range_bars(self._frame, rule, **keywords)

    @shows_keywords(TradeIdKeywords)
    def with_bar_id(
        self, rule: IntoRule, *, name: str = "bar_id", **keywords: Unpack[TradeIdKeywords]
    ) -> Frame:
        """
        These trades with the number of each one's bar: :func:`rangebar_polars.with_bar_id`.

        Examples
        --------
        >>> import polars as pl
        >>> import rangebar_polars
        >>> trades = pl.DataFrame({"timestamp": [1, 2, 3], "price": [100.0, 101.0, 101.0]})
        >>> trades.rangebar.with_bar_id(250)["bar_id"].to_list()
        [0, 0, 1]
        """
        return frames.with_bar_id(self._frame, rule, name=name, **keywords)


@pl.api.register_lazyframe_namespace("rangebar")
class LazyFrameNameSpace(_FrameNameSpace[pl.LazyFrame]):
    """Range bars of a LazyFrame of trades, streaming."""


@pl.api.register_dataframe_namespace("rangebar")
class DataFrameNameSpace(_FrameNameSpace[pl.DataFrame]):
    """Range bars of a DataFrame of trades."""


@pl.api.register_expr_namespace("rangebar")
class ExprNameSpace:
    """Range bars of an expression that gives prices."""

    def __init__(self, expr: pl.Expr) -> None:
        self._expr = expr

    @shows_keywords(BarIdKeywords)
    def bar_id(
        self,
        rule: IntoRule,
        timestamp: IntoExprColumn | None = "timestamp",
        *,
        agg_trade_id: IntoExprColumn | None = None,
        **keywords: Unpack[BarIdKeywords],
    ) -> pl.Expr:
        """
        Number of the bar of each trade at these prices: :func:`rangebar_polars.bar_id`.

        Examples
        --------
        >>> import polars as pl
        >>> import rangebar_polars
        >>> df = pl.DataFrame({"timestamp": [1, 2, 3], "price": [100.0, 101.0, 101.0]})
        >>> df.select(pl.col("price").rangebar.bar_id(250)).to_series().to_list()
        [0, 0, 1]
        """
        return expressions.bar_id(
            self._expr, timestamp, rule=rule, agg_trade_id=agg_trade_id, **keywords
        )

    @shows_keywords(BarKeywords)
    def bars(
        self,
        rule: IntoRule | Iterable[IntoRule],
        timestamp: IntoExprColumn | None = "timestamp",
        quantity: IntoExprColumn | None = "quantity",
        *,
        is_buyer_maker: IntoExprColumn | None = None,
        agg_trade_id: IntoExprColumn | None = None,
        first_trade_id: IntoExprColumn | None = None,
        last_trade_id: IntoExprColumn | None = None,
        **keywords: Unpack[BarKeywords],
    ) -> pl.Expr:
        """
        Range bars of these prices: :func:`rangebar_polars.bars`.

        Examples
        --------
        >>> import polars as pl
        >>> import rangebar_polars
        >>> df = pl.DataFrame({"price": [100.0, 101.0, 101.0]})
        >>> bars = pl.col("price").rangebar.bars(250, timestamp=None, quantity=None)
        >>> df.select(bars).unnest("bars").select("open", "close").rows()
        [(100.0, 101.0)]
        """
        return expressions.bars(
            self._expr,
            timestamp,
            quantity,
            rule=rule,
            is_buyer_maker=is_buyer_maker,
            agg_trade_id=agg_trade_id,
            first_trade_id=first_trade_id,
            last_trade_id=last_trade_id,
            **keywords,
        )
