"""Trade sources that cut their batches where a test wants them, and keep count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl
from polars.io.plugins import register_io_source

__all__ = ["CountingSource", "batched"]


@dataclass
class CountingSource:
    """A lazy source of given batches that remembers what Polars asked of it."""

    batches: Sequence[pl.DataFrame]
    runs: int = 0
    batches_read: int = 0
    columns_asked: list[list[str] | None] = field(default_factory=list[list[str] | None])
    predicates: list[str | None] = field(default_factory=list[str | None])

    def scan(self) -> pl.LazyFrame:
        """Make a LazyFrame over the batches."""
        schema = self.batches[0].schema
        return register_io_source(self.read, schema=schema, validate_schema=True)

    def read(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        del batch_size  # the test decides
        self.runs += 1
        self.columns_asked.append(with_columns)
        self.predicates.append(None if predicate is None else str(predicate))
        left = n_rows
        for batch in self.batches:
            if left is not None and left <= 0:
                return
            self.batches_read += 1
            out = batch if left is None else batch.head(left)
            if left is not None:
                left -= out.height
            if predicate is not None:
                out = out.filter(predicate)
            yield out if with_columns is None else out.select(with_columns)


def batched(trades: pl.DataFrame, lengths: Sequence[int]) -> pl.LazyFrame:
    """Trades as a lazy source that yields batches of the given lengths, empty ones too."""
    assert sum(lengths) == trades.height
    starts = [sum(lengths[:part]) for part in range(len(lengths))]
    parts = [trades.slice(*span) for span in zip(starts, lengths, strict=True)]
    return CountingSource(parts or [trades]).scan()
