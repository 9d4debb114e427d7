"""Seeded, realistic trades for the demo, the benchmarks and the tests.

What is copied from real markets, because the speed and the shape of range bars depend on it:

- one taker order sweeps several trades in one millisecond (about two thirds of the timestamps
  repeat their predecessor's, as on Binance spot);
- returns have fat tails (Student t with 3 degrees of freedom) and volatility comes in clusters;
- every price lies on a tick grid and most trades repeat the price before them, so that ties at a
  bar's boundary are common;
- quantities are log-normal on a lot grid;
- ids are contiguous per symbol, an aggregate trade spans one or more individual trades;
- with several symbols, the trades come interleaved, a few symbols trading most.

At the default volatility a bar of threshold 250 holds some 7 000 trades and one of threshold 25
about 100, near what BTCUSDT shows on a busy day.

Trades are made in chunks by numpy at a few million rows a second and written by Polars' own
streaming Parquet writer, so that any number of rows takes a small, constant amount of memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Trades made at once. Every chunk has a random generator of its own, seeded by the stream's seed
#: and the chunk's number, so another size here means other trades.
CHUNK_ROWS = 1 << 20

#: The seven columns of one symbol's trades, as `rangebar_polars` names them.
COLUMNS = (
    "timestamp",
    "price",
    "quantity",
    "is_buyer_maker",
    "agg_trade_id",
    "first_trade_id",
    "last_trade_id",
)

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "timestamp": pl.Datetime("ms"),
        "price": pl.Float64(),
        "quantity": pl.Float64(),
        "is_buyer_maker": pl.Boolean(),
        "agg_trade_id": pl.Int64(),
        "first_trade_id": pl.Int64(),
        "last_trade_id": pl.Int64(),
    }
)

_START = datetime(2024, 1, 1, tzinfo=UTC)
_NEW_ORDER = 0.4  # chance that a trade belongs to another taker order than the trade before it
_DEEPER = 0.08  # chance that a sweep's next trade eats into the next price level
_RETURN_PER_TRADE = 3e-5  # standard deviation of the log price's move
_MEAN_SQUARE_GAP_MS = 60.0  # a gap between orders is this times the square of an exponential
_VOLATILITY_BLOCK = 4096  # orders that share one volatility
_VOLATILITY_MEMORY = 0.98
_VOLATILITY_SHOCK = 0.15

# An aggregate trade spans one individual trade in 70% of cases and up to 40 in the others.
_SPANS = np.repeat(np.array([1, 2, 3, 4, 6, 10, 40], dtype=np.int64), [179, 38, 18, 9, 7, 4, 1])


@dataclass(frozen=True)
class Instrument:
    """A symbol, the price it starts from, and its grids.

    Attributes
    ----------
    symbol
        The name that the ``symbol`` column carries.
    price
        The price at the start, in quote currency.
    ticks_per_unit
        One over the smallest price step.
    lots_per_unit
        One over the smallest quantity step.
    median_lots
        The median quantity of a trade, in lots.
    """

    symbol: str
    price: float
    ticks_per_unit: int
    lots_per_unit: int
    median_lots: float


_KNOWN = (
    Instrument("BTCUSDT", 61_837.63, 100, 100_000, 400.0),
    Instrument("ETHUSDT", 2_683.80, 100, 10_000, 250.0),
    Instrument("SOLUSDT", 148.25, 100, 1_000, 2_000.0),
    Instrument("XRPUSDT", 0.6012, 10_000, 10, 3_000.0),
    Instrument("DOGEUSDT", 0.10532, 100_000, 1, 900.0),
)


def instruments(count: int) -> list[Instrument]:
    """Return `count` instruments: five well-known ones, then invented ones.

    Parameters
    ----------
    count
        How many, at least 1.

    Returns
    -------
    list of Instrument
        Always the same for the same `count`, and a longer list starts with the shorter one.

    Raises
    ------
    ValueError
        If `count` is below 1.

    Examples
    --------
    >>> [i.symbol for i in instruments(6)]
    ['BTCUSDT', 'ETHUSDT', 'SOLUSDT', 'XRPUSDT', 'DOGEUSDT', 'SYM0005USDT']
    """
    if count < 1:
        msg = f"the number of symbols must be at least 1, got {count}"
        raise ValueError(msg)
    found = list(_KNOWN[:count])
    for index in range(len(found), count):
        rng = np.random.default_rng([2024, index])
        price = float(10.0 ** rng.uniform(-2.0, 3.0))
        # Four to five significant digits, as exchanges choose their ticks.
        ticks_per_unit = int(10 ** (4 - int(np.floor(np.log10(price)))))
        found.append(Instrument(f"SYM{index:04d}USDT", price, ticks_per_unit, 100, 500.0))
    return found


class _Groups:
    """Running totals per symbol over one chunk's orders, without a loop over symbols."""

    def __init__(self, keys: npt.NDArray[np.uint16], count: int) -> None:
        self._order = np.argsort(keys, kind="stable")
        self._sizes = np.bincount(keys, minlength=count)
        self._ends = np.cumsum(self._sizes)
        self._firsts = self._ends - self._sizes

    def running(self, values: Floats, state: Floats) -> Floats:
        """Inclusive totals within each symbol, carried on from `state`, which is moved on."""
        totals = np.concatenate([np.zeros(1), np.cumsum(values[self._order])])
        before = totals[self._firsts]
        inclusive = np.empty_like(values)
        inclusive[self._order] = totals[1:] - np.repeat(before - state, self._sizes)
        state += totals[self._ends] - before
        return inclusive

    def running_ids(self, values: Ints, state: Ints) -> Ints:
        """Exclusive totals of whole numbers, by the same rule."""
        totals = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values[self._order])])
        before = totals[self._firsts]
        exclusive = np.empty_like(values)
        exclusive[self._order] = totals[:-1] - np.repeat(before - state, self._sizes)
        state += totals[self._ends] - before
        return exclusive


