"""Hypothesis strategies for trades that lie where range bars go wrong.

Prices are drawn as moves relative to the bar in progress, which a small tracker follows, so that
ties on the boundary and near misses by one grid step are common rather than lucky.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import polars as pl
from hypothesis import strategies as st

__all__ = ["Case", "bar_cases", "splits", "thresholds", "trades"]

GRID = 10**8
MAX_PRICE_UNITS = 9 * 10**18  # 9e10, next to the largest price the grid holds
MAX_TURNOVER = 2**126  # the sums of a case stay inside an i128 with room to spare

COMMON_THRESHOLDS = (1, 10, 25, 100, 250, 1000)

Regime = Literal["tiny", "small", "common", "large", "huge"]

BASE_PRICES: dict[Regime, tuple[int, int]] = {
    "tiny": (1, 60),  # a few grid steps: the boundary is one step away
    "small": (1_000, 500_000),  # like XRPETH at 0.0014
    "common": (GRID, 100_000 * GRID),
    "large": (10**14, 10**16),  # units beyond what a Float64 counts one by one
    "huge": (10**17, MAX_PRICE_UNITS),
}

Move = Literal["stay", "tick", "tie", "inside", "beyond", "jump", "far"]
MOVES: tuple[Move, ...] = ("stay", "tick", "tie", "inside", "beyond", "jump", "far")

TIME_STEPS = (0, 0, 0, 1, 1, 7, 1000, 3_600_000, 10**9)
FIRST_TIMES = (0, -5, 1_570_752_011_620, -(10**12))
STEP_QUANTITIES = (0.0, 1e-8, 0.1, 0.2, 0.3, 0.00009, 1.0, 8.0, 1150.0, 99.99999999)
SYMBOLS = ("AAA", "BBB", "CCC")


@dataclass(frozen=True)
class Case:
    """Trades and the settings under which to make bars of them."""

    trades: pl.DataFrame
    threshold: int
    same_timestamp_close: bool
    incomplete: Literal["drop", "keep"]


class Step(NamedTuple):
    """How one trade differs from the one before it."""

    move: Move
    up: bool
    size: int
    elapsed: int
    key: int
    maker: bool
    merged: int


def thresholds() -> st.SearchStrategy[int]:
    """The thresholds people use, their extremes, and anything between."""
    return st.one_of(
        st.sampled_from(COMMON_THRESHOLDS),
        st.sampled_from((1, 99_999, 100_000)),
        st.integers(1, 100_000),
    )


def on_grid(units: int) -> tuple[int, float]:
    """Find a Float64 near ``units`` that the grid maps to its own nearest value and back.

    Above 2**53 units two Float64 may share a grid value; what a bar then shows as its price is
    nobody's promise, so such prices are stepped over.
    """
    units = min(max(units, 1), MAX_PRICE_UNITS)
    for _ in range(8):
        price = units / GRID
        landed = round(Fraction(price) * GRID)
        if landed / GRID == price:
            return landed, price
        units = landed
    units = max(1, round(units / GRID / 2**16)) * 2**16 * GRID  # a whole number of few bits
    return units, units / GRID


class Path:
    """A price path that knows the boundaries of the bar in progress."""

    def __init__(self, start: int, threshold: int) -> None:
        self.price = start
        self.threshold = threshold
        self.open: int | None = None

    def move(self, move: Move, up: bool, size: int) -> float:
        """Move the price; get it as the trade shows it."""
        anchor = self.price if self.open is None else self.open
        delta = max(1, anchor * self.threshold // 100_000)
        distances: dict[Move, int] = {
            "tie": delta,
            "inside": delta - 1,
            "beyond": delta + 1,
            "jump": delta * (2 + size % 9),
            "far": anchor * (1 + size % 50),
        }
        distance = distances.get(move)
        if move == "stay":
            target = self.price
        elif distance is None:
            target = self.price + (size if up else -size)
        else:
            target = anchor + (distance if up else -distance)
        self.price, shown = on_grid(target)
        if self.open is None:
            self.open = self.price
        elif abs(self.price - self.open) >= delta:
            self.open = None
        return shown


@st.composite
def quantities(draw: st.DrawFn, size: int, highest_price: int) -> list[float]:
    """Quantities of one kind, or of all, whose turnover fits an i128."""
    largest = min(1e12, MAX_TURNOVER / (max(size, 1) * highest_price) / GRID)
    kinds = {
        "step": st.sampled_from(STEP_QUANTITIES),
        "any": st.floats(0.0, min(1e6, largest), allow_subnormal=False),
        "halves": st.integers(0, 1000).map(lambda n: (n + 0.5) * 1e-8),
        "huge": st.floats(largest / 2, largest),
        "zero": st.just(0.0),
    }
    kind = draw(st.sampled_from([*kinds, "mixed"]))
    one = st.one_of(*kinds.values()) if kind == "mixed" else kinds[kind]
    return [min(draw(one), largest) for _ in range(size)]


@st.composite
def trades(
    draw: st.DrawFn,
    threshold: int = 250,
    *,
    max_size: int = 40,
    keys: int = 1,
) -> pl.DataFrame:
    """Valid trades with every column, a ``symbol`` of ``keys`` values among them.

    Time never goes backwards within a symbol; between symbols it does.
    """
    steps = draw(
        st.lists(
            st.builds(
                Step,
                move=st.sampled_from(MOVES),
                up=st.booleans(),
                size=st.integers(1, 10**6),
                elapsed=st.sampled_from(TIME_STEPS),
                key=st.integers(0, keys - 1),
                maker=st.booleans(),
                merged=st.integers(0, 4),
            ),
            # Left alone, Hypothesis hardly draws a list long enough for two bars.
            min_size=draw(st.sampled_from((0, 1, 2, max_size // 4, max_size * 3 // 4))),
            max_size=max_size,
        )
    )
    regime: Regime = draw(st.sampled_from(tuple(BASE_PRICES)))
    paths = [Path(draw(st.integers(*BASE_PRICES[regime])), threshold) for _ in range(keys)]
    clocks = [draw(st.sampled_from(FIRST_TIMES)) for _ in range(keys)]

    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA if name != "quantity"}
    for row, step in enumerate(steps):
        columns["price"].append(paths[step.key].move(step.move, step.up, step.size))
        clocks[step.key] += step.elapsed
        columns["timestamp"].append(clocks[step.key])
        columns["is_buyer_maker"].append(step.maker)
        columns["agg_trade_id"].append(7 + row)
        first = 100 + 10 * row
        columns["first_trade_id"].append(first)
        columns["last_trade_id"].append(first + step.merged)
        columns["symbol"].append(SYMBOLS[step.key])

    highest = round(max(columns["price"], default=1.0) * GRID)
    amounts = draw(quantities(len(steps), highest))
    return pl.DataFrame({**columns, "quantity": amounts}, schema=SCHEMA)


SCHEMA = {
    "timestamp": pl.Int64(),
    "price": pl.Float64(),
    "quantity": pl.Float64(),
    "is_buyer_maker": pl.Boolean(),
    "agg_trade_id": pl.Int64(),
    "first_trade_id": pl.Int64(),
    "last_trade_id": pl.Int64(),
    "symbol": pl.String(),
}


@st.composite
def bar_cases(draw: st.DrawFn, *, max_size: int = 40, keys: int = 1) -> Case:
    """Trades that lie around the boundaries of the threshold they come with."""
    threshold = draw(thresholds())
    return Case(
        trades=draw(trades(threshold, max_size=max_size, keys=keys)),
        threshold=threshold,
        same_timestamp_close=draw(st.booleans()),
        incomplete=draw(st.sampled_from(("drop", "keep"))),
    )


@st.composite
def splits(draw: st.DrawFn, height: int) -> list[int]:
    """Lengths of consecutive parts of ``height`` rows, empty parts among them."""
    cuts = sorted(draw(st.lists(st.integers(0, height), max_size=8)))
    edges = [0, *cuts, height]
    return [stop - start for start, stop in pairwise(edges)]
