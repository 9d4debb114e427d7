"""A billion trades in one run: ``python -m benches.billion``.

Makes 25 files of 40 million trades, one after the other and continuing each other, as an archive's
months do, and runs a bare scan and the streaming door over the first five and over all. What is
shown is that the peak memory does not know how long the run is. So the bars are forgotten as they
come; the runs that collect them stand beside. Not one file against many: Polars opens as many
files ahead as it has threads, and three more, and keeps their footers, whatever reads them.

Needs some 8 GB of disk, which is given back at the end, and a quarter of an hour.
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

_LIMIT = 1.10  # the peak of all files, as a multiple of that of the first fifth


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
    parser.add_argument("--files", type=int, default=25)
    parser.add_argument("--rows", type=int, default=40_000_000, help="trades in each file")
    parser.add_argument("--runs", type=int, default=3, help="alternating rounds (3)")
    parser.add_argument("--keep", action="store_true", help="leave the files for another time")
    arguments = parser.parse_args(argv)
    files: int = arguments.files
    folder = FOLDER / "billion"
    paths = [str(path) for path in make_files(folder, files, arguments.rows)]
    prefetch = {"POLARS_ROW_GROUP_PREFETCH_SIZE": str(max(2, pl.thread_pool_size()))}
    python = Path(sys.executable)
    rows: dict[str, int] = {}
    jobs: list[tuple[str, Job, Path, dict[str, str]]] = []
    for contender, label, environment in (
        ("scan", "scan", prefetch),
        ("streaming sink", "streaming, bars dropped", {}),
        ("streaming", "streaming", {}),
    ):
        for some, where in ((paths[: max(1, files // 5)], "a fifth"), (paths, "all")):
            name = f"{label}, {where}"
            rows[name] = arguments.rows * len(some)
            jobs.append((name, Job(contender, tuple(some)), python, environment))
    series = run_alternating(jobs, arguments.runs)
    fifth, whole = (
        series[f"streaming, bars dropped, {where}"].peak_mb for where in ("a fifth", "all")
    )
    ratio = whole / fifth
    verdict = "reached" if ratio <= _LIMIT else "NOT reached"
    text = (
        f"{report(series, rows)}\n\n"
        f"Peak over all against a fifth, bars dropped: {ratio:.3f}, "
        f"at most {_LIMIT} wanted: {verdict}.\n"
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
