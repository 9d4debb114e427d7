"""The trades of a processor, once it is known what they look like."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._one_trade import cache_key, key_row, ticks_of
from rangebar_polars._options import BarOptions

__all__ = ["Stream"]


@dataclass(frozen=True, slots=True)
class Stream:
    """
    All that there is once it is known what trades look like.

    Made before the first trades are pushed, and part of a processor only when they have been taken.
    """

    machine: _internal.BarStream
    by: list[str] | None
    roles: dict[str, str]
    schema: pl.Schema
    empty: pl.DataFrame
    numbers: dict[object, int]
    """Of keys pushed singly, by what `cache_key` makes of them; a text stands for itself."""

    def copy(self) -> Stream:
        """The same state once more."""
        return replace(self, machine=self.machine.copy(), numbers=dict(self.numbers))

    def number_of(self, key: object) -> int | None:
        """The number of a key that was pushed singly before, where that can be told quickly."""
        if self.by is None and key is None:
            return 0
        return self.numbers.get(cache_key(key))

    def row_of(self, key: object) -> pl.DataFrame:
        """The key as a row of the key columns."""
        if self.by is None:
            msg = "key= needs key columns: make the processor with by='...'"
            raise TypeError(msg)
        return key_row(key, self.by, self.schema)

    def ticks(self, timestamp: object, options: BarOptions) -> int | None:
        """A time in the unit of the time column."""
        name = self.roles.get("timestamp")
        if timestamp is None or name is None:
            return None
        return ticks_of(timestamp, name, self.schema[name], options.time_unit)
