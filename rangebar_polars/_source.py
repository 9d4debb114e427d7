"""What Polars asks of a lazy source, answered once for every lazy frame of this package.

Polars hands a source three things: the columns that it wants, a predicate and a number of rows.
They mean: of exactly the first `n_rows` rows that the source has, those that the predicate lets
through, with these columns. A number of rows counts from *before* the predicate, and Polars trusts
the source with both. So whoever filters first and counts afterwards gives other rows than the
collected frame: all of our sources answer through this module, none by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl
from polars.io.plugins import register_io_source

from rangebar_polars._endings import RUNS, refuse_in_fork, stay_at_exit

__all__ = ["Frames", "Request", "lazy_source"]


@dataclass(frozen=True)
class Request:
    """
    What a run of a source is wanted for.

    Attributes
    ----------
    columns : list of str
        The columns that each frame must have: those that go out, and those of the predicate.
        Never none, so that rows can be counted.
    predicate : Expr or None
        Which rows are wanted; applied for the source, which may use it to read less (see
        `predicate_on`).
    n_rows : int or None
        How many rows will be taken at most. A source is closed once they have been.
    """

    columns: list[str]
    predicate: pl.Expr | None
    n_rows: int | None

    def predicate_on(self, names: list[str] | None) -> list[pl.Expr]:
        """
        The parts of the predicate that read these columns and no others.

        A source may drop the rows that do not pass them wherever it likes. With a number of rows
        there are none: that counts rows from before the predicate.
        """
        if self.predicate is None or not names or self.n_rows is not None:
            return []
        return [
            part
            for part in _conjuncts(self.predicate)
            if (roots := part.meta.root_names()) and set(roots) <= set(names)
        ]


Frames: TypeAlias = "Callable[[Request], Generator[pl.DataFrame, None, None]]"
"""A source: gives its rows in order, as frames with at least the columns that were asked for."""


def lazy_source(
    frames: Frames, schema: pl.Schema, *, name: str, detail: str, pure: bool
) -> pl.LazyFrame:
    """
    Make a lazy frame of a source.

    Parameters
    ----------
    frames
        Called once for every run, so that all state of a run belongs into it.
    schema
        Names and dtypes of all columns.
    name, detail
        What `explain` shows.
    pure
        Whether two runs give the same, so that Polars may make one of them.

    Raises
    ------
    RangeBarError
        In a forked process.
    """
    refuse_in_fork()
    return register_io_source(
        _Answering(frames, schema.names()),
        schema=schema,
        validate_schema=True,
        is_pure=pure,
        explain_name=name,
        explain_detail=detail,
    )


@dataclass(frozen=True)
class _Answering:
    """What Polars calls. A plain object, so that a plan that holds it can be pickled."""

    frames: Frames
    names: list[str]

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002 - a hint; frames come as the source makes them
    ) -> Iterator[pl.DataFrame]:
        """See `polars.io.plugins.register_io_source`."""
        refuse_in_fork()
        if n_rows == 0:
            return
        wanted = self.names if with_columns is None else with_columns
        roots = [] if predicate is None else predicate.meta.root_names()
        # Where only the number of rows counts (a row index alone), no column at all is wanted.
        columns = list(dict.fromkeys([*wanted, *roots])) or self.names[:1]
        request = Request(columns, predicate, n_rows)
        frames = self.frames(request)
        run = object()
        RUNS.add(run)
        try:
            stay_at_exit(run)
            for frame in frames:
                some = frame if n_rows is None else frame.head(n_rows)
                if predicate is not None:
                    some = some.filter(predicate)
                # A selection of no columns would lose the number of rows.
                yield some.select(wanted) if wanted else some.drop(some.columns)
                stay_at_exit(run)
                if n_rows is not None:
                    n_rows -= min(n_rows, frame.height)
                    if n_rows == 0:
                        return
        except GeneratorExit:
            # Polars closes it when Ctrl-C ends a query, and Python may raise the very same Ctrl-C
            # right here: it would only be printed, as Polars raises its own.
            try:
                frames.close()
            except KeyboardInterrupt:
                frames.close()
        except BaseException:
            stay_at_exit(run)
            raise
        finally:
            frames.close()
            RUNS.discard(run)


def _conjuncts(predicate: pl.Expr) -> list[pl.Expr]:
    """The parts of a predicate that must all be true."""
    inputs = predicate.meta.pop()
    if len(inputs) == 2:
        for left, right in (inputs, inputs[::-1]):
            if (left & right).meta == predicate.meta:
                return [*_conjuncts(left), *_conjuncts(right)]
    return [predicate]
