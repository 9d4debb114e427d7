"""A billion trades in one run: ``python -m benches.billion``.

Makes five files of 200 million trades, one after the other and continuing each other, runs the
streaming door over the first alone and over all, and a bare scan over all. What is shown is that
the peak memory does not know how long the run is. Needs some 8 GB of disk, which is given back at
the end, and a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import polars as pl

from benches.datasets import FOLDER, ROW_GROUP
from benches.jobs import FOUR, Job
from benches.measure import Series, run_alternating
from examples.trades import TradeStream

_LIMIT = 1.10  # the peak of all files, as a multiple of that of one


def make_files(folder: Path, files: int, rows: int) -> list[Path]:
    """Write the files, unless all are there.

    Parameters
    ----------
    folder
        Where they go.
    files
        How many.
    rows
        Trades in each.

    Returns
    -------
    list of Path
        In the order of time.
    """
    paths = [folder / f"trades-{rows}-part{part:03d}.parquet" for part in range(files)]
    if not all(path.exists() for path in paths):
        # A later file goes on where the one before it ended, so none can be made alone.
        stream = TradeStream(seed=1)
        for path in paths:
            print(f"making {path.name} ...", flush=True)
            stream.write(path, rows, row_group_size=ROW_GROUP, columns=FOUR)
    return paths


def report(series: dict[str, Series], rows: dict[str, int]) -> str:
    """Return the table of a run.

    Parameters
    ----------
    series
        Measurements by label.
    rows
        Trades by label.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "| | trades | median s | million trades/s | peak MB | bars |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, measured in series.items():
        lines.append(
            f"| {label} | {rows[label]:,} | {measured.seconds:.1f} "
            f"| {rows[label] / measured.seconds / 1e6:,.1f} | {measured.peak_mb:,.0f} "
            f"| {measured.bars:,} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run it.

    Parameters
    ----------
    argv
        Arguments, those of the command line where None.

    Returns
    -------
    int
        The exit code: 1 if the peak grew by more than a tenth.
    """
    parser = argparse.ArgumentParser(prog="python -m benches.billion", description=__doc__)
    parser.add_argument("--files", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200_000_000, help="trades in each file")
    parser.add_argument("--runs", type=int, default=3, help="alternating rounds (3)")
    parser.add_argument("--keep", action="store_true", help="leave the files for another time")
    arguments = parser.parse_args(argv)
    files: int = arguments.files
    folder = FOLDER / "billion"
    paths = [str(path) for path in make_files(folder, files, arguments.rows)]
    rows = {
        "streaming, first file": arguments.rows,
        "streaming, all files": arguments.rows * files,
        "scan, all files": arguments.rows * files,
    }
    python = Path(sys.executable)
    prefetch = {"POLARS_ROW_GROUP_PREFETCH_SIZE": str(max(2, pl.thread_pool_size()))}
    series = run_alternating(
        [
            ("streaming, first file", Job("streaming", (paths[0],)), python, {}),
            ("streaming, all files", Job("streaming", tuple(paths)), python, {}),
            ("scan, all files", Job("scan", tuple(paths)), python, prefetch),
        ],
        arguments.runs,
    )
    ratio = series["streaming, all files"].peak_mb / series["streaming, first file"].peak_mb
    verdict = "reached" if ratio <= _LIMIT else "NOT reached"
    text = (
        f"{report(series, rows)}\n\n"
        f"Peak over all files against one: {ratio:.3f}, at most {_LIMIT} wanted: {verdict}.\n"
    )
    print(f"\n{text}")
    results = FOLDER / "results"
    results.mkdir(parents=True, exist_ok=True)
    (results / "billion.md").write_text(text, encoding="utf-8")
    figures = {label: [asdict(run) for run in s.runs] for label, s in series.items()}
    (results / "billion.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if not arguments.keep:
        shutil.rmtree(folder)
    return 0 if ratio <= _LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
