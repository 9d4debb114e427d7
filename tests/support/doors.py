"""The ways into the library that must all lead to the same bars.

A door takes trades and a threshold and gives bars; keyword arguments are those of
``rangebar_polars.range_bars``, but trades are of one key unless ``by`` is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from polars._typing import EngineType

import rangebar_polars as rb

__all__ = [
    "BAR_DOORS",
    "DOORS",
    "ENGINES",
    "FRAME_DOORS",
    "ID_DOORS",
    "KEYED_DOORS",
    "Door",
    "bars_expression",
    "keeps_type",
]

Door = Callable[..., pl.DataFrame]


def keeps_type(door: str) -> bool:
    """Whether errors come out of the door of this name as they were raised."""
    return door == "DataFrame" or door.startswith("LazyFrame")


ENGINES: tuple[EngineType, ...] = ("in-memory", "streaming")

OPTIONAL = ("is_buyer_maker", "agg_trade_id", "first_trade_id", "last_trade_id")


def bars_expression(trades: pl.DataFrame, threshold: int, **options: Any) -> pl.Expr:
    """``rb.bars`` with every optional column named that the trades have."""
    present: dict[str, Any] = {name: name for name in OPTIONAL if name in trades.columns}
    present.update(options.pop("columns", {}))
    options.pop("by", None)
    present.update(options)
    return rb.bars(rule=threshold, **present)


def eager(trades: Any, threshold: Any, **options: Any) -> Any:
    given: dict[str, Any] = {"by": None, **options}
    return rb.range_bars(trades, threshold, **given)


def lazy(engine: EngineType) -> Door:
    def door(trades: pl.DataFrame, threshold: Any, **options: Any) -> pl.DataFrame:
        return eager(trades.lazy(), threshold, **options).collect(engine=engine)

    return door


def expression(engine: EngineType) -> Door:
    def door(trades: pl.DataFrame, threshold: Any, **options: Any) -> pl.DataFrame:
        bars = trades.lazy().select(bars_expression(trades, threshold, **options))
        return bars.unnest("bars").collect(engine=engine)

    return door


def push(trades: pl.DataFrame, threshold: Any, **options: Any) -> pl.DataFrame:
    """All at once, but in the two parts that a checkpoint between them makes."""
    middle = trades.height // 2
    given: dict[str, Any] = {"by": None, **options}
    processor = rb.RangeBarProcessor(threshold, **given)
    first = processor.push(trades[:middle])
    processor = rb.RangeBarProcessor.from_checkpoint(processor.checkpoint())
    return pl.concat([first, processor.push(trades[middle:]), processor.finish()])


def arrow(trades: pl.DataFrame, threshold: Any, **options: Any) -> pl.DataFrame:
    return eager(trades.to_arrow(), threshold, **options)


def ids_eager(trades: Any, threshold: Any, **options: Any) -> Any:
    given: dict[str, Any] = {"by": None, **options}
    return rb.with_bar_id(trades, threshold, **given)


def ids_lazy(engine: EngineType) -> Door:
    def door(trades: pl.DataFrame, threshold: Any, **options: Any) -> pl.DataFrame:
        return ids_eager(trades.lazy(), threshold, **options).collect(engine=engine)

    return door


FRAME_DOORS: dict[str, Door] = {
    "DataFrame": eager,
    "LazyFrame, streaming": lazy("streaming"),
    "LazyFrame, in-memory": lazy("in-memory"),
}
"""Those that take keys, and several thresholds with a column that tells them apart."""

ID_DOORS: dict[str, Door] = {
    "DataFrame": ids_eager,
    "LazyFrame, streaming": ids_lazy("streaming"),
    "LazyFrame, in-memory": ids_lazy("in-memory"),
}
"""Doors that give the trades with their bar ids."""

DOORS: dict[str, Door] = {
    **FRAME_DOORS,
    "expression, streaming": expression("streaming"),
    "expression, in-memory": expression("in-memory"),
}

BAR_DOORS: dict[str, Door] = {**DOORS, "processor": push, "Arrow": arrow}
"""All that make bars of a frame in memory."""

KEYED_DOORS: dict[str, Door] = {**FRAME_DOORS, "processor": push}
"""Those of them that take keys."""
