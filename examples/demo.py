"""From Parquet to range bars, in one lazy plan: ``python examples/demo.py [files]``.

Without files it makes seeded trades of several symbols in ``./.demo`` (once) and uses these. With
files or patterns (Parquet, CSV or IPC; also in the variable ``TRADES``) it finds the columns by
their usual names, says what it took for what, and does the same. It prints the plan, the first
bars, trades a second and the peak memory of this process.
"""

from __future__ import annotations

import argparse
import glob
import multiprocessing
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl
from mapping import KNOWN_NAMES, ColumnsNotFoundError, Mapped, map_columns
from memory import peak_memory_mb
from trades import TradeStream

import rangebar_polars as rb

_HERE = Path(".demo")
_ROWS = 8_000_000
_FILES = 2
_SYMBOLS = 4
_FEW = 10  # fewer closed bars than this are no demonstration: try a lower threshold as well
_SHOWN = 8  # bars, and these of their columns
_COLUMNS = (
    "symbol", "open_time", "close_time", "open", "high", "low", "close", "volume", "vwap",
    "trade_count", "is_complete",
)  # fmt: skip


class DemoError(Exception):
    """What the user can put right, told in one line."""


def make_trades(folder: Path, rows: int) -> list[Path]:
    """Write seeded trades of several symbols into `folder`, unless they are there.

    Parameters
    ----------
    folder
        Where the files go.
    rows
        Trades over all files.

    Returns
    -------
    list of Path
        The files, in the order of time.
    """
    per_file = -(-rows // _FILES)
    paths = [folder / f"trades-{rows}-{part}.parquet" for part in range(_FILES)]
    if not all(path.exists() for path in paths):
        print(f"making {per_file * _FILES:,} trades of {_SYMBOLS} symbols in {folder}/ ...")
        # In another process, so that the peak memory told later is that of the bars alone.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            pool.submit(_write, paths, per_file).result()
    return paths


def _write(paths: Sequence[Path], per_file: int) -> None:
    stream = TradeStream(symbols=_SYMBOLS, seed=1)
    for path in paths:
        stream.write(path, per_file)


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Expand patterns into files, sorted by name within each pattern.

    Parameters
    ----------
    patterns
        Files, folders or glob patterns.

    Returns
    -------
    list of Path
        At least one file.

    Raises
    ------
    DemoError
        If a pattern matches nothing.
    """
    paths: list[Path] = []
    for pattern in patterns:
        if Path(pattern).is_dir():
            matches = sorted(str(p) for p in Path(pattern).glob("*.parquet"))
        else:
            # Path.glob would refuse absolute patterns.
            matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
        if not matches:
            msg = f"no file matches {pattern!r} (looked from {Path.cwd()})"
            raise DemoError(msg)
        paths += [Path(match) for match in matches]
    return paths


def scan(paths: Sequence[Path]) -> pl.LazyFrame:
    """Scan files of one kind, told by the suffix of the first.

    Parameters
    ----------
    paths
        Parquet, CSV or IPC files with equal columns.

    Returns
    -------
    polars.LazyFrame
        Their rows, file after file.

    Raises
    ------
    DemoError
        If the suffix is unknown.
    """
    suffix = paths[0].suffix.lower()
    if suffix in (".parquet", ".pq"):
        return pl.scan_parquet(list(paths))
    if suffix == ".csv":
        return pl.scan_csv(list(paths))
    if suffix in (".arrow", ".feather", ".ipc"):
        return pl.scan_ipc(list(paths))
    msg = f"{paths[0]}: cannot read {suffix or 'a file without a suffix'}; Parquet, CSV or IPC can"
    raise DemoError(msg)


def alike(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Put files with equal columns together, for one plan can read only these.

    Parameters
    ----------
    paths
        Any files.

    Yields
    ------
    list of Path
        Files of one suffix and schema.
    """
    groups: dict[object, list[Path]] = {}
    for path in paths:
        schema = scan([path]).collect_schema()
        groups.setdefault((path.suffix, *schema.items()), []).append(path)
    yield from groups.values()


def show(mapped: Mapped, threshold: int, *, with_plan: bool) -> int:
    """Run the pipeline once and print what came out.

    Parameters
    ----------
    mapped
        The trades.
    threshold
        In decimal basis points, 250 = 0.25%.
    with_plan
        Print the plan first.

    Returns
    -------
    int
        How many bars closed.
    """
    bars = rb.range_bars(
        mapped.trades,
        threshold,
        by="symbol" if "symbol" in mapped.roles else None,
        timestamp="timestamp" if "timestamp" in mapped.roles else None,
        quantity="quantity" if "quantity" in mapped.roles else None,
        incomplete="keep",
    )
    if with_plan:
        print(f"\nthe plan\n--------\n{bars.explain()}")
        print(f"\nwhat it reads\n-------------\n{mapped.trades.explain()}")
    started = time.perf_counter()
    result = bars.collect(engine="streaming")
    seconds = time.perf_counter() - started
    closed = result.filter("is_complete")
    # Unfinished bars are kept, so that no trade is missing from this sum.
    trades = int(result.get_column("trade_count").sum())
    shown = [name for name in _COLUMNS if name in result.columns]
    title = f"bars of threshold {threshold} ({threshold / 1000:g}%)"
    print(f"\n{title}\n{'-' * len(title)}")
    with pl.Config(
        tbl_rows=_SHOWN,
        tbl_cols=-1,
        fmt_float="full",  # small prices keep their eight decimals
        tbl_width_chars=180,
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
    ):
        print(result.select(shown).head(_SHOWN))
    others = [name for name in result.columns if name not in shown]
    if others:
        print(f"and the columns {', '.join(others)}")
    print(
        f"{trades:,} trades -> {closed.height:,} bars closed, "
        f"{result.height - closed.height:,} unfinished"
    )
    print(
        f"{seconds:.3f} s, {trades / seconds / 1e6:,.1f} million trades a second, "
        f"peak memory of this process {peak_memory_mb():,.0f} MB"
    )
    return closed.height


def run(arguments: argparse.Namespace) -> None:
    """Do what the command line asks.

    Parameters
    ----------
    arguments
        As parsed by `main`.

    Raises
    ------
    DemoError
        If no file matches.
    ColumnsNotFoundError
        If the files cannot be read as trades.
    """
    chosen: dict[str, str] = {
        role: name for role in KNOWN_NAMES if (name := getattr(arguments, role)) is not None
    }
    patterns = arguments.files or shlex.split(os.environ.get("TRADES", ""))
    paths = find_files(patterns) if patterns else make_trades(_HERE, arguments.rows)
    for group in alike(paths):
        names = ", ".join(path.name for path in group[:4]) + (", ..." if group[4:] else "")
        print(f"\n=== {names}")
        mapped = map_columns(scan(group), chosen)
        for role, column in mapped.roles.items():
            print(f"{role:>15} <- {column}")
        closed = show(mapped, arguments.threshold, with_plan=True)
        if closed < _FEW and arguments.threshold > 25:
            print("\nfew bars closed at this threshold; the same trades at a tenth of it:")
            show(mapped, max(1, arguments.threshold // 10), with_plan=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo.

    Parameters
    ----------
    argv
        Arguments, those of the command line where None.

    Returns
    -------
    int
        The exit code: 0, or 1 after an error told on stderr.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("files", nargs="*", help="trade files or patterns; none: made-up trades")
    parser.add_argument(
        "--threshold", type=int, default=250, help="decimal basis points, 250 = 0.25%% (default)"
    )
    parser.add_argument("--rows", type=int, default=_ROWS, help="how many trades to make up")
    for role in KNOWN_NAMES:
        flag = "--" + role.replace("_", "-")
        parser.add_argument(flag, dest=role, metavar="COLUMN", help=f"the column with the {role}")
    arguments = parser.parse_args(argv)
    try:
        run(arguments)
    except (DemoError, ColumnsNotFoundError, pl.exceptions.PolarsError, ValueError) as error:
        print(f"demo: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
