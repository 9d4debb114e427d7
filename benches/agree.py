"""Do all contenders make the same bars? Asked before any figure is printed."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

#: Sums that a contender may have made in floats; all other columns must be equal to the bit.
_SUMS = ("volume", "turnover", "buy_volume", "buy_turnover")
_RELATIVE = 1e-9


class BarsDifferError(Exception):
    """Two contenders made different bars."""


def check_agreement(bars: Mapping[str, pl.DataFrame]) -> list[str]:
    """Compare the bars of all contenders with those of the first, column by column.

    Parameters
    ----------
    bars
        The bars by the contender's label, under this project's column names. A contender without
        some column is compared on the ones that it has.

    Returns
    -------
    list of str
        One line per contender: how many bars and columns were compared.

    Raises
    ------
    BarsDifferError
        If any value differs: sums by more than 1e-9 of their size, others at all.

    Examples
    --------
    >>> one = pl.DataFrame({"close": [1.0, 2.0], "volume": [0.3, 1.0]})
    >>> two = pl.DataFrame({"close": [1.0, 2.0], "volume": [0.30000000000000004, 1.0]})
    >>> check_agreement({"ours": one, "theirs": two})
    ['theirs = ours: 2 bars, close, volume']
    """
    (first, expected), *others = bars.items()
    lines: list[str] = []
    for label, found in others:
        if found.height != expected.height:
            msg = f"{label} made {found.height} bars, {first} {expected.height}"
            raise BarsDifferError(msg)
        common = [name for name in expected.columns if name in found.columns]
        for name in common:
            row = _first_difference(expected.get_column(name), found.get_column(name))
            if row is not None:
                msg = (
                    f"column {name!r}, bar {row}: {first} has {expected.item(row, name)!r}, "
                    f"{label} {found.item(row, name)!r}"
                )
                raise BarsDifferError(msg)
        lines.append(f"{label} = {first}: {found.height} bars, {', '.join(common)}")
    return lines


def _first_difference(expected: pl.Series, found: pl.Series) -> int | None:
    pair = pl.LazyFrame([expected.alias("expected"), found.alias("found")])
    one, other = pl.col("expected"), pl.col("found")
    differ = one.ne_missing(other)
    if expected.name in _SUMS:
        differ &= ((one - other).abs() > _RELATIVE * one.abs()).fill_null(value=True)
    rows = pair.select(differ.arg_true().first()).collect()
    return rows.item()
