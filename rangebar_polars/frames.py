"""Bars of whole frames: `range_bars` and `with_bar_id`, lazy in and lazy out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import polars as pl
from polars.exceptions import DuplicateError

from rangebar_polars._options import (
    AUTO,
    Incomplete,
    Optional_,
    Settings,
    Span,
    Threshold,
    TimeUnit,
    TradeColumns,
    keys_of,
    thresholds_of,
)
from rangebar_polars._source import lazy_source
from rangebar_polars.streaming import BarIdSource, BarSource

__all__ = ["range_bars", "with_bar_id"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def _detail(settings: Settings, by: list[str] | None) -> str:
    thresholds = ", ".join(str(t) for t in settings.thresholds)
    return f"threshold_decimal_bps: {thresholds}" + (f"; by: {', '.join(by)}" if by else "")


def _checked(frame: Any) -> pl.LazyFrame:
    if isinstance(frame, pl.DataFrame):
        return frame.lazy()
    if isinstance(frame, pl.LazyFrame):
        return frame
    msg = f"trades must be a polars LazyFrame or DataFrame, got {type(frame).__name__}"
    raise TypeError(msg)


def range_bars(
    frame: Frame,
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
    Range bars of trades.

    A trade opens a bar; the first later trade at least `threshold_decimal_bps` away from the
    opening price closes it and is part of it; the next trade opens the next bar. Prices compare
    as whole numbers of 1e-8 and sums are exact, so the bars depend on the trades alone, not on
    batches, threads or engine.

    Parameters
    ----------
    frame
        Trades, in order of time within each key. Of a LazyFrame nothing is collected: its
        batches stream through, and only columns that the answer needs are read.
    threshold_decimal_bps
        Distance from the opening price, in units of 0.001% (250 is 0.25%): an integer from 1 to
        100 000, a preset (`'micro'` 10, `'tight'` 50, `'standard'` 100, `'medium'` 250, `'wide'`
        500, `'macro'` 1000), or a list of these, computed in one pass.
    by
        Key columns (a symbol, an exchange): trades of each key make bars of their own.
    timestamp
        Column of times, Datetime of any unit and zone, or Int64. None: no times, and no gate.
    price
        Column of prices: a float, integer or Decimal, at least 1e-8.
    quantity
        Column of quantities: a float, integer or Decimal, not negative. None: no volume.
    is_buyer_maker
        Boolean column, true where the taker sold. By default used where it is there; None
        switches it off. So with the next three.
    agg_trade_id, first_trade_id, last_trade_id
        Integer columns: id of the (aggregate) trade, and ids of the first and last trade that it
        is made of.
    incomplete
        `'drop'` leaves out bars that no trade has closed; `'keep'` gives them, with
        `is_complete` false.
    same_timestamp_close
        Let a bar close at the very timestamp at which it opened. Off by default: a flash crash
        would otherwise make many bars of no duration.
    reset
        Calendar period at whose boundaries a bar in progress is cut off: a number of days, weeks,
        months, quarters or years (`'1d'`, `'1w'`, `'1mo'`, `'1q'`, `'1y'`), the periods of
        `dt.truncate`: weeks from Monday, and by the wall clock of a column with a time zone.
    offset
        Moves those boundaries: `'17h'` with `'1d'` is a session that begins at 17:00, `'-1d'`
        with `'1w'` a week that begins on Sunday.
    max_gap
        A silence longer than this (`'2h'`) cuts off the bar in progress, too.
    time_unit
        What an Int64 timestamp counts since 1970: `'ns'`, `'us'` or `'ms'`. Needed there by
        `reset` and `max_gap`.

    Returns
    -------
    LazyFrame or DataFrame
        As `frame` is. A row for each bar, in the order of closing trades: the `by` columns;
        `threshold_decimal_bps` (UInt32, where several were asked for); `open_time`, `close_time`
        (as the input); `open`, `high`, `low`, `close` (Float64); `volume` (Float64, in units of
        quantity), `turnover` (price times quantity), `vwap` (null where the volume is zero);
        `trade_count` (UInt64, rows); `individual_trade_count` (UInt64); `buy_volume`,
        `sell_volume`, `buy_turnover`, `sell_turnover` (Float64), `buy_trade_count`,
        `sell_trade_count` (UInt64); `first_agg_trade_id`, `last_agg_trade_id`,
        `first_trade_id`, `last_trade_id` (Int64); `is_complete` (Boolean). Each is there where
        the input it needs is.

    Raises
    ------
    ValueError, TypeError
        At once, for options that make no sense.
    polars.exceptions.ColumnNotFoundError
        At once, for a column that is not there.
    rangebar_polars.exceptions.RangeBarError
        At once, for a column of a wrong dtype.
    rangebar_polars.exceptions.InvalidTradeError
        On collecting, for a trade that is null, not finite, not positive, off the grid or out
        of order; names column, row and value.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> trades = pl.LazyFrame(
    ...     {
    ...         "timestamp": [1, 2, 3, 4, 5],
    ...         "price": [100.0, 100.1, 100.25, 100.3, 99.9],
    ...         "quantity": [0.1, 0.2, 1.0, 2.0, 1.0],
    ...     }
    ... )
    >>> rb.range_bars(trades, 250).select("open", "close", "volume", "trade_count").collect()
    shape: (2, 4)
    ┌───────┬────────┬────────┬─────────────┐
    │ open  ┆ close  ┆ volume ┆ trade_count │
    │ ---   ┆ ---    ┆ ---    ┆ ---         │
    │ f64   ┆ f64    ┆ f64    ┆ u64         │
    ╞═══════╪════════╪════════╪═════════════╡
    │ 100.0 ┆ 100.25 ┆ 1.3    ┆ 3           │
    │ 100.3 ┆ 99.9   ┆ 3.0    ┆ 2           │
    └───────┴────────┴────────┴─────────────┘
    """
    trades = _checked(frame)
    settings = Settings(
        tuple(thresholds_of(threshold_decimal_bps)),
        same_timestamp_close,
        incomplete,
        reset,
        offset,
        max_gap,
        time_unit,
    )
    names = TradeColumns(
        timestamp, price, quantity, is_buyer_maker, agg_trade_id, first_trade_id, last_trade_id
    )
    keys = keys_of(by)
    schema = trades.collect_schema()
    source = BarSource(trades, schema, names.present(schema, keys), keys, settings)
    if isinstance(frame, pl.DataFrame):
        return source.eager(frame)
    return lazy_source(
        source.frames,
        source.empty.schema,
        name="RANGE BARS",
        detail=_detail(settings, keys),
        pure=True,
    )


