"""Trades and bars in files, told apart by their suffix."""

from __future__ import annotations

import os
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["TABLE_ROWS", "scan_trades", "show", "write_bars"]

TABLE_ROWS = 20
_IPC = {".arrow", ".feather", ".ipc"}
_KINDS = ".parquet, .csv, .arrow, .feather or .ipc"


def scan_trades(paths: Sequence[Path]) -> pl.LazyFrame:
    """Scan files of one kind, in the order given; patterns are expanded, sorted.

    Raises
    ------
    FileNotFoundError
        Where a path is not there or a pattern matches nothing.
    ValueError
        Where the suffix says nothing, or the files are of several kinds.
    """
    found: list[Path] = []
    for path in paths:
        if has_magic(str(path)):
            matches = sorted(Path(name) for name in glob(str(path), recursive=True))  # noqa: PTH207
        else:
            matches = [path] if path.is_file() else []
        if not matches:
            msg = f"no such file: {path}"
            raise FileNotFoundError(msg)
        found += matches
    kinds = {_kind(path) for path in found}
    if len(kinds) > 1:
        msg = f"trades must be in files of one kind, got {', '.join(sorted(kinds))}"
        raise ValueError(msg)
    kind = kinds.pop()
    if kind == "csv":
        return pl.scan_csv(found, try_parse_dates=True, glob=False)
    if kind == "ipc":
        return pl.concat([pl.scan_ipc(path) for path in found])
    return pl.scan_parquet(found, glob=False)


def write_bars(bars: pl.LazyFrame, out: Path) -> None:
    """Stream bars into a file, which is there as a whole or not at all."""
    sinks: dict[str, Callable[[Path], object]] = {
        "parquet": bars.sink_parquet,
        "csv": bars.sink_csv,
        "ipc": bars.sink_ipc,
    }
    sink = sinks[_kind(out)]
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        sink(part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def show(frame: pl.DataFrame, rows: int = TABLE_ROWS) -> None:
    """Print a table with all its columns."""
    with pl.Config(
        tbl_rows=rows,
        tbl_cols=-1,
        tbl_hide_column_data_types=True,
        tbl_width_chars=_width(),
        fmt_str_lengths=200,
    ):
        print(frame)


def _width() -> int:
    # A pipe has no width: there a table must not be squeezed.
    return int(os.environ.get("COLUMNS", "0")) or 1000


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in {".parquet", ".pq"}:
        return "parquet"
    if suffix == ".csv":
        return "csv"
    if suffix in _IPC:
        return "ipc"
    msg = f"{path}: cannot tell what kind of file this is, use {_KINDS}"
    raise ValueError(msg)
