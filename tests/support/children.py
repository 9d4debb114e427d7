"""Tests that need a process of their own: other thread counts, peak memory, interrupts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["REPOSITORY", "child_environment", "run_child"]

REPOSITORY = Path(__file__).resolve().parents[2]


def child_environment(**variables: str) -> dict[str, str]:
    """This process's environment, with more variables, and the repository importable."""
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **variables}


def run_child(script: str, *arguments: str, **variables: str) -> str:
    """Run a Python script in a fresh process and return what it printed.

    Raises
    ------
    AssertionError
        Where the script fails, with what it wrote to its standard error.
    """
    finished = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=child_environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
