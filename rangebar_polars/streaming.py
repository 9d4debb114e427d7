"""The streaming door: bars of a lazy plan, batch by batch, as a lazy plan again."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Container, Generator, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from rangebar_polars import _internal
from rangebar_polars._options import Settings
from rangebar_polars._prefetch import bounded_prefetch

__all__ = ["BarIdSource", "BarSource", "Stop", "answer", "only", "register", "stream"]


_POLL_SECONDS = 0.2


class Stop(threading.Event):
    """
    An event that also counts as set once the program ends.

    Polars drops a generator that it needs no further some time later, perhaps never before the
    interpreter goes; threads that wait for a consumer must not wait beyond that.
    """

    def is_set(self) -> bool:
        """Whether to stop."""
        return super().is_set() or not threading.main_thread().is_alive()


class _Handoff:
    """
    A place for one thing, between the thread that runs the plan and the one that takes bars.

    A `queue.Queue(1)`, but one that a giver can be sent home from: without that, whoever stops
    taking would leave a thread of Polars waiting for ever.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._things: list[Any] = []
        self.stop = Stop()

    def put(self, thing: Any) -> None:
        """Hand over `thing`, when there is room; drop it if nobody takes any more."""
        with self._changed:
            while self._things and not self.stop.is_set():
                # Not for ever, as nobody wakes a waiter when the program ends.
                self._changed.wait(_POLL_SECONDS)
            if not self.stop.is_set():
                self._things.append(thing)
                self._changed.notify_all()

    def take(self) -> Any:
        with self._changed:
            self._changed.wait_for(lambda: self._things)
            thing = self._things.pop()
            self._changed.notify_all()
            return thing

    def close(self) -> None:
        """Take no more."""
        self.stop.set()
        with self._changed:
            self._changed.notify_all()


