"""Which file brought a row.

The file of a day can hold a trade of the neighbouring day. When either is published anew, or
days are deleted, only its own rows may go; so each row that came from a file knows its name, in
a column that readers of the store do not see. It is one text for nearly all rows of a day, and
takes next to nothing. A row that two files brought names both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BROUGHT_BY", "NO_FILE", "brought_by", "names_in", "union_of_names", "without_file"]

BROUGHT_BY: Final = "brought_by"
"""The column: names of files, joined by a sign that no file's name has; null where none."""

NO_FILE: Final = ""
"""Stands in a footer for rows that did not come from a file."""

_JOINT: Final = "/"


def brought_by(batch: pl.DataFrame, name: str) -> pl.DataFrame:
    """Mark all rows of a batch."""
    return batch.with_columns(pl.lit(name).alias(BROUGHT_BY))


def names_in(batch: pl.DataFrame) -> set[str]:
    """Return the files that brought rows of a batch; `NO_FILE` is among them for other rows."""
    if BROUGHT_BY not in batch.columns:
        return {NO_FILE}
    texts: Iterable[str | None] = batch[BROUGHT_BY].unique().to_list()
    return {name for text in texts for name in (text or NO_FILE).split(_JOINT)}


def union_of_names() -> pl.Expr:
    """Aggregate the rows of one trade: all files that brought any of them."""
    names = pl.col(BROUGHT_BY).drop_nulls().str.split(_JOINT).explode().unique().sort()
    joined = names.drop_nulls().str.join(_JOINT)
    return pl.when(joined != "").then(joined).alias(BROUGHT_BY)


def without_file(frame: pl.LazyFrame, name: str, *, keep_others: bool) -> pl.LazyFrame:
    """Return the rows that remain once a file is taken away.

    Parameters
    ----------
    keep_others
        Whether rows that did not come from any file stay.
    """
    if BROUGHT_BY not in frame.collect_schema():
        return frame if keep_others else frame.clear()
    names = pl.col(BROUGHT_BY)
    left = names.str.split(_JOINT).list.filter(pl.element() != name).list.join(_JOINT)
    stays = names.is_null() if keep_others else pl.lit(False)
    return frame.filter(stays | (left != "").fill_null(False)).with_columns(left.alias(BROUGHT_BY))
