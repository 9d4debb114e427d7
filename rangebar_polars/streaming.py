"""The streaming door: bars of a lazy plan, batch by batch, as a lazy plan again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from rangebar_polars import _internal
from rangebar_polars._options import BarOptions
from rangebar_polars._plan import run_plan, with_columns_only
from rangebar_polars._source import Request

__all__ = ["DECIDING", "BarIdSource", "BarSource"]

DECIDING: Final = ("timestamp", "price", "agg_trade_id")
"""The parts that decide where bars close, and which trades are part of them: always read."""


@dataclass(frozen=True)
class _Source:
    """What both sources know. A plain object, so that a plan that holds it can be pickled."""

    trades: pl.LazyFrame
    schema: pl.Schema
    """Schema of the trades."""
    columns: dict[str, str]
    """Column names by part."""
    by: list[str] | None
    options: BarOptions

    def _machine(self, roles: dict[str, str], wanted: list[str] | None) -> _internal.BarStream:
        """A machine with no trade seen; made anew for every run, so that runs are equal."""
        names = [*roles.values(), *(self.by or ())]
        sample = pl.DataFrame(schema={name: self.schema[name] for name in dict.fromkeys(names)})
        return _internal.BarStream(
            sample, list(roles.values()), list(roles), self.by, self.options.to_json(), wanted
        )

    @property
    def detail(self) -> str:
        """What `explain` shows: the rules, and all that may be read of the trades."""
        by = f"by: {', '.join(self.by)}; " if self.by else ""
        return f"{self.options.detail}; {by}reads: {', '.join(self.columns.values())}"

    def _plan(self, request: Request, names: set[str]) -> pl.LazyFrame:
        """The trades of the keys that are asked for, with no other columns than `names`."""
        on_keys = request.predicate_on(self.by)
        plan = self.trades.filter(*on_keys) if on_keys else self.trades
        return with_columns_only(plan, self.schema, names)


@dataclass(frozen=True)
class BarSource(_Source):
    """Bars of `trades`."""

    empty: pl.DataFrame = field(init=False)
    """No bars, with the schema that all bars have."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "empty", self._machine(self.columns, None).empty())

    def eager(self, trades: pl.DataFrame) -> pl.DataFrame:
        """The bars of trades in memory."""
        machine = self._machine(self.columns, None)
        bars = machine.push(trades)
        if bars is None:
            return machine.finish()
        return bars.vstack(machine.finish()) if self.options.incomplete == "keep" else bars

    def frames(self, request: Request) -> Generator[pl.DataFrame, None, None]:
        """The bars of one run; see `rangebar_polars._source`."""
        needs = {*DECIDING, *self._machine(self.columns, request.columns).needs()}
        roles = {role: name for role, name in self.columns.items() if role in needs}
        plan = self._plan(request, {*roles.values(), *(self.by or ())})
        machine = self._machine(roles, request.columns)
        try:
            yield from run_plan(plan, machine.feed)
        except Exception:
            # The bars before a bad trade are sound, and may be all that is wanted.
            yield machine.pending()
            raise
        yield machine.finish()


@dataclass(frozen=True)
class BarIdSource(_Source):
    """The trades themselves, with the bar that each belongs to."""

    name: str = "bar_id"

    def check(self) -> None:
        """Raise at once for a column of a wrong dtype."""
        self._machine(self.columns, None)

    def eager(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Trades in memory, with their bar ids."""
        return trades.with_columns(self._machine(self.columns, None).push_ids(trades, self.name))

    def frames(self, request: Request) -> Generator[pl.DataFrame, None, None]:
        """The trades of one run; see `rangebar_polars._source`."""
        machine = self._machine(self.columns, None)
        plan = self._plan(request, {*request.columns, *self.columns.values(), *(self.by or ())})
        yield from run_plan(
            plan, lambda batch: batch.with_columns(machine.push_ids(batch, self.name))
        )
