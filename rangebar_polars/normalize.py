"""Other people's trades under our names and dtypes, lazily."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import polars as pl

from rangebar_polars._normalizer import Column, normalizer
from rangebar_polars._vendors import InputTimeUnit, Resolution
from rangebar_polars.columns import AUTO

__all__ = ["normalize"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def normalize(
    frame: Frame,
    vendor: str | None = None,
    *,
    timestamp: Column = AUTO,
    price: Column = AUTO,
    quantity: Column = AUTO,
    side: Column = AUTO,
    sells: Sequence[str | int] | None = None,
    buys: Sequence[str | int] | None = None,
    side_of: Literal["taker", "maker"] | None = None,
    other_side: Literal["error", "null"] = "error",
    is_buyer_maker: Column = AUTO,
    trade_id: Column = AUTO,
    agg_trade_id: Column = AUTO,
    first_trade_id: Column = AUTO,
    last_trade_id: Column = AUTO,
    symbol: Column = AUTO,
    time_unit: InputTimeUnit | None = None,
    time_format: str | None = None,
    resolution: Resolution | None = None,
) -> Frame:
    """
    Trades of any origin under the names and dtypes that everything here expects.

    Parameters
    ----------
    frame
        Trades. Of a LazyFrame nothing is collected: what is asked for later (columns, a number of
        rows, predicates on columns that are only renamed) still reaches the scan.
    vendor
        Whose columns these are: ``'binance'`` (aggTrades and trades, spot and futures, of files
        and of the REST service), ``'bybit'``, ``'okx'``, ``'coinbase'``, ``'kraken'``,
        ``'deribit'``, ``'tardis'``, ``'databento'``, ``'kaiko'`` or ``'polygon'``; see Notes. None:
        columns have our names, or the ones given below.
    timestamp, price, quantity
        Names of these columns, where they differ. None: there is no such column.
    side
        Column that says who sold.
    sells, buys
        What stands in `side` where a trade is a sell or a buy, compared exactly. By hand ``sell``,
        ``s``, ``buy`` and ``b`` in small letters and capitals are known.
    side_of
        Whose side it is: the ``'taker'``'s, as most write it, or the ``'maker'``'s.
    other_side
        What a side that is neither a sell nor a buy is: an ``'error'``, or ``'null'``, which
        :func:`range_bars` refuses, so that it is up to you to leave such trades out.
    is_buyer_maker
        Column that is true where the taker sold: booleans, 0 and 1, or text. Goes before `side`.
    trade_id
        Column of an id of single trades: it becomes ``agg_trade_id``, ``first_trade_id`` and
        ``last_trade_id`` alike. By hand it has to be named.
    agg_trade_id, first_trade_id, last_trade_id
        Columns of an aggregate trade's id, and of the first and last trade in it.
    symbol
        Column of the symbol. Its values stay as they are.
    time_unit
        What numbers in `timestamp` count since 1970: ``'s'``, ``'ms'``, ``'us'`` or ``'ns'``.
        Fractions count; text is read as the number it is.
    time_format
        How to read a `timestamp` that is text and not in ISO 8601 form, such as
        ``'%d/%m/%Y %H:%M:%S'`` (see ``Expr.str.to_datetime``).
    resolution
        Of the times that come out: ``'us'``, or ``'ns'`` where the input counts nanoseconds or you
        ask for it. A time that microseconds cannot hold is an error.

    Returns
    -------
    LazyFrame or DataFrame
        As `frame` is: ``timestamp`` (Datetime, in UTC without a zone unless it was a Datetime with
        one before), ``price``, ``quantity`` (Float64), ``is_buyer_maker`` (Boolean),
        ``agg_trade_id``, ``first_trade_id``, ``last_trade_id`` (Int64) and ``symbol``, each where
        the input has it and in its place; all other columns as they are.

    Raises
    ------
    ValueError
        At once, for an unknown vendor, unit or option.
    polars.exceptions.ColumnNotFoundError, polars.exceptions.DuplicateError
        At once, for a column that is missing, or that would be there twice.
    rangebar_polars.exceptions.RangeBarError
        At once, for a column of a dtype that cannot be read, or numbers as times without a unit.
    rangebar_polars.exceptions.InvalidTradeError
        On collecting, for a value that cannot be read: names column and value. So for a time
        before 1971 or from 2200 on: its unit is wrong.
    polars.exceptions.InvalidOperationError
        On collecting, for text that is no number: names column and value.

    Notes
    -----
    The vendors' columns were taken from these pages:

    - binance: https://github.com/binance/binance-public-data/ (its spot counts microseconds from
      2025 on, milliseconds before: told apart by size)
    - bybit: https://bybit-exchange.github.io/docs/derivatives/ws-public/trade, and the headers of
      the files at https://public.bybit.com/ (``timestamp`` in seconds or milliseconds, by size)
    - okx: https://docs.rs/crate/nautilus-okx/latest/source/test_data/ws_trades.json
    - coinbase: https://docs.cdp.coinbase.com/api-reference/exchange-api/rest-api/products/get-product-trades
      (``side`` is the maker's)
    - kraken: https://docs.kraken.com/api/docs/rest-api/get-recent-trades/
    - deribit: https://docs.deribit.com/api-reference/market-data/public-get_last_trades_by_currency
      (``trade_seq`` is the id)
    - tardis: https://docs.tardis.dev/downloadable-csv-files/data-types
    - databento: https://databento.com/docs/schemas/trades (``ts_event``; whole prices count 1e-9;
      side ``N`` is neither)
    - kaiko: https://docs.kaiko.com/kaiko-csv-data/data-feeds/level-1-tick-level/all-trades
    - polygon: https://massive.com/docs/rest/stocks/trades-quotes/trades (``sip_timestamp``)

    Examples
    --------
    >>> import polars as pl
    >>> import rangebar_polars as rb
    >>> mine = pl.DataFrame(
    ...     {
    ...         "time": [1700000000.4, 1700000001.25],
    ...         "px": ["100.10", "100.35"],
    ...         "sz": [1, 2],
    ...         "side": ["sell", "buy"],
    ...     }
    ... )
    >>> rb.normalize(mine, timestamp="time", time_unit="s", price="px", quantity="sz")
    shape: (2, 4)
    ┌─────────────────────────┬────────┬──────────┬────────────────┐
    │ timestamp               ┆ price  ┆ quantity ┆ is_buyer_maker │
    │ ---                     ┆ ---    ┆ ---      ┆ ---            │
    │ datetime[μs]            ┆ f64    ┆ f64      ┆ bool           │
    ╞═════════════════════════╪════════╪══════════╪════════════════╡
    │ 2023-11-14 22:13:20.400 ┆ 100.1  ┆ 1.0      ┆ true           │
    │ 2023-11-14 22:13:21.250 ┆ 100.35 ┆ 2.0      ┆ false          │
    └─────────────────────────┴────────┴──────────┴────────────────┘
    """
    made = normalizer(
        vendor,
        timestamp=timestamp,
        price=price,
        quantity=quantity,
        side=side,
        sells=sells,
        buys=buys,
        side_of=side_of,
        other_side=other_side,
        is_buyer_maker=is_buyer_maker,
        trade_id=trade_id,
        agg_trade_id=agg_trade_id,
        first_trade_id=first_trade_id,
        last_trade_id=last_trade_id,
        symbol=symbol,
        time_unit=time_unit,
        time_format=time_format,
        resolution=resolution,
    )
    return made.apply(frame)
