"""Bars for the command line: into a file, down a pipe, or as a table that can be read."""

from __future__ import annotations

import difflib
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl
from polars.exceptions import ColumnNotFoundError

from rangebar_polars._files import local_path, whole_file
from rangebar_polars._plan import run_plan
from rangebar_polars.cli.arguments import OutputArguments
from rangebar_polars.cli.trades import STANDARD

__all__ = ["deliver", "print_table"]

_KINDS: Final = ".parquet, .csv, .csv.gz, .csv.zst, .arrow, .feather or .ipc"
# What a table leaves out: all that can be made of the rest or is for programs.
_HIDDEN: Final = frozenset(
    {
        "turnover", "individual_trade_count", "buy_volume", "sell_volume", "buy_turnover",
        "sell_turnover", "buy_trade_count", "sell_trade_count", "individual_buy_trade_count",
        "individual_sell_trade_count", "first_agg_trade_id", "last_agg_trade_id", "first_trade_id",
        "last_trade_id",
    }
)  # fmt: skip
# What a narrow terminal leaves out besides, in this order.
_DROPPED: Final = ("vwap", "bar_id", "trade_count", "open_time", "high", "low", "volume")


def deliver(bars: pl.LazyFrame, arguments: OutputArguments) -> None:
    """Write bars where they were asked for, or show them.

    Raises
    ------
    ValueError
        For a file of an unknown kind, and for a URL.
    polars.exceptions.PolarsError
        Whatever the plan raises; a file is then as it was.
    """
    if arguments.out is None:
        _show(bars, arguments)
    elif arguments.out == STANDARD:
        _pipe(bars)
    else:
        path = local_path(arguments.out, "--out")
        sink = _sink(bars, path)
        with whole_file(path) as temporary:
            sink(temporary)


def _sink(bars: pl.LazyFrame, path: Path) -> Callable[[Path], object]:
    suffix = path.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return bars.sink_parquet
    if suffix in {".arrow", ".feather", ".ipc"}:
        return bars.sink_ipc
    csv: Callable[..., object] = partial(bars.sink_csv, check_extension=False)
    if suffix == ".csv":
        return csv
    if path.name.lower().endswith(".csv.gz"):
        return partial(csv, compression="gzip")
    if path.name.lower().endswith(".csv.zst"):
        return partial(csv, compression="zstd")
    msg = f"{path}: cannot tell what kind of file this is to be; use {_KINDS}"
    raise ValueError(msg)


def _pipe(bars: pl.LazyFrame) -> None:
    out = sys.stdout.buffer
    out.write(pl.DataFrame(schema=bars.collect_schema()).write_csv().encode())
    # Closed at once where the reader has gone, so that no trade is read in vain.
    with closing(run_plan(bars, lambda frame: frame)) as frames:
        for frame in frames:
            out.write(frame.write_csv(include_header=False).encode())
    out.flush()


def _show(bars: pl.LazyFrame, arguments: OutputArguments) -> None:
    have = bars.collect_schema().names()
    wanted = have if arguments.show in {None, "all"} else _chosen(str(arguments.show), have)
    frame = bars.select(wanted).collect(engine="streaming")
    if arguments.show is not None:
        print_table(frame, arguments.rows)
        return
    shown = [name for name in have if name not in _HIDDEN]
    if "is_complete" in shown and frame["is_complete"].all():
        shown.remove("is_complete")
    print_table(frame.select(shown), arguments.rows, _DROPPED)
    print(f"{frame.height} bars; all {len(have)} columns with --show all or in a file with --out")


def _chosen(text: str, have: Sequence[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in have:
            near = difflib.get_close_matches(name, have, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            msg = f"--show: bars have no column {name!r}; {hint}they have {', '.join(have)}"
            raise ColumnNotFoundError(msg)
    return list(dict.fromkeys(names))


def print_table(frame: pl.DataFrame, rows: int, dropped: Sequence[str] = ()) -> None:
    """Print a table whose columns are as wide as what is in them.

    Parameters
    ----------
    frame
        What to print.
    rows
        How many rows at most, the first and the last.
    dropped
        Columns to leave out, one after the other, until the table fits the terminal.
    """
    # Eight decimals are what prices are exact to; more of an average nobody reads.
    text = _rendered(frame.with_columns(pl.selectors.float().round(8)), rows)
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        for name in dropped:
            if max(map(len, text.splitlines()), default=0) <= width:
                break
            if name in frame.columns and frame.width > 1:
                frame = frame.drop(name)
                text = _rendered(frame, rows)
    print(text)


def _rendered(frame: pl.DataFrame, rows: int) -> str:
    settings: dict[str, Any] = {
        "tbl_rows": rows,
        "tbl_cols": -1,
        "tbl_width_chars": 65_535,
        "fmt_str_lengths": 1000,
        "fmt_float": "full",
        "tbl_formatting": "ASCII_MARKDOWN",
        "tbl_hide_column_data_types": True,
        "tbl_hide_dataframe_shape": True,
    }
    with pl.Config(**settings):
        return str(frame)
