"""An environment of its own for opendeviationbar 12.39.0, which needs Python 3.13 and pandas."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benches.datasets import FOLDER

_REQUIREMENTS = ("opendeviationbar==12.39.0", "polars<2")
_CHOICE = "BENCH_PYTHON313"


class PeerUnavailableError(Exception):
    """The peer cannot run here; the message says why."""


def peer_python() -> Path:
    """Return the interpreter of the peer's environment, which is made if it is not there.

    Returns
    -------
    pathlib.Path
        A Python that can import opendeviationbar.

    Raises
    ------
    PeerUnavailableError
        If no Python 3.13 is found, or the packages cannot be installed.
    """
    environment = FOLDER / "peer-env"
    python = environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if _can_import(python):
        return python
    base = next(_python313(), None)
    if base is None:
        msg = f"no Python 3.13 found (name one in {_CHOICE})"
        raise PeerUnavailableError(msg)
    print(f"making {environment} with {base} ...", flush=True)
    for command in (
        [base, "-m", "venv", "--clear", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", *_REQUIREMENTS],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            msg = f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}"
            raise PeerUnavailableError(msg)
    if not _can_import(python):
        msg = f"installed, but {python} cannot import it"
        raise PeerUnavailableError(msg)
    return python


def _python313() -> Iterator[str]:
    """Look in the usual places; a pyenv shim on the path may exist and yet not run."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    candidates = [
        os.environ.get(_CHOICE),
        sys.executable,
        shutil.which("python3.13"),
        *(str(p) for p in sorted(pyenv.glob("versions/3.13*/bin/python"))),
    ]
    for candidate in candidates:
        if candidate and _runs(
            [candidate, "-c", "import sys; sys.exit(sys.version_info[:2] != (3, 13))"]
        ):
            yield candidate


def _can_import(python: Path) -> bool:
    return python.exists() and _runs([str(python), "-c", "import opendeviationbar, polars"])


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