def with_bar_id(
    frame: Frame,
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
    Trades with the number of the bar that each belongs to, for aggregations of your own.

    Parameters
    ----------
    frame
        Trades, as for :func:`range_bars`.
    threshold_decimal_bps
        One threshold, as for :func:`range_bars`.
    name
        Name of the new column.
    by, timestamp, price, same_timestamp_close, reset, offset, max_gap, time_unit
        As for :func:`range_bars`.

    Returns
    -------
    LazyFrame or DataFrame
        `frame` with one more column (UInt32): bars count from 0 within each key. The bar that is
        in progress at the end has a number too.

    Raises
    ------
    polars.exceptions.DuplicateError
        If `frame` has a column `name` already.
    ValueError, TypeError, polars.exceptions.ColumnNotFoundError, RangeBarError
        As :func:`range_bars`.

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> trades = pl.DataFrame(
    ...     {"timestamp": [1, 2, 3, 4], "price": [100.0, 100.1, 100.25, 100.3]}
    ... )
    >>> rb.with_bar_id(trades, 250).group_by("bar_id", maintain_order=True).agg(
    ...     pl.col("price").mean()
    ... )
    shape: (2, 2)
    ┌────────┬────────────┐
    │ bar_id ┆ price      │
    │ ---    ┆ ---        │
    │ u32    ┆ f64        │
    ╞════════╪════════════╡
    │ 0      ┆ 100.116667 │
    │ 1      ┆ 100.3      │
    └────────┴────────────┘
    """
    trades = _checked(frame)
    thresholds = thresholds_of(threshold_decimal_bps)
    if len(thresholds) > 1:
        msg = f"with_bar_id takes one threshold, got {len(thresholds)}"
        raise ValueError(msg)
    settings = Settings(
        tuple(thresholds),
        same_timestamp_close,
        reset=reset,
        offset=offset,
        max_gap=max_gap,
        time_unit=time_unit,
    )
    names = TradeColumns(timestamp, price, None, None, None, None, None)
    keys = keys_of(by)
    schema = trades.collect_schema()
    if name in schema:
        msg = f"column '{name}' is already there; choose another with name='...'"
        raise DuplicateError(msg)
    source = BarIdSource(trades, schema, names.present(schema, keys), keys, settings, name)
    source.check()
    if isinstance(frame, pl.DataFrame):
        return source.eager(frame)
    return lazy_source(
        source.frames,
        pl.Schema({**schema, name: pl.UInt32()}),
        name="RANGE BAR IDS",
        detail=_detail(settings, keys),
        pure=False,
    )
