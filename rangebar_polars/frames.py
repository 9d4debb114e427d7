"""Bars of whole frames: `range_bars` and `with_bar_id`, lazy in and lazy out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar, Unpack, overload

import polars as pl
from polars.exceptions import DuplicateError

from rangebar_polars._arrow import ArrowStream, batches_of, checked_frame
from rangebar_polars._options import BarOptions, TradeIdKeywords, TradeKeywords, shows_keywords
from rangebar_polars._source import lazy_source
from rangebar_polars.columns import AUTO, TradeColumns, check_by, keys_of
from rangebar_polars.rules import IntoRule
from rangebar_polars.streaming import DECIDING, BarIdSource, BarSource

__all__ = ["range_bars", "with_bar_id"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


@overload
def range_bars(
    frame: pl.LazyFrame, rule: IntoRule | Iterable[IntoRule], **keywords: Unpack[TradeKeywords]
) -> pl.LazyFrame: ...


@overload
def range_bars(
    frame: pl.DataFrame | ArrowStream,
    rule: IntoRule | Iterable[IntoRule],
    **keywords: Unpack[TradeKeywords],
) -> pl.DataFrame: ...


@shows_keywords(TradeKeywords)
def range_bars(
    frame: pl.LazyFrame | pl.DataFrame | ArrowStream,
    rule: IntoRule | Iterable[IntoRule],
    **keywords: Unpack[TradeKeywords],
) -> pl.LazyFrame | pl.DataFrame:
    """
    Range bars of trades.

    A trade opens a bar; the first later trade at least `rule` away from the opening price closes it
    and is part of it; the next trade opens the next bar. Prices compare as whole numbers of 1e-8
    (`decimals`) and sums are exact, so the bars depend on the trades alone, not on batches, threads
    or engine.

    Parameters
    ----------
    frame
        Trades, in order of time within each key. Of a LazyFrame nothing is collected: its batches
        stream through, and only columns that the answer needs are read. Anything with the Arrow
        PyCapsule interface (pandas, pyarrow, DuckDB) is taken like a DataFrame, batch by batch.
    rule
        Distance from the opening price: decimal basis points, units of 0.001% (250 is 0.25%), from
        1 to 100 000; a text with its unit (`"0.25%"`, `"25bp"`); a preset (`'micro'` 10, `'tight'`
        50, `'standard'` 100, `'medium'` 250, `'wide'` 500, `'macro'` 1000); a
        :class:`rangebar_polars.rules.Range`; or a list of these, computed in one pass.
    by
        Key columns (a symbol, an exchange): trades of each key make bars of their own. By default
        `symbol`, where there is such a column. None: the trades are of one key, whatever it says.
    columns
        Names of the trades' columns where they differ from `timestamp`, `price`, `quantity` and,
        where present, `is_buyer_maker`, `agg_trade_id`, `first_trade_id`, `last_trade_id`: a
        :class:`TradeColumns` or a mapping such as `{"timestamp": "ts", "quantity": None}`; None
        switches one off.
    reset
        Calendar period at whose boundaries a bar in progress is cut off: a number of days, weeks,
        months, quarters or years (`'1d'`, `'1w'`, `'1mo'`, `'1q'`, `'1y'`), the periods of
        `dt.truncate`: weeks from Monday, and by the wall clock of a column with a time zone.
    reset_offset
        Moves those boundaries: `'17h'` with `'1d'` is a session that begins at 17:00, `'-1d'` with
        `'1w'` a week that begins on Sunday.
    max_gap
        A silence longer than this (`'2h'`) cuts off the bar in progress, too.
    time_unit
        What an Int64 timestamp counts since 1970: `'ns'`, `'us'` or `'ms'`. The times of bars are
        then Datetime. Needed there by `reset` and `max_gap`. A first trade before 1971 or after
        2200 is an error that asks whether the unit is right.
    same_timestamp_close
        Let a bar close at the very timestamp at which it opened. Off by default: a flash crash
        would otherwise make many bars of no duration.
    on_overlap
        What to do with a trade that comes again, one whose `agg_trade_id` is not above the last
        one of its key: `'error'` or `'skip'`, which leaves it out. Without ids nobody can tell.
    decimals
        Decimal places of the grid on which prices compare and sums are exact, 0 to 12: one number,
        or `{"price": 2, "quantity": 8}`. A price further than a millionth of itself from the grid
        is an error that says how many it takes; quantities are rounded to the grid, ties to even.
        The finer the grid, the smaller the largest price: 9.2e10 with 8, 9.2e6 with 12.
    incomplete
        `'drop'` leaves out bars that no trade has closed; `'keep'` gives them, with `is_complete`
        false.

    Returns
    -------
    LazyFrame or DataFrame
        As `frame` is. A row for each bar, in the order of closing trades: the `by` columns;
        `threshold_decimal_bps` (UInt32, where several rules were asked for); `bar_id` (UInt32,
        counts the bars of each key and rule from 0, as :func:`with_bar_id` does); `open_time`,
        `close_time` (as the input); `open`, `high`, `low`, `close` (Float64); `volume` (Float64,
        in units of quantity), `turnover` (price times quantity), `vwap` (null where the volume is
        zero); `trade_count` (Int64, rows); `individual_trade_count` (Int64); `buy_volume`,
        `sell_volume`, `buy_turnover`, `sell_turnover` (Float64), `buy_trade_count`,
        `sell_trade_count` (Int64, rows); `first_agg_trade_id`, `last_agg_trade_id`,
        `first_trade_id`, `last_trade_id` (Int64); `is_complete` (Boolean). Each is there where the
        input it needs is.

    Raises
    ------
    ValueError, TypeError
        At once, for options that make no sense.
    polars.exceptions.ColumnNotFoundError
        At once, for a column that is not there.
    rangebar_polars.exceptions.RangeBarError
        At once, for a column of a wrong dtype, or a text `side` that would be ignored.
    rangebar_polars.exceptions.InvalidTradeError
        On collecting, for a trade that is null, not finite, not positive, off the grid, out of
        order or there twice; names column, row and value.

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
    >>> rb.range_bars(trades, "0.25%").select("open", "close", "volume", "trade_count").collect()
    shape: (2, 4)
    ┌───────┬────────┬────────┬─────────────┐
    │ open  ┆ close  ┆ volume ┆ trade_count │
    │ ---   ┆ ---    ┆ ---    ┆ ---         │
    │ f64   ┆ f64    ┆ f64    ┆ i64         │
    ╞═══════╪════════╪════════╪═════════════╡
    │ 100.0 ┆ 100.25 ┆ 1.3    ┆ 3           │
    │ 100.3 ┆ 99.9   ┆ 3.0    ┆ 2           │
    └───────┴────────┴────────┴─────────────┘
    """
    by, names, more = _trade_keywords(keywords)
    options = BarOptions.of(rule, more)
    options.check_times(names.timestamp)
    if isinstance(frame, pl.LazyFrame):
        schema = frame.collect_schema()
        keys = keys_of(by, schema)
        source = BarSource(frame, schema, names.present(schema, keys), keys, options)
        return lazy_source(
            source.frames, source.empty.schema, name="RANGE BARS", detail=source.detail, pure=True
        )
    if not isinstance(frame, pl.DataFrame):
        return _bars_of_batches(frame, options, names, by)
    schema = frame.schema
    keys = keys_of(by, schema)
    source = BarSource(frame.lazy(), schema, names.present(schema, keys), keys, options)
    return source.eager(frame)


def _bars_of_batches(
    trades: ArrowStream, options: BarOptions, names: TradeColumns, by: Any
) -> pl.DataFrame:
    """Bars of another library's trades, which are read once and batch by batch."""
    from rangebar_polars.processor import RangeBarProcessor  # noqa: PLC0415 - it needs this module

    plain = options.to_dict()
    del plain["rules"]
    processor = RangeBarProcessor(list(options.rules), by=by, columns=names, **plain)
    frames = [bars for batch in batches_of(trades) if (bars := processor.push(batch)).height]
    frames.append(processor.finish())
    return pl.concat(frames)


