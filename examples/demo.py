"""From Parquet to range bars, in one lazy plan: ``python examples/demo.py [files]``.

Without files it makes seeded trades of several symbols in ``./.demo`` (once) and uses these. With
files or patterns (Parquet, CSV or IPC; also in the variable ``TRADES``) it finds the columns by
their usual names and the time's unit by its size, says what it took for what, and does the same: a
demonstration may guess, `rb.normalize` does not. It prints the plan, the first
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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeAlias

import polars as pl
from memory import peak_memory_mb
from trades import TradeStream

import rangebar_polars as rb

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

KNOWN_NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "trade_time", "transact_time", "time", "ts", "T", "datetime"),
    "price": ("price", "trade_price", "px", "p", "rate", "last"),
    "quantity": ("quantity", "qty", "q", "size", "volume", "vol", "amount"),
    "is_buyer_maker": ("is_buyer_maker", "isbuyermaker", "buyer_maker", "m"),
    "side": ("side", "taker_side", "aggressor_side", "direction"),
    "agg_trade_id": ("agg_trade_id", "aggregate_trade_id", "a"),
    "first_trade_id": ("first_trade_id", "first_id", "f"),
    "last_trade_id": ("last_trade_id", "last_id", "l"),
    "symbol": ("symbol", "ticker", "instrument", "pair", "s"),
}
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


def find_columns(names: Sequence[str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Match the roles in a trade to column names.

    Parameters
    ----------
    names
        The columns of a file.
    chosen
        Roles that the user has settled.

    Returns
    -------
    dict of str to str
        Role to column, for the roles that were found.
    """
    found = dict(chosen)
    for role, known in KNOWN_NAMES.items():
        free = [name for name in names if name not in found.values()]
        # "T" is a trade's time to an exchange and "t" its id, so case matters in short names.
        by_plain = {name.lower() if len(name) > 2 else name: name for name in free}
        match = next((by_plain[name] for name in known if name in by_plain), None)
        if role not in found and match is not None:
            found[role] = match
    if "is_buyer_maker" in found:
        found.pop("side", None)
    return found


def find_unit(path: Path, column: str) -> TimeUnit | None:
    """Tell what the numbers in a time column count, by their size; None where there are none.

    Parameters
    ----------
    path
        The file.
    column
        Its time column.

    Returns
    -------
    str or None
        A unit of `rb.normalize`.
    """
    first = scan(path).select(column).head(1).collect()
    try:
        size = float(first.item())
    except (TypeError, ValueError):
        return None
    # 1e11 s lie in the year 5138, 1e11 ms in 1973; and so on for the finer units.
    return "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"


def scan(path: Path) -> pl.LazyFrame:
    """Scan one file as it is, for a look at it.

    Parameters
    ----------
    path
        A Parquet, CSV or IPC file.

    Returns
    -------
    polars.LazyFrame
        Its rows.

    Raises
    ------
    DemoError
        If the suffix is unknown.
    """
    if path.suffix in (".parquet", ".pq"):
        return pl.scan_parquet(path, glob=False)
    if ".csv" in path.suffixes[-2:]:
        return pl.scan_csv(path, infer_schema=False, glob=False)
    if path.suffix in (".arrow", ".feather", ".ipc"):
        return pl.scan_ipc(path, glob=False)
    msg = f"{path}: cannot read {path.suffix or 'a file without a suffix'}; Parquet, CSV or IPC can"
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
        schema = scan(path).collect_schema()
        groups.setdefault((path.suffix, *schema.items()), []).append(path)
    yield from groups.values()


def show(trades: pl.LazyFrame, threshold: int, *, with_plan: bool) -> int:
    """Run the pipeline once and print what came out.

    Parameters
    ----------
    trades
        The trades, normalized.
    threshold
        In decimal basis points, 250 = 0.25%.
    with_plan
        Print the plan first.

    Returns
    -------
    int
        How many bars closed.
    """
    have = trades.collect_schema().names()
    missing: dict[str, str | None] = {
        role: None for role in ("timestamp", "quantity") if role not in have
    }
    bars = rb.range_bars(trades, threshold, columns=missing, incomplete="keep")
    if with_plan:
        print(f"\nthe plan\n--------\n{bars.explain()}")
        print(f"\nwhat it reads\n-------------\n{trades.explain()}")
    started = time.perf_counter()
    result = bars.collect(engine="streaming")
    seconds = time.perf_counter() - started
    closed = result.filter("is_complete")
    # Unfinished bars are kept, so that no trade is missing from this sum.
    count = int(result.get_column("trade_count").sum())
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
        f"{count:,} trades -> {closed.height:,} bars closed, "
        f"{result.height - closed.height:,} unfinished"
    )
    print(
        f"{seconds:.3f} s, {count / seconds / 1e6:,.1f} million trades a second, "
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
    """
    chosen: dict[str, str] = {
        role: name for role in KNOWN_NAMES if (name := getattr(arguments, role)) is not None
    }
    patterns = arguments.files or shlex.split(os.environ.get("TRADES", ""))
    paths = find_files(patterns) if patterns else make_trades(_HERE, arguments.rows)
    for group in alike(paths):
        names = ", ".join(path.name for path in group[:4]) + (", ..." if group[4:] else "")
        print(f"\n=== {names}")
        trades = normalized(group, chosen)
        closed = show(trades, arguments.threshold, with_plan=True)
        if closed < _FEW and arguments.threshold > 25:
            print("\nfew bars closed at this threshold; the same trades at a tenth of it:")
            show(trades, max(1, arguments.threshold // 10), with_plan=False)


def normalized(files: Sequence[Path], chosen: Mapping[str, str]) -> pl.LazyFrame:
    """Scan files with equal columns under the names that `rb.range_bars` expects.

    Parameters
    ----------
    files
        The files.
    chosen
        Roles that the user has settled.

    Returns
    -------
    polars.LazyFrame
        The trades.

    Raises
    ------
    DemoError
        If a column is not there.
    """
    names = scan(files[0]).collect_schema().names()
    for role, name in chosen.items():
        if name not in names:
            msg = f"no column {name!r} for the {role}; the columns are: {', '.join(names)}"
            raise DemoError(msg)
    columns = find_columns(names, chosen)
    unit = find_unit(files[0], columns["timestamp"]) if "timestamp" in columns else None
    for role, column in columns.items():
        print(f"{role:>15} <- {column}{f' ({unit})' if role == 'timestamp' and unit else ''}")
    missing = {role: None for role in ("timestamp", "quantity") if role not in columns}
    options: Any = {**columns, **missing, "time_unit": unit}
    return rb.scan_trades(files, **options)


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
    except (DemoError, pl.exceptions.PolarsError, ValueError) as error:
        print(f"demo: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
