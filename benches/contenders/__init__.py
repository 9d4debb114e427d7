"""The programs that are compared. Each is a class that takes a job; only `run` is timed.

The modules are imported by name, and only the one that is needed: a process must not pay for the
packages of another contender, and the peer's process has not got them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import polars as pl

    from benches.jobs import Job

#: Name in the tables -> module and class.
CONTENDERS = {
    "scan": ("scan", "Scan"),
    "streaming": ("streaming", "Streaming"),
    "streaming sink": ("streaming", "StreamingSink"),
    "expression": ("expression", "Expression"),
    "numba": ("numba_loop", "NumbaLoop"),
    "polars slices": ("polars_slices", "PolarsSlices"),
    "opendeviationbar": ("peer", "Peer"),
    "memory: read": ("in_memory", "ReadOnce"),
    "memory: frame": ("in_memory", "Frame"),
    "memory: expression": ("in_memory", "FrameExpression"),
}


class Contender(Protocol):
    """A program with all its preparations (imports, compiling, data "in memory") made."""

    def run(self) -> None:
        """Do the work that is timed, and keep the result."""

    def bars(self) -> pl.DataFrame | None:
        """Return the bars of the run under this project's column names; None if it makes none."""
        ...


def load(job: Job) -> Contender:
    """Import and prepare the contender that a job names.

    Parameters
    ----------
    job
        The job.

    Returns
    -------
    Contender
        Ready to run.
    """
    module_name, class_name = CONTENDERS[job.contender]
    module = importlib.import_module(f"{__name__}.{module_name}")
    return cast("Contender", getattr(module, class_name)(job))
