"""The benchmark: ``python -m benches.run [--quick]``; docs/benchmarks.md tells how to read it."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from benches.agree import check_agreement
from benches.datasets import FOLDER
from benches.jobs import Job
from benches.measure import JobFailedError, run_alternating, run_job
from benches.peer_env import PeerUnavailableError, peer_python
from benches.report import Outcome, as_json, goals_table, markdown, table
from benches.workloads import Case, Workload, workloads

_FULL_ROWS = 200_000_000
_QUICK_ROWS = 20_000_000
_OURS = ("streaming", "streaming sink", "expression", "memory: frame", "memory: expression")
_BEGIN, _END = "<!-- results: begin -->", "<!-- results: end -->"
_PAGE = Path("docs/benchmarks.md")


def environment_of(case: Case) -> dict[str, str]:
    """Return the variables that a case's process needs besides the inherited ones.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    dict of str to str
        Names and values.
    """
    if case.contender == "opendeviationbar":
        # Both of its names, old and new; the symbol registry has no say in a benchmark.
        return {"OPENDEVIATIONBAR_SYMBOL_GATE": "off", "RANGEBAR_SYMBOL_GATE": "off"}
    if case.like_ours and "POLARS_ROW_GROUP_PREFETCH_SIZE" not in os.environ:
        return {"POLARS_ROW_GROUP_PREFETCH_SIZE": str(max(2, pl.thread_pool_size()))}
    return {}


def check(
    workload: Workload, pythons: Mapping[str, Path], folder: Path
) -> tuple[list[Case], dict[str, str], list[str]]:
    """Run every case once, untimed, and compare the bars that come out.

    This also brings the files into the page cache, so that all timed runs find them there.

    Parameters
    ----------
    workload
        The workload.
    pythons
        Interpreters of contenders that do not run in this one; empty paths for those that cannot
        run at all.
    folder
        For the bars, which are removed again.

    Returns
    -------
    tuple
        The cases that ran; why the others did not, by label; what was compared.

    Raises
    ------
    JobFailedError
        If one of this project's own cases fails.
    BarsDifferError
        If two cases made different bars.
    """
    able: list[Case] = []
    skipped: dict[str, str] = {}
    bars: dict[str, dict[str, Path]] = {}
    for number, case in enumerate(workload.cases):
        if pythons.get(case.contender) == Path():
            skipped[case.label] = "not available here"
            continue
        out = folder / f"{number}.parquet"
        try:
            run_job(
                case.job(str(out)),
                pythons.get(case.contender, Path(sys.executable)),
                environment_of(case),
            )
        except JobFailedError as error:
            if case.contender in _OURS:
                raise
            skipped[case.label] = str(error).splitlines()[-1]
            print(f"  skipped: {error}", file=sys.stderr)
            continue
        able.append(case)
        if out.exists():
            bars.setdefault(case.group, {})[case.label] = out
    agreement: list[str] = []
    for group in bars.values():
        agreement += check_agreement({label: pl.read_parquet(p) for label, p in group.items()})
        for path in group.values():
            path.unlink()
    return able, skipped, agreement


def make_data(chosen: Sequence[Workload]) -> None:
    """Make the files that workloads need and that are not there.

    Parameters
    ----------
    chosen
        The workloads.
    """
    for data in dict.fromkeys(case.data for workload in chosen for case in workload.cases):
        data.ensure()


def measure(workload: Workload, pythons: Mapping[str, Path], runs: int) -> Outcome:
    """Make the data, compare the bars, and time the cases in turns.

    Parameters
    ----------
    workload
        The workload.
    pythons
        As in `check`.
    runs
        Rounds.

    Returns
    -------
    Outcome
        What came of it.
    """
    print(f"\n{workload.name}: {workload.title}", file=sys.stderr, flush=True)
    make_data([workload])
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        able, skipped, agreement = check(workload, pythons, Path(folder))
    jobs: list[tuple[str, Job, Path, Mapping[str, str]]] = [
        (
            case.label,
            case.job(),
            pythons.get(case.contender, Path(sys.executable)),
            environment_of(case),
        )
        for turn in range(max((case.times for case in able), default=0))
        for case in able
        if case.timed and case.times > turn
    ]
    return Outcome(workload, run_alternating(jobs, runs), skipped, agreement)


def publish(report: str, charts: Sequence[Path], page: Path = _PAGE) -> None:
    """Put a report and its charts into the documentation.

    Parameters
    ----------
    report
        Markdown.
    charts
        Files to lay beside the page.
    page
        A page with the two marks between which the report goes.

    Raises
    ------
    ValueError
        If the page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        msg = f"{page} has no marks {_BEGIN} and {_END}"
        raise ValueError(msg)
    picture = ""
    for chart in charts:
        (page.parent / chart.name).write_bytes(chart.read_bytes())
        if chart.suffix == ".svg":
            picture = f"![Throughput and memory against the number of trades]({chart.name})\n\n"
    page.write_text(f"{before}{begin}\n\n{picture}{report}\n{end}{after}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Parameters
    ----------
    argv
        Arguments, those of the command line where None.

    Returns
    -------
    int
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m benches.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 million trades, not 200")
    parser.add_argument("--rows", type=int, help="another number of trades")
    parser.add_argument("--runs", type=int, default=5, help="rounds of each workload (5)")
    parser.add_argument("--only", help="workloads, separated by commas")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder of the report")
    parser.add_argument("--prepare", action="store_true", help="only make the data, to run later")
    parser.add_argument("--publish", action="store_true", help=f"put the report into {_PAGE}")
    arguments = parser.parse_args(argv)
    rows = arguments.rows or (_QUICK_ROWS if arguments.quick else _FULL_ROWS)
    chosen = list(workloads(rows))
    if arguments.only:
        names: list[str] = arguments.only.split(",")
        unknown = set(names) - {workload.name for workload in chosen}
        if unknown:
            known = ", ".join(w.name for w in chosen)
            parser.error(f"no workload {', '.join(sorted(unknown))}; there are: {known}")
        chosen = [workload for workload in chosen if workload.name in names]
    FOLDER.mkdir(exist_ok=True)
    if arguments.prepare:
        make_data(chosen)
        return 0
    pythons: dict[str, Path] = {}
    try:
        pythons["opendeviationbar"] = peer_python()
    except PeerUnavailableError as error:
        print(f"opendeviationbar is left out: {error}", file=sys.stderr)
        pythons["opendeviationbar"] = Path()
    outcomes: list[Outcome] = []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for workload in chosen:
        outcomes.append(measure(workload, pythons, arguments.runs))
        print(table(outcomes[-1]), flush=True)
        # After each workload, so that a run cut short leaves what it has.
        report = markdown(outcomes, arguments.runs)
        (arguments.out / "benchmarks.md").write_text(report, encoding="utf-8")
        (arguments.out / "benchmarks.json").write_text(
            as_json(outcomes, arguments.runs, rows < _FULL_ROWS), encoding="utf-8"
        )
    from benches import chart  # altair takes a while to import, and no child must inherit it

    charts = chart.save(outcomes, arguments.out)
    if arguments.publish:
        publish(markdown(outcomes, arguments.runs), charts)
    print(f"\n{goals_table(outcomes)}\n\nreport: {arguments.out}/benchmarks.md and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
