"""Tables in Markdown, everything in JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benches.datasets import Dataset
from benches.measure import Series
from benches.workloads import Goal, Workload

_AGREEMENT = """\
Compared on these very trades before the clock ran; a difference would have ended the run. Times,
prices and counts are equal to the bit, sums of floats to 1e-9."""


@dataclass(frozen=True)
class Outcome:
    """What came of a workload.

    Attributes
    ----------
    workload
        The workload.
    series
        Measurements by case label; a case that could not run is missing.
    skipped
        Why, by case label.
    agreement
        What was compared before the clock ran.
    """

    workload: Workload
    series: Mapping[str, Series]
    skipped: Mapping[str, str]
    agreement: Sequence[str]


def machine() -> dict[str, str | int]:
    """Describe what the figures were measured on.

    Returns
    -------
    dict
        Processor, cores, system, and versions.
    """
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    facts: dict[str, str | int] = {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 0,
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    for package in ("polars", "rangebar_polars", "numba", "numpy"):
        facts[package] = _version(package)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if commit.returncode == 0:
        facts["commit"] = commit.stdout.strip()
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


_COLUMNS = (
    "trades",
    "runs",
    "median s",
    "min - max s",
    "CPU s",
    "million trades/s",
    "ratio",
    "peak MB",
    "bars",
)


def table(outcome: Outcome) -> str:
    """Return a workload's table.

    Parameters
    ----------
    outcome
        The measurements.

    Returns
    -------
    str
        Markdown, with ratios to the scan above, or to the first case where there is none.
    """
    lines = [
        f"### {outcome.workload.title}",
        "",
        f"| {' | '.join(['', *_COLUMNS])} |",
        f"| --- |{' ---: |' * len(_COLUMNS)}",
    ]
    base = outcome.series.get(outcome.workload.cases[0].label)
    for case in outcome.workload.cases:
        if not case.timed:
            continue
        series = outcome.series.get(case.label)
        if series is not None and case.contender == "scan" and case.like_ours:
            base = series
        if series is None:
            cells = ["-", "-", outcome.skipped.get(case.label, "not run"), *["-"] * 5]
        else:
            low, high = series.spread
            cells = [
                str(len(series.runs)),
                f"{series.seconds:.3f}",
                f"{low:.3f} - {high:.3f}",
                f"{series.cpu_seconds:.3f}",
                f"{case.data.rows / series.seconds / 1e6:,.1f}",
                "-" if base is None else f"{series.seconds / base.seconds:.2f}",
                f"{series.peak_mb:,.0f}",
                f"{series.bars:,}" if series.bars else "",
            ]
        lines.append(f"| {' | '.join([case.label, f'{case.data.rows / 1e6:g}M', *cells])} |")
    return "\n".join(lines)


def _figure(outcomes: Sequence[Outcome], here: str, label: str, figure: str) -> float | None:
    workload, _, rest = label.rpartition("/")
    for outcome in outcomes:
        if outcome.workload.name == (workload or here) and rest in outcome.series:
            series = outcome.series[rest]
            return series.seconds if figure == "seconds" else series.peak_mb
    return None


def judged(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, Goal, float | None]]:
    """Work out the figure of every goal.

    Parameters
    ----------
    outcomes
        All measurements of this run.

    Yields
    ------
    tuple of str, Goal, float or None
        The workload's name, the goal, and its figure; None where a case did not run.
    """
    for outcome in outcomes:
        name = outcome.workload.name
        for goal in outcome.workload.goals:
            value = _figure(outcomes, name, goal.of, goal.figure)
            if goal.to is not None and value is not None:
                base = _figure(outcomes, name, goal.to, goal.figure)
                value = None if base is None else value / base
            yield name, goal, value


def goals_table(outcomes: Sequence[Outcome]) -> str:
    """Return the table of demands and what was measured.

    Parameters
    ----------
    outcomes
        All measurements of this run.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "### What the project demands of itself",
        "",
        "| workload | demand | limit | measured | reached |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for name, goal, value in judged(outcomes):
        limit = f"{'<=' if goal.kind == 'at most' else '>='} {goal.limit:g}"
        if value is None:
            lines.append(f"| {name} | {goal.what} | {limit} | - | not run |")
            continue
        reached = value <= goal.limit if goal.kind == "at most" else value >= goal.limit
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        lines.append(
            f"| {name} | {goal.what} | {limit} | {shown} | {'yes' if reached else '**no**'} |"
        )
    return "\n".join(lines)


def markdown(outcomes: Sequence[Outcome], runs: int) -> str:
    """Return the whole report.

    Parameters
    ----------
    outcomes
        All measurements of this run.
    runs
        Rounds that were made.

    Returns
    -------
    str
        Markdown.
    """
    facts = machine()
    about = ", ".join(f"{name} {value}" for name, value in facts.items())
    parts = [
        f"Medians of alternating runs in {runs} rounds, each in a process of its own. {about}.",
        goals_table(outcomes),
        *(table(outcome) for outcome in outcomes),
        "### Agreement",
        _AGREEMENT,
        "\n".join(
            f"- {outcome.workload.name}: {line}"
            for outcome in outcomes
            for line in outcome.agreement
        ),
    ]
    return "\n\n".join(parts) + "\n"


def as_json(outcomes: Sequence[Outcome], runs: int, quick: bool) -> str:
    """Return every single measurement.

    Parameters
    ----------
    outcomes
        All measurements of this run.
    runs
        Rounds that were made.
    quick
        Whether the small sizes were run.

    Returns
    -------
    str
        JSON.
    """
    datasets: dict[Dataset, dict[str, int | float | str]] = {}
    cases: list[dict[str, object]] = []
    for outcome in outcomes:
        for case in outcome.workload.cases:
            if not case.timed:
                continue
            series = outcome.series.get(case.label)
            if case.data.path.exists():
                datasets[case.data] = case.data.describe()
            cases.append(
                {
                    "workload": outcome.workload.name,
                    "label": case.label,
                    "contender": case.contender,
                    "rows": case.data.rows,
                    "symbols": case.data.symbols,
                    "row_group": case.data.row_group,
                    "columns": len(case.columns),
                    "thresholds": list(case.thresholds),
                    "skipped": outcome.skipped.get(case.label),
                    "median_seconds": None if series is None else series.seconds,
                    "median_cpu_seconds": None if series is None else series.cpu_seconds,
                    "median_peak_mb": None if series is None else series.peak_mb,
                    "runs": [] if series is None else [asdict(run) for run in series.runs],
                }
            )
    goals = [{"workload": name, **asdict(goal), "value": v} for name, goal, v in judged(outcomes)]
    return json.dumps(
        {
            "machine": machine(),
            "quick": quick,
            "rounds": runs,
            "datasets": list(datasets.values()),
            "goals": goals,
            "cases": cases,
        },
        indent=1,
    )
