"""What a call costs: ``python -m benches.calls``. Small pushes, single trades, checkpoints."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import polars as pl

import rangebar_polars as rb


def microseconds(call: Callable[[int], object], calls: int, rounds: int = 7) -> float:
    """Median over rounds of the mean time of a call."""
    means: list[float] = []
    for turn in range(rounds):
        start = time.perf_counter()
        for i in range(turn * calls, (turn + 1) * calls):
            call(i)
        means.append((time.perf_counter() - start) / calls * 1e6)
    return statistics.median(means)


def trades(rows: int) -> pl.DataFrame:
    """Trades of one symbol whose price swings by 0.2%."""
    row = pl.int_range(rows)
    return pl.select(
        timestamp=row,
        price=(100 + (row / 500).sin() * 0.2).round(4),
        quantity=(row % 7 + 1) / 10,
        is_buyer_maker=row % 2 == 0,
        agg_trade_id=row,
    )


def main() -> None:
    """Measure and print."""
    frames = trades(7 * 500 * 100).iter_slices(100)
    batches = list(frames)
    processor = rb.RangeBarProcessor(250)
    cost = microseconds(lambda i: processor.push(batches[i]), 500)
    print(f"push of 100 trades        {cost:8.2f} microseconds a call")

    often = rb.RangeBarProcessor(1)
    cost = microseconds(lambda i: often.push(batches[i]), 500)
    print(f"the same, closing bars    {cost:8.2f} microseconds a call")

    single = rb.RangeBarProcessor(250)
    push = single.push_trade
    prices = trades(7 * 20_000)["price"].to_list()

    def one(i: int) -> object:
        return push(
            timestamp=i, price=prices[i], quantity=0.5, is_buyer_maker=False, agg_trade_id=i
        )

    print(f"push_trade                {microseconds(one, 20_000):8.2f} microseconds a trade")
    keyed = rb.RangeBarProcessor(250, by="symbol")
    push_keyed = keyed.push_trade

    def one_of_many(i: int) -> object:
        return push_keyed(timestamp=i, price=prices[i], quantity=0.5, key="BTCUSDT")

    print(
        f"push_trade, with a key    {microseconds(one_of_many, 20_000):8.2f} microseconds a trade"
    )
    cost = microseconds(lambda _: processor.checkpoint(), 500)
    print(f"checkpoint, one key       {cost:8.2f} microseconds")


if __name__ == "__main__":
    main()
