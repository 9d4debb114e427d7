"""The compiled part. Everything public is wrapped, typed and documented in the package."""

from typing import Any, final

import polars as pl

__version__: str

def bar_columns() -> list[str]:
    """Names of all the columns a frame of bars can have, in order, keys apart."""

@final
class BarStream:
    """Range bars of one stream of trades."""

    def __new__(
        cls,
        sample: pl.DataFrame,
        names: list[str],
        by: list[str] | None,
        options: dict[str, Any],
        wanted: list[str] | None,
    ) -> BarStream: ...
    def push(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The bars that a batch closes."""
    def push_ids(self, frame: pl.DataFrame, name: str) -> pl.Series:
        """The bar id of every trade of a batch."""
    def finish(self) -> pl.DataFrame:
        """The bars that remain at the end: none, unless incomplete ones are kept."""
    def empty(self) -> pl.DataFrame:
        """A frame of no bars, for its schema."""
    def needs(self) -> list[str]:
        """The parts of the input that the wanted columns are made of."""
