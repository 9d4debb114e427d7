"""Run jobs, each in a process of its own, in turns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benches.jobs import Job, Measurement


class JobFailedError(Exception):
    """A contender's process ended with an error; the message holds the end of its stderr."""


@dataclass
class Series:
    """The repeated measurements of one job.

    Attributes
    ----------
    runs
        In the order in which they were made.
    """

    runs: list[Measurement] = field(default_factory=list[Measurement])

    @property
    def seconds(self) -> float:
        """Median wall time."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """Median processor time."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def spread(self) -> tuple[float, float]:
        """Shortest and longest wall time."""
        times = [run.seconds for run in self.runs]
        return min(times), max(times)

    @property
    def peak_mb(self) -> float:
        """Median peak of the resident size, in 10**6 bytes."""
        return statistics.median(run.peak_mb for run in self.runs)

    @property
    def import_mb(self) -> float:
        """Median resident size before the run."""
        return statistics.median(run.import_mb for run in self.runs)

    @property
    def bars(self) -> int:
        """How many bars came out of each run."""
        return self.runs[0].bars


def run_job(job: Job, python: Path, environment: Mapping[str, str]) -> Measurement:
    """Run one job in a new process.

    Parameters
    ----------
    job
        What to run.
    python
        The interpreter.
    environment
        Variables to set besides the inherited ones.

    Returns
    -------
    Measurement
        What it took.

    Raises
    ------
    JobFailedError
        If the process fails, or is killed (for want of memory, say).
    """
    done = subprocess.run(
        [str(python), "-m", "benches.worker", job.to_json()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-5:])
        msg = f"{job.contender}: exit code {done.returncode}\n{tail}"
        raise JobFailedError(msg)
    return Measurement.from_json(done.stdout.splitlines()[-1])


def run_alternating(
    jobs: Sequence[tuple[str, Job, Path, Mapping[str, str]]], runs: int
) -> dict[str, Series]:
    """Run all jobs once, then all again, so that a slow minute of the machine hits each alike.

    Parameters
    ----------
    jobs
        Label, job, interpreter and environment of each contender. One that stands there several
        times runs as often in each round.
    runs
        How many rounds.

    Returns
    -------
    dict of str to Series
        The measurements by label.
    """
    series = {label: Series() for label, *_ in jobs}
    for number in range(runs):
        # Every other round backwards: whoever runs after a hungry neighbour changes, too.
        for label, job, python, environment in jobs if number % 2 == 0 else reversed(jobs):
            series[label].runs.append(run_job(job, python, environment))
        print(f"  round {number + 1} of {runs}", file=sys.stderr, flush=True)
    return series