class _End:
    """The end of a plan, and what it ended with."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def stream(
    plan: pl.LazyFrame, work: Callable[[pl.DataFrame], pl.DataFrame | None]
) -> Generator[pl.DataFrame, None, None]:
    """
    Run `plan` in Polars' streaming engine, and give what `work` makes of each batch.

    The work is done on the engine's side of the handoff, so that what waits there is small, and
    the engine decodes the next batches meanwhile. Not `collect_batches`: that ends as if all
    were well when the plan panics.

    Parameters
    ----------
    plan
        A lazy frame. Its batches come in order.
    work
        Called with one batch at a time; may give None. Empty results are dropped.

    Raises
    ------
    BaseException
        Whatever the plan or `work` raised, as it was.
    """
    handoff = _Handoff()

    def on_batch(batch: pl.DataFrame) -> bool:
        made = work(batch)
        if made is not None and made.height > 0:
            handoff.put(made)
        # True tells the engine to stop early.
        return handoff.stop.is_set()

    def run() -> None:
        error: BaseException | None = None
        try:
            with bounded_prefetch():
                plan.sink_batches(on_batch, maintain_order=True, engine="streaming")
        except BaseException as raised:  # noqa: BLE001 - handed on, a panic too
            error = raised
        handoff.put(_End(error))

    # Not a daemon: killed inside Polars at exit, a daemon takes the whole process down.
    threading.Thread(target=run, name="rangebar-plan", daemon=False).start()
    try:
        while True:
            thing = handoff.take()
            if isinstance(thing, _End):
                break
            yield thing
            # Not to be held while waiting for the next one: that would be a batch more in memory.
            del thing
        if thing.error is not None:
            raise thing.error
    finally:
        # No join: whoever leaves early, often a thread of Polars itself, need not wait.
        try:
            handoff.close()
        except KeyboardInterrupt:
            # Polars closes this generator when Ctrl-C ends a query, and Python may raise the
            # very same Ctrl-C right here; the plan must be stopped all the same.
            handoff.close()
            raise


def only(plan: pl.LazyFrame, schema: pl.Schema, names: Container[str]) -> pl.LazyFrame:
    """
    `plan`, of the given schema, with no other columns than these, in its own order.

    A scan asked for columns in another order than the file's puts a step behind itself that
    moves them, in which up to a dozen row groups pile up.
    """
    return plan.select([name for name in schema if name in names])


@cache
def _source_keywords() -> frozenset[str]:
    """What `register_io_source` of the installed Polars knows."""
    return frozenset(inspect.signature(register_io_source).parameters)


def register(
    source: Callable[..., Iterator[pl.DataFrame]],
    schema: pl.Schema,
    *,
    name: str,
    detail: str,
    pure: bool,
) -> pl.LazyFrame:
    """Make a lazy frame of a source; its name is shown by `explain` where Polars can."""
    keywords: dict[str, Any] = {
        "validate_schema": True,
        "is_pure": pure,
        "explain_name": name,
        "explain_detail": detail,
    }
    known = {key: value for key, value in keywords.items() if key in _source_keywords()}
    return register_io_source(source, schema=schema, **known)


def _conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """The parts of a predicate that must all be true."""
    inputs = predicate.meta.pop()
    if len(inputs) == 2:
        for left, right in (inputs, inputs[::-1]):
            if (left & right).meta == predicate.meta:
                return [*_conjuncts(left), *_conjuncts(right)]
    return [predicate]


def _on_keys(predicate: pl.Expr | None, by: list[str] | None, n_rows: int | None) -> list[pl.Expr]:
    """
    The parts of a predicate that speak of keys alone; no others may be put to trades.

    With `n_rows` none may: it counts rows from before the predicate.
    """
    if predicate is None or by is None or n_rows is not None:
        return []
    return [
        part
        for part in _conjuncts(predicate)
        if (roots := part.meta.root_names()) and set(roots) <= set(by)
    ]


@dataclass(frozen=True)
class _Source:
    """What both sources know. A plain object, so that a plan that holds it can be pickled."""

    trades: pl.LazyFrame
    schema: pl.Schema
    """Schema of the trades."""
    columns: dict[str, str]
    """Column names by part."""
    by: list[str] | None
    settings: Settings

    def _machine(self, roles: dict[str, str], wanted: list[str] | None) -> _internal.BarStream:
        """A machine with no trade seen; made anew for every run, so that runs are equal."""
        names = [*roles.values(), *(self.by or ())]
        sample = pl.DataFrame(schema={name: self.schema[name] for name in dict.fromkeys(names)})
        return _internal.BarStream(
            sample, list(roles.values()), self.by, self.settings.options(list(roles)), wanted
        )


def answer(
    frames: Iterator[pl.DataFrame],
    columns: list[str],
    predicate: pl.Expr | None,
    n_rows: int | None,
) -> Iterator[pl.DataFrame]:
    """
    What Polars asked for: of exactly the first `n_rows`, those that the predicate lets through.

    Closes the source of frames as soon as it has enough.
    """
    if n_rows == 0:
        return
    for frame in frames:
        some = frame if n_rows is None else frame.head(n_rows)
        if predicate is not None:
            some = some.filter(predicate)
        yield some.select(columns)
        if n_rows is not None:
            n_rows -= min(n_rows, frame.height)
            if n_rows == 0:
                return


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
        return bars.vstack(machine.finish()) if self.settings.incomplete == "keep" else bars

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002 - a hint; batches come as the plan makes them
    ) -> Iterator[pl.DataFrame]:
        """What Polars calls: see `polars.io.plugins.register_io_source`."""
        asked = with_columns if with_columns is not None else self.empty.columns
        wanted = asked if predicate is None else [*asked, *predicate.meta.root_names()]
        needs = {"timestamp", "price", *self._machine(self.columns, wanted).needs()}
        roles = {role: name for role, name in self.columns.items() if role in needs}
        plan = (
            self.trades.filter(*on_keys)
            if (on_keys := _on_keys(predicate, self.by, n_rows))
            else self.trades
        )
        plan = only(plan, self.schema, {*roles.values(), *(self.by or ())})
        machine = self._machine(roles, wanted)

        def bars() -> Iterator[pl.DataFrame]:
            try:
                yield from stream(plan, machine.feed)
            except Exception:
                # The bars before a bad trade are sound, and may be all that is wanted.
                yield machine.held()
                raise
            yield machine.finish()

        yield from answer(bars(), asked, predicate, n_rows)


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

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002 - as above
    ) -> Iterator[pl.DataFrame]:
        """What Polars calls: see `polars.io.plugins.register_io_source`."""
        asked = with_columns if with_columns is not None else [*self.schema, self.name]
        roots = predicate.meta.root_names() if predicate is not None else []
        plan = (
            self.trades.filter(*on_keys)
            if (on_keys := _on_keys(predicate, self.by, n_rows))
            else self.trades
        )
        machine = self._machine(self.columns, None)
        plan = only(plan, self.schema, {*asked, *roots, *self.columns.values(), *(self.by or ())})

        def work(batch: pl.DataFrame) -> pl.DataFrame:
            return batch.with_columns(machine.push_ids(batch, self.name))

        yield from answer(stream(plan, work), asked, predicate, n_rows)
