"""Every lazy frame of the package behaves as its collected frame would, under any further plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars._typing import EngineType
from polars.testing import assert_frame_equal

import rangebar_polars as rb
from rangebar_polars.sources.binance.bars import get_n_range_bars, get_range_bars
from rangebar_polars.sources.binance.files import Feed
from rangebar_polars.store import TradeStore
from tests.support.archive_server import serve
from tests.support.doors import ENGINES
from tests.support.made_files import day_trades, publish

FEEDS = [Feed("BTCUSDT", "um"), Feed("ETHUSDT", "um")]
DAYS = [date(2024, 1, 30) + timedelta(days=n) for n in range(3)]
ROWS = 120
TRADES = {
    feed.symbol: pl.concat(day_trades(feed, day, ROWS, 1 + n * ROWS) for n, day in enumerate(DAYS))
    for feed in FEEDS
}
BTC = TRADES["BTCUSDT"]
BOTH = pl.concat(
    trades.with_columns(symbol=pl.lit(symbol)) for symbol, trades in TRADES.items()
).sort("timestamp", maintain_order=True)


@pytest.fixture(scope="module")
def lazy_frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, pl.LazyFrame]]:
    """What is tested, all of it over the same few trades; the store is filled already."""
    folder = tmp_path_factory.mktemp("chains")
    for feed in FEEDS:
        for number, day in enumerate(DAYS):
            trades = TRADES[feed.symbol][ROWS * number : ROWS * (number + 1)]
            publish(folder / "served", feed, trades, day)
    store = TradeStore(folder / "store")
    symbols = list(TRADES)
    with serve(folder / "served") as server:
        options: dict[str, Any] = {"market": "um", "store": store, "base_url": server.url}
        get_range_bars(symbols, DAYS[0], DAYS[-1], 50, **options).collect()
        options["revalidate"] = False
        yield {
            "range_bars": batched(BTC, 50).pipe(rb.range_bars, 50),
            "range_bars by symbol": batched(BOTH, 70).pipe(
                rb.range_bars, [50, 100], by="symbol", incomplete="keep"
            ),
            "with_bar_id": batched(BTC, 50).pipe(rb.with_bar_id, 50),
            "resume_bars": resumed(),
            "scan_binance": rb.scan_binance("BTCUSDT", DAYS[0], DAYS[-1], **options),
            "get_range_bars": get_range_bars("BTCUSDT", DAYS[0], DAYS[-1], 50, **options),
            "get_range_bars of several": get_range_bars(symbols, DAYS[0], DAYS[-1], 50, **options),
            "get_n_range_bars": get_n_range_bars("BTCUSDT", 60, DAYS[-1], 50, **options),
            "TradeStore.scan": store.scan("BTCUSDT", DAYS[0], DAYS[-1]),
            "TradeStore.scan of several": store.scan(symbols),
            "scan_trades of zips": rb.scan_trades(folder / "served/**/*.zip", "binance"),
            "scan_trades of CSV": rb.scan_trades(written(folder / "trades.csv.gz"), "binance"),
        }


NAMES = [
    "range_bars",
    "range_bars by symbol",
    "with_bar_id",
    "resume_bars",
    "scan_binance",
    "get_range_bars",
    "get_range_bars of several",
    "get_n_range_bars",
    "TradeStore.scan",
    "TradeStore.scan of several",
    "scan_trades of zips",
    "scan_trades of CSV",
]
EVERY_FRAME = pytest.mark.parametrize("name", NAMES)
EVERY_ENGINE = pytest.mark.parametrize("engine", ENGINES)


def batched(trades: pl.DataFrame, rows: int) -> pl.LazyFrame:
    return pl.concat([part.lazy() for part in trades.iter_slices(rows)])


def written(path: Path) -> Path:
    """Trades as a vendor writes them: times as numbers, sides as 0 and 1."""
    time, maker = pl.col("timestamp").dt.epoch("ms"), pl.col("is_buyer_maker").cast(pl.Int8)
    BTC.with_columns(time, maker).lazy().sink_csv(path, compression="gzip")
    return path


def resumed() -> pl.LazyFrame:
    processor = rb.RangeBarProcessor(50)
    processor.push(BTC[:90])
    return rb.resume_bars(batched(BTC[90:], 50), processor.checkpoint())[0]


@dataclass(frozen=True)
class Step:
    """One operation, said by numbers that are read against the frame it comes to."""

    name: str
    a: int
    b: int
    c: int

    def __call__(self, frame: Any, eager: pl.DataFrame) -> Any:
        """Apply it to ``frame``, of which ``eager`` is the collected form."""
        return OPERATIONS[self.name](self, frame, eager)

    def column(self, eager: pl.DataFrame, number: int | None = None) -> str:
        return eager.columns[(self.a if number is None else number) % eager.width]


def unused(eager: pl.DataFrame) -> str:
    return next(name for i in range(99) if (name := f"new_{i}") not in eager.columns)


def sorted_by_all(frame: Any, eager: pl.DataFrame) -> Any:
    return frame.sort(eager.columns, maintain_order=True)


def predicate(step: Step, eager: pl.DataFrame) -> pl.Expr:
    """Compare a column with one of its own values, alone, with another, or with the whole."""

    def compared(number: int, row: int) -> pl.Expr:
        name = step.column(eager, number)
        column = pl.col(name)
        value = eager[name][row % eager.height] if eager.height else None
        if value is None:
            return column.is_not_null()
        return [column >= value, column == value, column < value][step.c % 3]

    one = compared(step.a, step.b)
    column = pl.col(step.column(eager))
    kind = step.c % 7
    if kind == 3:
        return one & compared(step.a + 1, step.b + 1)
    if kind == 4:
        return one | compared(step.a + 2, step.b + 2)
    if kind == 5:  # not row by row
        return column.is_first_distinct()
    if kind == 6:
        return column.shift().ne_missing(column)
    return one


OPERATIONS: dict[str, Callable[[Step, Any, pl.DataFrame], Any]] = {
    "head": lambda step, frame, eager: frame.head(step.b % 70),
    "tail": lambda step, frame, eager: frame.tail(step.b % 70),
    "slice": lambda step, frame, eager: frame.slice(step.b % 80, step.c),
    "slice from the end": lambda step, frame, eager: frame.slice(-1 - step.b % 80, step.c),
    "filter": lambda step, frame, eager: frame.filter(predicate(step, eager)),
    "filter again": lambda step, frame, eager: frame.filter(predicate(step, eager)),
    "select": lambda step, frame, eager: frame.select(
        list(dict.fromkeys(step.column(eager, number) for number in (step.a, step.b, step.c)))
    ),
    "sort": lambda step, frame, eager: frame.sort(
        step.column(eager), descending=bool(step.b % 2), maintain_order=True
    ),
    # Which of equal rows it takes is open, and their order: all columns settle both.
    "top_k": lambda step, frame, eager: sorted_by_all(
        frame.top_k(1 + step.b % 40, by=eager.columns), eager
    ),
    "with_row_index": lambda step, frame, eager: frame.with_row_index(unused(eager)),
    "unique": lambda step, frame, eager: frame.unique(
        step.column(eager), keep="first", maintain_order=True
    ),
    "group_by len": lambda step, frame, eager: frame.group_by(
        step.column(eager), maintain_order=True
    ).len(unused(eager)),
    "select len": lambda step, frame, eager: frame.select(pl.len().alias("rows")),
    "reverse": lambda step, frame, eager: frame.reverse(),
}

STEPS = st.builds(
    Step,
    st.sampled_from(list(OPERATIONS)),
    st.integers(0, 40),
    st.integers(0, 150),
    st.integers(0, 100),
)


@EVERY_FRAME
@settings(max_examples=40)
@given(chain=st.lists(STEPS, min_size=1, max_size=5), engine=st.sampled_from(ENGINES))
def test_any_chain_gives_what_it_gives_of_the_collected_frame(
    name: str, chain: list[Step], engine: EngineType, lazy_frames: dict[str, pl.LazyFrame]
) -> None:
    lazy = lazy_frames[name]
    eager = lazy.collect()
    for step in chain:
        lazy, eager = step(lazy, eager), step(eager, eager)
        if eager.is_empty():
            # Enough: Polars' own streaming engine panics at a top_k behind two empty slices.
            break
    assert_frame_equal(lazy.collect(engine=engine), eager, check_exact=True)


@EVERY_FRAME
@EVERY_ENGINE
def test_rows_are_counted_before_they_are_filtered(
    name: str, engine: EngineType, lazy_frames: dict[str, pl.LazyFrame]
) -> None:
    lazy = lazy_frames[name]
    eager = lazy.collect()
    price = "close" if "close" in eager.columns else "price"
    dear = pl.col(price) > eager[price].median()
    for few in (1, 7, 40):
        for frame, expected in (
            (lazy.head(few).filter(dear), eager.head(few).filter(dear)),
            (lazy.filter(dear).head(few), eager.filter(dear).head(few)),
            (
                lazy.slice(3, few).filter(dear).select(price),
                eager.slice(3, few).filter(dear).select(price),
            ),
        ):
            assert_frame_equal(frame.collect(engine=engine), expected, check_exact=True)


@EVERY_FRAME
@EVERY_ENGINE
def test_rows_count_where_no_column_is_read(
    name: str, engine: EngineType, lazy_frames: dict[str, pl.LazyFrame]
) -> None:
    lazy = lazy_frames[name]
    rows = lazy.collect().height
    for counted in (
        lazy.with_row_index("row").select("row"),
        lazy.select(pl.int_range(pl.len())),
        lazy.with_row_index("row").filter(pl.col("row") >= 0).group_by("row").len(),
    ):
        assert counted.collect(engine=engine).height == rows
    assert lazy.select(pl.len()).collect(engine=engine).item() == rows
    assert lazy.head(9).with_row_index("row").select("row").collect(engine=engine).height == 9


@EVERY_FRAME
def test_enough_rows_to_test_with(name: str, lazy_frames: dict[str, pl.LazyFrame]) -> None:
    assert lazy_frames[name].collect().height >= 50
