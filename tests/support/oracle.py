"""The obvious, slow way to make range bars, which every fast way is checked against.

Written from the rules alone: one trade after the other, Python integers and fractions, one
dictionary per bar. It shares no code and no trick with the library, so that a mistake would have
to be made twice to go unseen. Bad input is not its business: the library must refuse it first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, cast

import polars as pl

__all__ = ["Columns", "oracle_bar_ids", "oracle_bars", "to_units"]

GRID = 10**8
"""Prices and quantities are whole numbers of ``1 / GRID``."""

TimeUnit = Literal["ns", "us", "ms"]
NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 7 * 86_400 * 10**9,
}

Bar = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the trades holds what; ``None`` where there is none."""

    timestamp: str | None = "timestamp"
    price: str = "price"
    quantity: str | None = "quantity"
    is_buyer_maker: str | None = None
    agg_trade_id: str | None = None
    first_trade_id: str | None = None
    last_trade_id: str | None = None

    @classmethod
    def of(cls, trades: pl.DataFrame) -> Columns:
        """Take the default names, the optional ones where the frame has them."""

        def present(name: str) -> str | None:
            return name if name in trades.columns else None

        return cls(
            is_buyer_maker=present("is_buyer_maker"),
            agg_trade_id=present("agg_trade_id"),
            first_trade_id=present("first_trade_id"),
            last_trade_id=present("last_trade_id"),
        )


def to_units(value: float | Decimal) -> int:
    """Put a price or quantity on the grid: the whole number nearest to the exact product."""
    return round(Fraction(value) * GRID)  # Python rounds half to even


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration without calendar units, such as ``"2h30m"``."""
    parts = re.findall(r"(\d+)(ns|us|ms|s|m|h|d|w)", text)
    if "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a fixed duration: {text!r}")
    return sum(int(number) * NANOSECONDS[unit] for number, unit in parts)


def recast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """`Series.cast`, whose own annotation strict type checkers cannot see through."""
    return values.to_frame().select(pl.all().cast(dtype)).to_series()


def negated(duration: str) -> str:
    return duration[1:] if duration.startswith("-") else f"-{duration}"


def calendar_periods(
    timestamps: pl.Series, reset: str, reset_offset: str | None, time_unit: TimeUnit | None
) -> list[Any]:
    """Start of the period that each timestamp falls into, by Polars' own calendar."""
    if not isinstance(timestamps.dtype, pl.Datetime):
        assert time_unit is not None, "an integer clock needs a unit to have a calendar"
        timestamps = recast(timestamps, pl.Datetime(time_unit))
    if reset_offset is not None:
        timestamps = timestamps.dt.offset_by(negated(reset_offset))
    return timestamps.dt.truncate(reset).to_list()


def nanoseconds_per_tick(dtype: pl.DataType, time_unit: TimeUnit | None) -> int:
    unit = dtype.time_unit if isinstance(dtype, pl.Datetime) else time_unit
    assert unit is not None, "an integer clock needs a unit to have gaps"
    return NANOSECONDS[unit]


