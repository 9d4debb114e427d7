"""The `.rangebar` namespace of LazyFrame, DataFrame and Expr.

Each method is the function of the same purpose with the frame or the price filled in; the
signatures repeat those of the functions so that editors and type checkers know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import polars as pl

from rangebar_polars import expressions, frames
from rangebar_polars._options import AUTO, Incomplete, Optional_, Span, Threshold, TimeUnit

if TYPE_CHECKING:
    from polars._typing import IntoExprColumn

__all__ = ["DataFrameNameSpace", "ExprNameSpace", "LazyFrameNameSpace"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class _FrameNameSpace(Generic[Frame]):
    def __init__(self, frame: Frame) -> None:
        self._frame: Frame = frame

    def bars(
        self,
        threshold_decimal_bps: Threshold | Sequence[Threshold],
        *,
        by: str | Sequence[str] | None = None,
        timestamp: str | None = "timestamp",
        price: str = "price",
        quantity: str | None = "quantity",
        is_buyer_maker: Optional_ = AUTO,
        agg_trade_id: Optional_ = AUTO,
        first_trade_id: Optional_ = AUTO,
        last_trade_id: Optional_ = AUTO,
        incomplete: Incomplete = "drop",
        same_timestamp_close: bool = False,
        reset: str | None = None,
        offset: Span | None = None,
        max_gap: Span | None = None,
        time_unit: TimeUnit | None = None,
    ) -> Frame:
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
        return frames.range_bars(
            self._frame,
            threshold_decimal_bps,
            by=by,
            timestamp=timestamp,
            price=price,
            quantity=quantity,
            is_buyer_maker=is_buyer_maker,
            agg_trade_id=agg_trade_id,
            first_trade_id=first_trade_id,
            last_trade_id=last_trade_id,
            incomplete=incomplete,
            same_timestamp_close=same_timestamp_close,
            reset=reset,
            offset=offset,
            max_gap=max_gap,
            time_unit=time_unit,
        )

    def with_bar_id(
        self,
        threshold_decimal_bps: Threshold,
        *,
        name: str = "bar_id",
        by: str | Sequence[str] | None = None,
        timestamp: str | None = "timestamp",
        price: str = "price",
        same_timestamp_close: bool = False,
        reset: str | None = None,
        offset: Span | None = None,
        max_gap: Span | None = None,
        time_unit: TimeUnit | None = None,
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
        return frames.with_bar_id(
            self._frame,
            threshold_decimal_bps,
            name=name,
            by=by,
            timestamp=timestamp,
            price=price,
            same_timestamp_close=same_timestamp_close,
            reset=reset,
            offset=offset,
            max_gap=max_gap,
            time_unit=time_unit,
        )


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

    def bar_id(
        self,
        threshold_decimal_bps: Threshold,
        timestamp: IntoExprColumn | None = "timestamp",
        *,
        same_timestamp_close: bool = False,
        reset: str | None = None,
        offset: Span | None = None,
        max_gap: Span | None = None,
        time_unit: TimeUnit | None = None,
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
            self._expr,
            timestamp,
            threshold_decimal_bps=threshold_decimal_bps,
            same_timestamp_close=same_timestamp_close,
            reset=reset,
            offset=offset,
            max_gap=max_gap,
            time_unit=time_unit,
        )

    def bars(
        self,
        threshold_decimal_bps: Threshold | Sequence[Threshold],
        timestamp: IntoExprColumn | None = "timestamp",
        quantity: IntoExprColumn | None = "quantity",
        *,
        is_buyer_maker: IntoExprColumn | None = None,
        agg_trade_id: IntoExprColumn | None = None,
        first_trade_id: IntoExprColumn | None = None,
        last_trade_id: IntoExprColumn | None = None,
        incomplete: Incomplete = "drop",
        same_timestamp_close: bool = False,
        reset: str | None = None,
        offset: Span | None = None,
        max_gap: Span | None = None,
        time_unit: TimeUnit | None = None,
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
            threshold_decimal_bps=threshold_decimal_bps,
            is_buyer_maker=is_buyer_maker,
            agg_trade_id=agg_trade_id,
            first_trade_id=first_trade_id,
            last_trade_id=last_trade_id,
            incomplete=incomplete,
            same_timestamp_close=same_timestamp_close,
            reset=reset,
            offset=offset,
            max_gap=max_gap,
            time_unit=time_unit,
        )
