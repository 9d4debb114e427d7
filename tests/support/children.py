"""Tests that need a process of their own: other thread counts, peak memory, interrupts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["REPOSITORY", "child_environment", "run_child", "without_swallowed_interrupts"]

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


_SWALLOWED = re.compile(
    r"Exception ignored in: [^\n]*\n(?:Traceback[^\n]*\n(?:  [^\n]*\n)*)?\s*KeyboardInterrupt:? ?\n"
)


def without_swallowed_interrupts(error: str) -> str:
    """What was printed but for Python's own word that Ctrl-C struck a finalizer.

    The second Ctrl-C of a pair (Polars raises one, Python the other) may come in a `__del__` or the
    callback of a weak reference of any library. Python then prints this and goes on; no program
    can prevent it, and nothing is left behind by it, which is what these tests look for.
    """
    return _SWALLOWED.sub("", error)