def hashable(value: Any) -> Any:
    """Turn the Python value of any key into something a dictionary can hold."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return tuple((name, hashable(inner)) for name, inner in fields.items())
    if isinstance(value, list):
        return tuple(hashable(inner) for inner in cast("list[Any]", value))
    return value


class Machine:
    """The bars of one key at one threshold."""

    def __init__(self, threshold: int, same_timestamp_close: bool) -> None:
        self.threshold = threshold
        self.same_timestamp_close = same_timestamp_close
        self.bar: Bar | None = None
        self.bars_opened = 0

    def cut(self) -> Bar | None:
        """End the bar in progress, if there is one, as unfinished."""
        bar, self.bar = self.bar, None
        return bar

    def push(self, trade: Bar) -> Bar | None:
        """Give the next trade; get the bar it closes, if it closes one."""
        price = trade["price"]
        if self.bar is None:
            delta = max(1, price * self.threshold // 100_000)
            self.bar = {
                "id": self.bars_opened,
                "upper": price + delta,
                "lower": price - delta,
                "opened_by": trade,
                "closed_by": trade,
                "open": price,
                "high": price,
                "low": price,
                "close": price,
                "volume": 0,
                "turnover": 0,
                "trades": 0,
                "individual": 0,
                "buy_volume": 0,
                "sell_volume": 0,
                "buy_turnover": 0,
                "sell_turnover": 0,
                "buy_trades": 0,
                "sell_trades": 0,
                "is_complete": False,
            }
            self.bars_opened += 1
            self.add(self.bar, trade)
            return None

        bar = self.bar
        self.add(bar, trade)
        outside = price >= bar["upper"] or price <= bar["lower"]
        held_open = (
            not self.same_timestamp_close
            and trade["time"] is not None
            and trade["time"] == bar["opened_by"]["time"]
        )
        if not outside or held_open:
            return None
        bar["is_complete"] = True
        self.bar = None
        return bar

    @staticmethod
    def add(bar: Bar, trade: Bar) -> None:
        price, quantity = trade["price"], trade["quantity"]
        bar["closed_by"] = trade
        bar["high"] = max(bar["high"], price)
        bar["low"] = min(bar["low"], price)
        bar["close"] = price
        bar["trades"] += 1
        bar["volume"] += quantity
        bar["turnover"] += price * quantity
        if trade["last"] is not None and trade["first"] is not None:
            bar["individual"] += trade["last"] - trade["first"] + 1
        if trade["maker"] is not None:
            side = "sell" if trade["maker"] else "buy"
            bar[f"{side}_volume"] += quantity
            bar[f"{side}_turnover"] += price * quantity
            bar[f"{side}_trades"] += 1


def run(
    trades: pl.DataFrame,
    thresholds: Sequence[int],
    columns: Columns,
    by: Sequence[str],
    same_timestamp_close: bool,
    reset: str | None,
    reset_offset: str | None,
    max_gap: str | None,
    time_unit: TimeUnit | None,
) -> tuple[list[Bar], list[int]]:
    """All bars in their output order, unfinished ones included, and the first threshold's ids."""
    nothing: list[Any] = [None] * trades.height

    def values(name: str | None) -> list[Any]:
        return nothing if name is None else trades[name].to_list()

    clock = None if columns.timestamp is None else trades[columns.timestamp]
    # Only the integers behind a Datetime compare exactly in Python: it has no nanoseconds.
    times = nothing if clock is None else recast(clock, pl.Int64()).to_list()
    prices = [to_units(value) for value in trades[columns.price].to_list()]
    quantities = [0 if value is None else to_units(value) for value in values(columns.quantity)]
    makers = values(columns.is_buyer_maker)
    firsts, lasts = values(columns.first_trade_id), values(columns.last_trade_id)
    keys = [hashable(list(key)) for key in trades.select(by).rows()] if by else nothing

    periods, tick, longest_gap = nothing, 0, None
    if reset is not None:
        assert clock is not None
        periods = calendar_periods(clock, reset, reset_offset, time_unit)
    if max_gap is not None:
        assert clock is not None
        tick, longest_gap = nanoseconds_per_tick(clock.dtype, time_unit), parse_duration(max_gap)

    machines: dict[Any, list[Machine]] = {}
    previous: dict[Any, Bar] = {}
    ended: list[tuple[tuple[int, int, int, int], int, Bar]] = []
    ids: list[int] = []

    for row in range(trades.height):
        trade: Bar = {
            "row": row,
            "time": times[row],
            "price": prices[row],
            "quantity": quantities[row],
            "maker": makers[row],
            "first": firsts[row],
            "last": lasts[row],
            "period": periods[row],
        }
        key = keys[row]
        if key not in machines:
            machines[key] = [Machine(t, same_timestamp_close) for t in thresholds]
        before = previous.get(key)
        previous[key] = trade
        is_cut = before is not None and (
            trade["period"] != before["period"]
            or (longest_gap is not None and (trade["time"] - before["time"]) * tick > longest_gap)
        )
        for rank, machine in enumerate(machines[key]):
            cut = machine.cut() if is_cut else None
            closed = machine.push(trade)
            if cut is not None:
                ended.append(((row, 0, cut["opened_by"]["row"], rank), rank, cut))
            if closed is not None:
                ended.append(((row, 1, 0, rank), rank, closed))
            if rank == 0:
                # The trade that closes a bar belongs to it, so ask how many were opened.
                ids.append(machine.bars_opened - 1)

    # By ending trade; cut off before closed, the former by opening trade; then by threshold.
    ended.sort(key=lambda entry: entry[0])
    in_progress = [
        ((trades.height, 0, machine.bar["opened_by"]["row"], rank), rank, machine.bar)
        for group in machines.values()
        for rank, machine in enumerate(group)
        if machine.bar is not None
    ]
    in_progress.sort(key=lambda entry: entry[0])
    for _, rank, bar in ended + in_progress:
        bar["threshold"] = thresholds[rank]
    return [bar for _, _, bar in ended + in_progress], ids


