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

__all__ = ["BROUGHT_BY", "JOINT", "NO_FILE", "names_in", "united", "without_files"]

BROUGHT_BY: Final = "brought_by"
"""The column: names of files, a line each; null where none."""

NO_FILE: Final = ""
"""Stands in a footer for rows that did not come from a file."""

JOINT: Final = "\n"


def names_in(batch: pl.DataFrame) -> set[str]:
    """Return the files that brought rows of a batch; `NO_FILE` is among them for other rows."""
    if BROUGHT_BY not in batch.columns:
        return {NO_FILE}
    texts: Iterable[str | None] = batch[BROUGHT_BY].unique().to_list()
    return {name for text in texts for name in (text or NO_FILE).split(JOINT)}


def united(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Return ``key`` and all files that brought any of its rows, for each key, in any order."""
    lists = rows.group_by(key).agg(BROUGHT_BY)
    joined = lists.with_columns(pl.col(BROUGHT_BY).list.drop_nulls().list.join(JOINT))
    # Few are different, however many the rows.
    texts: list[str] = joined[BROUGHT_BY].unique().to_list()
    once = [JOINT.join(sorted({*text.split(JOINT)})) or None for text in texts]
    named = pl.col(BROUGHT_BY).replace_strict(texts, once, return_dtype=pl.String)
    return joined.with_columns(named)


def without_files(frame: pl.LazyFrame, names: Iterable[str], *, keep_others: bool) -> pl.LazyFrame:
    """Return the rows that remain once files are taken away.

    Parameters
    ----------
    keep_others
        Whether rows that did not come from any file stay.
    """
    if BROUGHT_BY not in frame.collect_schema():
        return frame if keep_others else frame.clear()
    given = pl.col(BROUGHT_BY)
    gone = given.str.split(JOINT).list.filter(~pl.element().is_in(list(names)))
    left = gone.list.join(JOINT)
    stays = given.is_null() if keep_others else pl.lit(value=False)
    return frame.filter(stays | (left != "").fill_null(value=False)).with_columns(
        left.alias(BROUGHT_BY)
    )
