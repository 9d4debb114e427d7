"""Trades for the command line: files, patterns, or standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

import polars as pl

from rangebar_polars._csv_stream import Rewound
from rangebar_polars._files import at_exit_removed
from rangebar_polars.cli.arguments import TradeArguments
from rangebar_polars.scan import scan_trades

__all__ = ["STANDARD", "open_trades"]

STANDARD: Final = "<standard input or output>"
"""What `-` becomes before the arguments are parsed, for a hyphen looks like an option there."""

# What begins like this is read from its end, so it has to be in a file.
_IN_A_FILE: Final = {b"PAR1": ".parquet", b"ARRO": ".ipc"}
_ZIP: Final = b"PK\x03\x04"


@contextmanager
def open_trades(names: Sequence[str], arguments: TradeArguments) -> Generator[pl.LazyFrame]:
    """Give the trades, normalized; they can be read within the block.

    Raises
    ------
    ValueError, OSError, polars.exceptions.PolarsError
        As `scan_trades`.
    """
    if STANDARD not in names:
        yield _scan(list(names), arguments)
        return
    if len(names) > 1:
        msg = "standard input (-) cannot be read together with files"
        raise ValueError(msg)
    stream = cast("BinaryIO", sys.stdin.buffer)
    head = stream.read(4)
    whole = cast("BinaryIO", Rewound(head, stream))
    if head == _ZIP:
        msg = "zips cannot be read from standard input: name the files"
        raise ValueError(msg)
    suffix = _IN_A_FILE.get(head)
    if suffix is None:
        yield _scan(whole, arguments)
        return
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        at_exit_removed(Path(file.name))
        shutil.copyfileobj(whole, file)
        file.flush()
        yield _scan(file.name, arguments)


def _scan(source: str | list[str] | BinaryIO, arguments: TradeArguments) -> pl.LazyFrame:
    columns = arguments.columns
    return scan_trades(
        source,
        arguments.format,
        has_header=not arguments.no_header,
        columns=None if columns is None else [name.strip() for name in columns.split(",")],
        separator=arguments.separator,
        **arguments.normalize_options(),
    )
