"""Files of trades as a lazy frame, read by what their columns are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

import polars as pl

from rangebar_polars._csv_files import CsvForm, scan_csv_files
from rangebar_polars._csv_stream import scan_csv_stream
from rangebar_polars._normalizer import NormalizeOptions, normalizer
from rangebar_polars._trade_files import Source, kind_of, trade_files

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["scan_trades"]


def scan_trades(
    source: Source | BinaryIO,
    format: str | None = None,  # noqa: A002 - what everybody calls it
    *,
    has_header: bool = True,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    **options: Unpack[NormalizeOptions],
) -> pl.LazyFrame:
    r"""
    Scan trades in files of any kind that Polars reads, under our names and dtypes.

    What a column of a CSV file is for decides how it is read, never its first rows: a price is a
    decimal number, an id an integer, and a symbol stays the text it is.

    Parameters
    ----------
    source
        A file, a pattern, or a list of these, read one after the other: ``.parquet``, ``.csv``
        (also ``.tsv``, ``.txt``, and compressed ``.csv.gz`` and ``.csv.zst``), ``.arrow``,
        ``.feather``, ``.ipc``, or the ``.zip`` files of Binance's archive. A path that is there is
        that file, whatever brackets are in it. Or a binary file object with CSV text, compressed
        or not, which can be read once.
    format
        Whose columns these are; see `vendor` in :func:`normalize`.
    has_header
        Whether CSV files begin with names. Files of Binance are looked at.
    columns
        Names of the columns of CSV files that have no header.
    separator
        Between the fields of CSV. Default: a comma, in ``.tsv`` a tabulator.
    **options
        As for :func:`normalize`: ``timestamp``, ``time_unit``, ``price``, ``side``, ...

    Returns
    -------
    LazyFrame
        As :func:`normalize` gives it. Other columns of CSV files are text. Several symbols in the
        zips of Binance make a column ``symbol``.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        At once, where there is no such file.
    ValueError
        At once, for a suffix that says nothing, files of different kinds or with different
        columns, and options that make no sense.
    polars.exceptions.NoDataError
        At once, where all files are empty. One without trades, or without a single byte, among
        others is a day without trades.
    polars.exceptions.PolarsError
        As :func:`normalize`, and on collecting for a field that cannot be read: names its column
        and text.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import rangebar_polars as rb
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "trades.csv")
    ...     _ = path.write_text("time,price,qty,isin\n1700000000.4,100,1,007\n")
    ...     trades = rb.scan_trades(path, timestamp="time", time_unit="s", quantity="qty").collect()
    >>> trades
    shape: (1, 4)
    ┌─────────────────────────┬───────┬──────────┬──────┐
    │ timestamp               ┆ price ┆ quantity ┆ isin │
    │ ---                     ┆ ---   ┆ ---      ┆ ---  │
    │ datetime[μs]            ┆ f64   ┆ f64      ┆ str  │
    ╞═════════════════════════╪═══════╪══════════╪══════╡
    │ 2023-11-14 22:13:20.400 ┆ 100.0 ┆ 1.0      ┆ 007  │
    └─────────────────────────┴───────┴──────────┴──────┘
    """
    made = normalizer(format, **options)
    form = CsvForm(made, has_header, None if columns is None else tuple(columns), separator)
    if hasattr(source, "read"):
        stream = scan_csv_stream(cast("BinaryIO", source), form)
        return replace(made, from_csv=True).apply(stream)
    files = trade_files(cast("Source", source))
    kinds = {kind_of(file) for file in files}
    if len(kinds) > 1:
        msg = f"files of trades must be of one kind, got {' and '.join(sorted(kinds))}"
        raise ValueError(msg)
    kind = kinds.pop()
    if kind == "zip":
        # Polars alone is enough for all else.
        from rangebar_polars.sources.binance.zips import scan_zips  # noqa: PLC0415

        if format != "binance":
            msg = "zips are read from Binance's archive only: say so with format='binance'"
            raise ValueError(msg)
        return scan_zips(files)
    if kind == "csv":
        return replace(made, from_csv=True).apply(scan_csv_files(files, form))
    if kind == "ipc":
        return made.apply(pl.scan_ipc(files, glob=False))
    return made.apply(pl.scan_parquet(files, glob=False))
