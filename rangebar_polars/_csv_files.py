"""CSV files of trades: their columns looked up in the header, their dtypes in the roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import polars as pl
from polars.exceptions import ColumnNotFoundError, NoDataError

from rangebar_polars._normalizer import Normalizer
from rangebar_polars._vendors import binance_columns

__all__ = ["CsvForm", "CsvHead", "scan_csv_files"]


@dataclass(frozen=True)
class CsvHead:
    """
    What the first line of a file tells.

    Attributes
    ----------
    names
        Names of the columns.
    in_file
        Whether they stand there, or the first line is a trade.
    """

    names: tuple[str, ...]
    in_file: bool


@dataclass(frozen=True)
class CsvForm:
    """
    How CSV files are written.

    Attributes
    ----------
    normalizer
        Knows the roles of columns.
    has_header
        Whether files begin with names.
    columns
        Names for files without a header.
    separator
        None: by suffix.

    Raises
    ------
    ValueError
        For names that stand twice, and a separator that is not one character.
    """

    normalizer: Normalizer
    has_header: bool = True
    columns: tuple[str, ...] | None = None
    separator: str | None = None

    def __post_init__(self) -> None:
        for name in self.columns or ():
            if self.columns is not None and self.columns.count(name) > 1:
                msg = f"columns names {name!r} more than once"
                raise ValueError(msg)
        if self.separator is not None and len(self.separator.encode()) != 1:
            msg = f"separator must be a single character, got {self.separator!r}"
            raise ValueError(msg)

    def separator_of(self, path: Path) -> str:
        """What stands between the fields of a file."""
        if self.separator is not None:
            return self.separator
        return "\t" if ".tsv" in path.suffixes[-2:] else ","

    def head(self, first: Sequence[str], where: str) -> CsvHead:
        """
        What the fields of the first line tell.

        Raises
        ------
        ValueError
            Where the columns cannot be told.
        """
        if self.columns is not None:
            if len(first) != len(self.columns):
                msg = f"columns names {len(self.columns)} columns, but {where} has {len(first)}"
                raise ValueError(msg)
            return CsvHead(self.columns, in_file=False)
        binance = self.normalizer.vendor == "binance"
        if self.has_header and not (binance and first[0].isdigit()):
            return CsvHead(tuple(first), in_file=True)
        known = binance_columns(list(first)) if binance else None
        if known is None:
            msg = (
                f"{where} has no header: name its {len(first)} columns in order with "
                "columns=['timestamp', 'price', ...]"
            )
            raise ValueError(msg)
        return CsvHead(tuple(known), in_file=False)

    def dtypes(self, head: CsvHead, where: str) -> dict[str, pl.DataType]:
        """
        What each column is read as.

        Raises
        ------
        ValueError
            Where the header is none.
        polars.exceptions.ColumnNotFoundError
            Where a column is missing.
        """
        try:
            return self.normalizer.csv_dtypes(head.names)
        except ColumnNotFoundError:
            if head.in_file and any(_is_number(name) for name in head.names):
                shown = ",".join(head.names)
                msg = (
                    f"the first line of {where} has numbers where names are expected ({shown}); "
                    "if it has no header, name the columns with columns=['timestamp', 'price', ...]"
                )
                raise ValueError(msg) from None
            raise


def scan_csv_files(files: Sequence[Path], form: CsvForm) -> pl.LazyFrame:
    """
    Scan CSV files with equal columns, with or without a header.

    Raises
    ------
    ValueError
        Where their columns differ.
    polars.exceptions.NoDataError
        Where all of them are empty.
    """
    heads: list[tuple[Path, CsvHead]] = []
    for file in files:
        first = _first_line(file, form.separator_of(file))
        if first:
            heads.append((file, form.head(first, str(file))))
    if not heads:
        msg = f"there is nothing in {', '.join(map(str, files))}"
        raise NoDataError(msg)
    one, head = heads[0]
    for file, other in heads:
        if other.names != head.names:
            msg = (
                f"{file} has the columns {', '.join(other.names)}, "
                f"but {one} has {', '.join(head.names)}"
            )
            raise ValueError(msg)
    dtypes = form.dtypes(head, str(one))
    scans = [
        pl.scan_csv(
            [file for file, _ in group],
            # The names were read above; Polars would look for them as they stand, spaces and all.
            has_header=False,
            skip_lines=int(in_file),
            schema=dtypes,
            raise_if_empty=False,
            separator=separator,
            glob=False,
        )
        for (in_file, separator), group in groupby(
            heads, lambda one: (one[1].in_file, form.separator_of(one[0]))
        )
    ]
    return scans[0] if len(scans) == 1 else pl.concat(scans)


def _first_line(file: Path, separator: str) -> list[str]:
    """The fields of the first line; none in an empty file."""
    line = pl.scan_csv(
        file,
        has_header=False,
        infer_schema=False,
        separator=separator,
        n_rows=1,
        glob=False,
        raise_if_empty=False,
        truncate_ragged_lines=True,
    ).collect()
    return [] if line.is_empty() else [str(field or "").strip() for field in line.row(0)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