def _trade_keywords(keywords: Any) -> tuple[Any, TradeColumns, dict[str, Any]]:
    """Key columns, trade columns, and the rest."""
    more = dict(keywords)
    by = check_by(more.pop("by", AUTO))
    return by, TradeColumns.of(more.pop("columns", None)), more


@shows_keywords(TradeIdKeywords)
def with_bar_id(
    frame: Frame, rule: IntoRule, *, name: str = "bar_id", **keywords: Unpack[TradeIdKeywords]
) -> Frame:
    """
    Trades with the number of the bar that each belongs to, for aggregations of your own.

    Parameters
    ----------
    frame
        Trades, as for :func:`range_bars`.
    rule
        One rule, as for :func:`range_bars`.
    name
        Name of the new column.
    by, columns, reset, reset_offset, max_gap, time_unit, same_timestamp_close, on_overlap, decimals
        As for :func:`range_bars`.

    Returns
    -------
    LazyFrame or DataFrame
        `frame` with one more column (UInt32): bars count from 0 within each key, as the `bar_id` of
        :func:`range_bars` does. The bar that is in progress at the end has a number too. Null for
        a trade that is skipped.

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
    frame = checked_frame(frame)
    by, names, more = _trade_keywords(keywords)
    options = BarOptions.of(rule, more, one="with_bar_id")
    options.check_times(names.timestamp)
    schema = frame.schema if isinstance(frame, pl.DataFrame) else frame.collect_schema()
    keys = keys_of(by, schema)
    if name in schema:
        msg = f"column '{name}' is already there; choose another with name='...'"
        raise DuplicateError(msg)
    unused = [field.name for field in fields(names) if field.name not in DECIDING]
    roles = replace(names, **dict.fromkeys(unused)).present(schema, keys)
    source = BarIdSource(frame.lazy(), schema, roles, keys, options, name)
    source.check()
    if isinstance(frame, pl.DataFrame):
        return source.eager(frame)
    return lazy_source(
        source.frames,
        pl.Schema({**schema, name: pl.UInt32()}),
        name="RANGE BAR IDS",
        detail=source.detail,
        pure=False,
    )