class TradeStream:
    """An endless, seeded stream of trades that goes on where the last call left it.

    Parameters
    ----------
    symbols
        How many symbols trade, interleaved, 1 to 65 535. With one, there is no ``symbol`` column.
    seed
        Equal seeds and equal calls give equal trades.

    Raises
    ------
    ValueError
        If `symbols` or `seed` is out of range.

    Examples
    --------
    >>> frame = TradeStream(symbols=2, seed=1).frame(1_000)
    >>> frame.columns[:4], frame.height
    (['symbol', 'timestamp', 'price', 'quantity'], 1000)
    """

    def __init__(self, symbols: int = 1, seed: int = 0) -> None:
        if symbols > np.iinfo(np.uint16).max:
            msg = f"the number of symbols must be at most 65535, got {symbols}"
            raise ValueError(msg)
        if seed < 0:
            msg = f"the seed must not be negative, got {seed}"
            raise ValueError(msg)
        chosen = instruments(symbols)
        self._seed = seed
        self._chunk = 0
        self._symbols = pl.Series("symbol", [i.symbol for i in chosen], dtype=pl.String)
        self._ticks = np.array([i.ticks_per_unit for i in chosen], dtype=np.float64)
        self._lots = np.array([i.lots_per_unit for i in chosen], dtype=np.float64)
        self._median_lots = np.array([i.median_lots for i in chosen], dtype=np.float32)
        popularity = (np.arange(symbols) + 1.0) ** -0.8
        self._popularity = np.cumsum(popularity / popularity.sum())
        # What a chunk hands to the next.
        self._clock = int(_START.timestamp() * 1000)
        self._log_price = np.log(np.array([i.price for i in chosen], dtype=np.float64))
        self._next_agg_id = np.ones(symbols, dtype=np.int64)
        self._next_trade_id = np.ones(symbols, dtype=np.int64)
        self._log_volatility = 0.0

    @property
    def schema(self) -> pl.Schema:
        """The columns and dtypes of the trades."""
        if len(self._symbols) > 1:
            return SCHEMA
        return pl.Schema({name: SCHEMA[name] for name in COLUMNS})

    def batches(self, rows: int) -> Iterator[pl.DataFrame]:
        """Yield the next `rows` trades in frames of at most `CHUNK_ROWS` rows.

        Parameters
        ----------
        rows
            How many trades, at least 0.

        Yields
        ------
        polars.DataFrame
            Frames with the columns of `schema`, in the order of time.
        """
        for first in range(0, rows, CHUNK_ROWS):
            yield self._next(min(CHUNK_ROWS, rows - first))

    def frame(self, rows: int) -> pl.DataFrame:
        """Return the next `rows` trades as one frame.

        Parameters
        ----------
        rows
            How many trades, at least 0; they must fit in memory (about 60 bytes each).

        Returns
        -------
        polars.DataFrame
            A frame with the columns of `schema`, in the order of time.
        """
        return pl.concat([self.schema.to_frame(), *self.batches(rows)], rechunk=True)

    def write(
        self,
        path: str | Path,
        rows: int,
        *,
        row_group_size: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> None:
        """Stream the next `rows` trades into a Parquet file with Polars' own writer.

        The file appears under its name only when it is complete.

        Parameters
        ----------
        path
            The file to make or replace; its folder is made as well.
        rows
            How many trades, at least 0.
        row_group_size
            Rows in a row group; Polars' default where None.
        columns
            The columns to write, all where None.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")

        def source(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            batch_size: int | None,
        ) -> Iterator[pl.DataFrame]:
            del predicate, n_rows, batch_size  # none is ever pushed down into a plain sink
            for frame in self.batches(rows):
                yield frame if with_columns is None else frame.select(with_columns)

        lazy = register_io_source(source, schema=self.schema)
        if columns is not None:
            lazy = lazy.select(columns)
        lazy.sink_parquet(part, row_group_size=row_group_size, engine="streaming")
        part.replace(path)

    def _next(self, rows: int) -> pl.DataFrame:
        """Make one chunk: first its orders, then the trades that each order swept."""
        rng = np.random.Generator(np.random.SFC64([self._seed, self._chunk]))
        self._chunk += 1

        is_first = rng.random(rows, dtype=np.float32) < _NEW_ORDER
        is_first[0] = True
        firsts = np.flatnonzero(is_first)
        order = np.cumsum(is_first) - 1  # the order that each trade belongs to
        orders = len(firsts)

        symbol = np.searchsorted(self._popularity, rng.random(orders)).astype(np.uint16)
        np.minimum(symbol, len(self._symbols) - 1, out=symbol)
        groups = _Groups(symbol, len(self._symbols))
        volatility = self._volatility(rng, orders)
        time = self._times(rng, volatility)
        buyer_takes = rng.random(orders, dtype=np.float32) < np.float32(0.5)
        level = self._levels(rng, groups, symbol, volatility, buyer_takes)

        # A sweep walks away from the best price on the side that it takes from.
        walked = np.cumsum(rng.random(rows, dtype=np.float32) < np.float32(_DEEPER))
        depth = walked - walked[firsts][order]
        ticks = level[order] + np.where(buyer_takes[order], depth, -depth)
        np.maximum(ticks, 1.0, out=ticks)

        spans = _SPANS[rng.integers(0, len(_SPANS), rows, dtype=np.uint8, endpoint=False)]
        spanned = np.cumsum(spans)
        spanned_before = spanned - spans
        ends = np.append(firsts[1:], rows)
        agg_base = groups.running_ids(ends - firsts, self._next_agg_id)
        trade_base = groups.running_ids(
            spanned[ends - 1] - spanned_before[firsts], self._next_trade_id
        )
        first_id = spanned_before + (trade_base - spanned_before[firsts])[order]

        data: dict[str, pl.Series | npt.NDArray[np.generic]] = {}
        if len(self._symbols) > 1:
            data["symbol"] = self._symbols.gather(pl.Series(symbol[order]))
        data["timestamp"] = time[order]
        data["price"] = ticks / self._ticks[symbol][order]
        data["quantity"] = self._quantities(rng, symbol[order])
        data["is_buyer_maker"] = ~buyer_takes[order]
        data["agg_trade_id"] = np.arange(rows) + (agg_base - firsts)[order]
        data["first_trade_id"] = first_id
        data["last_trade_id"] = first_id + spans - 1
        return pl.DataFrame(data).with_columns(pl.col("timestamp").cast(SCHEMA["timestamp"]))

    def _volatility(self, rng: np.random.Generator, orders: int) -> Floats:
        """One factor per order, of mean square 1, from a process that remembers its past."""
        blocks = -(-orders // _VOLATILITY_BLOCK)
        logs = np.empty(blocks)
        now = self._log_volatility
        for block, shock in enumerate(rng.standard_normal(blocks) * _VOLATILITY_SHOCK):
            now = _VOLATILITY_MEMORY * now + float(shock)
            logs[block] = now
        self._log_volatility = now
        variance = _VOLATILITY_SHOCK**2 / (1.0 - _VOLATILITY_MEMORY**2)
        return np.repeat(np.exp(logs - variance), _VOLATILITY_BLOCK)[:orders]

    def _times(self, rng: np.random.Generator, volatility: Floats) -> Ints:
        """Milliseconds of each order: long silences, quick runs, and faster when volatile."""
        waits = rng.standard_exponential(len(volatility))
        gaps = (_MEAN_SQUARE_GAP_MS * waits * waits / volatility).astype(np.int64)
        times = self._clock + np.cumsum(gaps)
        self._clock = int(times[-1])
        return times

    def _levels(
        self,
        rng: np.random.Generator,
        groups: _Groups,
        symbol: npt.NDArray[np.uint16],
        volatility: Floats,
        buyer_takes: npt.NDArray[np.bool_],
    ) -> Floats:
        """The tick at which each order meets the book: the bid, or the ask one tick above."""
        per_order = _RETURN_PER_TRADE / np.sqrt(_NEW_ORDER)
        moves = rng.standard_t(3.0, len(symbol)) * (per_order / np.sqrt(3.0)) * volatility
        price = np.exp(groups.running(moves, self._log_price))
        return np.rint(price * self._ticks[symbol]) + buyer_takes

    def _quantities(self, rng: np.random.Generator, symbol: npt.NDArray[np.uint16]) -> Floats:
        """Log-normal lots, at least one, in units of the base currency."""
        spread = np.exp(rng.standard_normal(len(symbol), dtype=np.float32) * np.float32(1.8))
        lots = np.ceil(spread * self._median_lots[symbol])
        return lots.astype(np.float64) / self._lots[symbol]


def write_once(
    path: str | Path,
    rows: int,
    *,
    symbols: int = 1,
    seed: int = 0,
    row_group_size: int | None = None,
) -> Path:
    """Write `rows` seeded trades to `path` unless the file is there already.

    Parameters
    ----------
    path
        The Parquet file; its name should tell the other arguments, for they are not compared.
    rows
        How many trades.
    symbols, seed
        As in `TradeStream`.
    row_group_size
        Rows in a row group; Polars' default where None.

    Returns
    -------
    pathlib.Path
        The file.
    """
    path = Path(path)
    if not path.exists():
        TradeStream(symbols, seed).write(path, rows, row_group_size=row_group_size)
    return path
