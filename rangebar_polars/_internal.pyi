"""The compiled part. Everything public is wrapped, typed and documented in the package."""

from typing import final

import polars as pl

__all__ = [
    "ArrowBatches",
    "BarStream",
    "Checkpoint",
    "__version__",
    "_panic_next",
    "bar_columns",
    "check_options",
    "check_rule",
    "parse_csv",
]

def _panic_next(place: str | None) -> None:
    """For tests: who next comes to this place panics."""

__version__: str

def bar_columns() -> list[str]:
    """Names of all the columns a frame of bars can have, in order, keys apart."""

def check_options(options: str) -> None:
    """Refuse options that make no sense whatever the trades; `options` is JSON."""

def check_rule(rule: str) -> None:
    """Refuse a rule that makes no sense; `rule` is JSON."""

def parse_csv(
    text: bytes, fields: list[tuple[str, str]], factor: int, limits: tuple[int, int]
) -> tuple[pl.DataFrame | None, tuple[int, bytes, str | None] | None]:
    """The trades of a block, or its first line that is none: number from 0, text and reason.

    ``fields`` are names and kinds ("integer", "time", "number", "price", "quantity", "boolean").
    ``factor`` is how many microseconds a unit of time has, ``limits`` what times must lie between,
    in microseconds, the last one excluded; a fault without a reason is a time outside.
    """

@final
class BarStream:
    """Range bars of one stream of trades."""

    def __new__(
        cls,
        sample: pl.DataFrame,
        names: list[str],
        roles: list[str],
        by: list[str] | None,
        options: str,
        wanted: list[str] | None,
    ) -> BarStream: ...
    def push(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """The bars that a batch closes; None if it closes none, as a frame takes time to make."""
    def feed(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """As `push`, but bars may wait until there are more of them."""
    def pending(self) -> pl.DataFrame:
        """The bars that wait."""
    def push_ids(self, frame: pl.DataFrame, name: str) -> pl.Series:
        """The bar id of every trade of a batch; null for one that is skipped."""
    def finish(self) -> pl.DataFrame:
        """The bars that remain: those that wait, and incomplete ones if they are kept."""
    def open_bars(self) -> pl.DataFrame:
        """The bars in progress, which stay in progress."""
    def count_gaps(self) -> None:
        """Count the ids that are missing, for `report`."""
    def report(self) -> tuple[int, int, int, int, tuple[int, int, int] | None]:
        """Of the last push: rows, skipped, missing ids, gaps, the first gap's row and ids."""
    def copy(self) -> BarStream:
        """The same state once more, to change apart from this one."""
    def take_over(self, other: BarStream) -> None:
        """Takes on the state of another."""
    def last_time(self) -> int | None:
        """Time of the last trade, where there are no keys."""
    def keys(self) -> pl.DataFrame | None:
        """The keys seen, in their order."""
    def checkpoint(self, options: str, schema: str | None, keys: str | None) -> Checkpoint:
        """The state; all of these are JSON."""
    def resume(self, checkpoint: Checkpoint, keys: pl.DataFrame | None) -> None:
        """Takes on the state of a checkpoint."""
    def resumed_at(self) -> list[int | None]:
        """Last time of each key in the checkpoint that was resumed."""
    def set_resumed_at(self, times: list[int | None]) -> None:
        """Takes on what `resumed_at` was."""
    def push_trade(
        self,
        key: int,
        timestamp: int | None,
        price: float,
        quantity: float | None,
        is_buyer_maker: bool | None,
        agg_trade_id: int | None,
        first_trade_id: int | None,
        last_trade_id: int | None,
    ) -> pl.DataFrame | None:
        """The bars that one trade closes, if any."""
    def push_trade_of(
        self,
        frame: pl.DataFrame,
        timestamp: int | None,
        price: float,
        quantity: float | None,
        is_buyer_maker: bool | None,
        agg_trade_id: int | None,
        first_trade_id: int | None,
        last_trade_id: int | None,
    ) -> tuple[int, pl.DataFrame | None]:
        """As `push_trade`, of the key in the only row of `frame`; also the key's number."""
    def empty(self) -> pl.DataFrame:
        """A frame of no bars, for its schema."""
    def needs(self) -> list[str]:
        """The parts of the input that the wanted columns are made of."""

@final
class ArrowBatches:
    """Batches of a stream, as frames. Buffers are shared, not copied."""

    def __new__(cls, capsule: object) -> ArrowBatches: ...
    def __iter__(self) -> ArrowBatches: ...
    def __next__(self) -> pl.DataFrame: ...

@final
class Checkpoint:
    """The state of a run, and what it was made with."""

    def __new__(cls, text: str) -> Checkpoint: ...
    def __getnewargs__(self) -> tuple[str]: ...
    @staticmethod
    def initial(options: str) -> Checkpoint:
        """The checkpoint of a run that has seen no trade."""
    def text(self) -> str:
        """The text that `Checkpoint` reads."""
    @property
    def version(self) -> int:
        """The version that it was read in, or will be written in."""
    @property
    def options(self) -> str:
        """The options, as JSON."""
    @property
    def schema(self) -> str | None:
        """Names and dtypes of the trades, as JSON; None before the first trade."""
    @property
    def keys(self) -> str | None:
        """The keys, as JSON; None without key columns."""