def oracle_bars(
    trades: pl.DataFrame,
    thresholds: int | Sequence[int],
    *,
    columns: Columns | None = None,
    by: Sequence[str] = (),
    incomplete: Literal["drop", "keep"] = "drop",
    same_timestamp_close: bool = False,
    reset: str | None = None,
    reset_offset: str | None = None,
    max_gap: str | None = None,
    time_unit: TimeUnit | None = None,
) -> pl.DataFrame:
    """Range bars of valid trades, with the columns, dtypes and order that the library promises.

    Parameters
    ----------
    trades
        Trades in time order within each key.
    thresholds
        One threshold or several, in units of 0.001%; several add the column
        ``threshold_decimal_bps``.
    columns
        Names of the columns; by default those of :meth:`Columns.of`.
    by
        Key columns.
    incomplete
        Whether bars that never closed are in the result.
    same_timestamp_close
        Lift the rule that a bar cannot close at its opening timestamp.
    reset, reset_offset, max_gap, time_unit
        Calendar period, shift of its boundary, longest silence, and the unit of an integer clock.

    Returns
    -------
    DataFrame
        One row per bar.
    """
    columns = Columns.of(trades) if columns is None else columns
    asked = [thresholds] if isinstance(thresholds, int) else list(thresholds)
    bars, _ = run(
        trades, asked, columns, by, same_timestamp_close, reset, reset_offset, max_gap, time_unit
    )
    if incomplete == "drop":
        bars = [bar for bar in bars if bar["is_complete"]]

    opened: list[int] = [bar["opened_by"]["row"] for bar in bars]
    closed: list[int] = [bar["closed_by"]["row"] for bar in bars]

    def gathered(source: str, rows: list[int], name: str) -> pl.Series:
        return trades[source].gather(rows).alias(name)

    def floats(name: str, field: str, grid: int = GRID) -> pl.Series:
        # True division of Python integers is rounded once, correctly, whatever their size.
        return pl.Series(name, [bar[field] / grid for bar in bars], dtype=pl.Float64)

    def counts(name: str, field: str) -> pl.Series:
        return pl.Series(name, [bar[field] for bar in bars], dtype=pl.Int64)

    out: list[pl.Series] = [gathered(key, opened, key) for key in by]
    if len(asked) > 1:
        values = [bar["threshold"] for bar in bars]
        out.append(pl.Series("threshold_decimal_bps", values, dtype=pl.UInt32))
    out.append(pl.Series("bar_id", [bar["id"] for bar in bars], dtype=pl.UInt32))
    if columns.timestamp is not None:
        if time_unit is not None:
            clock = pl.col(columns.timestamp).cast(pl.Datetime(time_unit))
            trades = trades.with_columns(clock)
        out.append(gathered(columns.timestamp, opened, "open_time"))
        out.append(gathered(columns.timestamp, closed, "close_time"))
    out += [floats(name, name) for name in ("open", "high", "low", "close")]
    if columns.quantity is not None:
        out.append(floats("volume", "volume"))
        out.append(floats("turnover", "turnover", GRID**2))
        vwaps = [b["turnover"] / (b["volume"] * GRID) if b["volume"] else None for b in bars]
        out.append(pl.Series("vwap", vwaps, dtype=pl.Float64))
    out.append(counts("trade_count", "trades"))
    if columns.first_trade_id is not None and columns.last_trade_id is not None:
        out.append(counts("individual_trade_count", "individual"))
    if columns.is_buyer_maker is not None:
        if columns.quantity is not None:
            out += [floats(f"{side}_volume", f"{side}_volume") for side in ("buy", "sell")]
            for name in ("buy_turnover", "sell_turnover"):
                out.append(floats(name, name, GRID**2))
        out += [counts(f"{side}_trade_count", f"{side}_trades") for side in ("buy", "sell")]
    for source, name, rows in (
        (columns.agg_trade_id, "first_agg_trade_id", opened),
        (columns.agg_trade_id, "last_agg_trade_id", closed),
        (columns.first_trade_id, "first_trade_id", opened),
        (columns.last_trade_id, "last_trade_id", closed),
    ):
        if source is not None:
            out.append(recast(gathered(source, rows, name), pl.Int64()))
    out.append(pl.Series("is_complete", [bar["is_complete"] for bar in bars], dtype=pl.Boolean))
    return pl.DataFrame(out)


def oracle_bar_ids(
    trades: pl.DataFrame,
    threshold: int,
    *,
    columns: Columns | None = None,
    by: Sequence[str] = (),
    same_timestamp_close: bool = False,
    reset: str | None = None,
    reset_offset: str | None = None,
    max_gap: str | None = None,
    time_unit: TimeUnit | None = None,
    name: str = "bar_id",
) -> pl.Series:
    """Number of the bar that each trade belongs to, from 0 within each key, as UInt32."""
    columns = Columns.of(trades) if columns is None else columns
    _, ids = run(
        trades,
        [threshold],
        columns,
        by,
        same_timestamp_close,
        reset,
        reset_offset,
        max_gap,
        time_unit,
    )
    return pl.Series(name, ids, dtype=pl.UInt32)
