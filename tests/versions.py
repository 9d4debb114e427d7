"""Run the tests on the lowest and the newest Python, Polars and extras.

``python -m tests.versions`` (``make test-versions``) runs all combinations; with ``--lowest`` only
that of the lowest versions of all three. Arguments after ``--`` go to pytest. All share the
compiled module that lies in the package: built for the stable ABI, it must load in each of these
Pythons.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
ENVIRONMENTS = REPOSITORY / ".versions"


@dataclass(frozen=True)
class Corner:
    """An interpreter with versions of Polars and of the extras.

    Attributes
    ----------
    python
        The interpreter.
    version
        Its version, such as (3, 11).
    lowest_polars, lowest_extras
        Whether they have the lowest version that ``pyproject.toml`` allows, or the newest there is.
    """

    python: str
    version: tuple[int, int]
    lowest_polars: bool
    lowest_extras: bool

    def __str__(self) -> str:
        python = ".".join(map(str, self.version))
        words = {True: "lowest", False: "newest"}
        return (
            f"Python {python}, {words[self.lowest_polars]} Polars, "
            f"{words[self.lowest_extras]} extras"
        )

    def requirements(self, project: Project) -> list[str]:
        """What to install, as pip wants it."""
        polars = map(lowest, project.core) if self.lowest_polars else project.core
        extras = map(lowest, project.extras) if self.lowest_extras else project.extras
        return [*polars, *extras, *project.test]

    def prepare(self, project: Project) -> str:
        """Make or refresh the environment and return its interpreter."""
        name = re.sub(r"[^a-z0-9.]+", "-", str(self).lower())
        folder = ENVIRONMENTS / name
        python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        if not python.exists():
            subprocess.run([self.python, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        upgrade = ["--upgrade", "--upgrade-strategy", "eager"]
        subprocess.run([*pip, *upgrade, *self.requirements(project)], check=True)
        return str(python)


class Project:
    """What ``pyproject.toml`` says of versions.

    Attributes
    ----------
    pythons
        The versions of Python that the classifiers name, lowest first.
    core, extras, test
        Requirements of the package, of all of its extras, and of its tests.
    """

    def __init__(self, text: str) -> None:
        content = tomllib.loads(text)
        project: dict[str, Any] = content["project"]
        named = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
        found = map(named.fullmatch, project["classifiers"])
        self.pythons = sorted((3, int(match[1])) for match in found if match)
        groups = [*project["optional-dependencies"].values(), content["dependency-groups"]["test"]]
        *extras, test = ([one for one in group if not is_own(one)] for group in groups)
        self.core: list[str] = project["dependencies"]
        self.extras = [one for group in extras for one in group]
        self.test = test


def is_own(requirement: str) -> bool:
    """Whether a requirement is one of this package's own extras."""
    return requirement.startswith("rangebar_polars")


def lowest(requirement: str) -> str:
    """Turn ``name>=1,<2`` into ``name==1``.

    Raises
    ------
    ValueError
        If the requirement has no lower bound.
    """
    pinned, count = re.subn(r">=([^,;]+)[^;]*", r"==\1", requirement)
    if count != 1:
        msg = f"{requirement!r} in pyproject.toml needs one lower bound"
        raise ValueError(msg)
    return pinned


def interpreters() -> dict[tuple[int, int], str]:
    """Find an interpreter of each version of CPython: on the path, under pyenv, and this one."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    folders = map(Path, os.environ.get("PATH", "").split(os.pathsep))
    candidates = itertools.chain(
        (Path(sys.executable),),
        sorted(pyenv.glob("versions/3.*/bin/python")),
        (file for folder in folders for file in sorted(folder.glob("python3.[0-9][0-9]"))),
    )
    found: dict[tuple[int, int], str] = {}
    for version, python in filter(None, map(asked, candidates)):
        found.setdefault(version, python)
    return found


def asked(python: Path) -> tuple[tuple[int, int], str] | None:
    """Return version and base interpreter of a Python; None if it does not run."""
    script = (
        "import sys; assert sys.implementation.name == 'cpython';"
        "print(*sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
    )
    try:
        done = subprocess.run(
            [str(python), "-c", script], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None  # a file of another kind, or a pyenv shim for a version that is not chosen
    major, minor, path = done.stdout.rstrip("\n").split(" ", 2)
    return (int(major), int(minor)), path


def chosen(project: Project) -> list[tuple[tuple[int, int], str]]:
    """Choose the lowest and the newest supported Python; say what is missing."""
    found = interpreters()
    here = [version for version in project.pythons if version in found]
    if not here:
        sys.exit(f"no Python here is one of {', '.join(map(dotted, project.pythons))}")
    for wanted, instead in zip(ends(project.pythons), ends(here), strict=False):
        if wanted != instead:
            print(f"Python {dotted(wanted)} is not on this machine: {dotted(instead)} instead")
    return [(version, found[version]) for version in ends(here)]


def ends(versions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the first and the last, or the only one."""
    return versions[:1] + versions[1:][-1:]


def dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def corners(project: Project) -> Iterator[Corner]:
    """Yield all combinations, that of the lowest versions first."""
    for (version, python), polars, extras in itertools.product(
        chosen(project), (True, False), (True, False)
    ):
        yield Corner(python, version, polars, extras)


def main() -> int:
    """Run the tests in every corner that is asked for; return 1 if they fail in any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lowest", action="store_true", help="the lowest versions alone")
    parser.add_argument("pytest", nargs="*", help="arguments for pytest, after --")
    options = parser.parse_args()
    if not any((REPOSITORY / "rangebar_polars").glob("_internal*")):
        sys.exit("build the package first: make test, or maturin develop --release")
    project = Project((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    every = list(corners(project))
    results: dict[Corner, str] = {}
    for corner in every[:1] if options.lowest else every:
        print(f"\n=== {corner} ===", flush=True)
        python = corner.prepare(project)
        done = subprocess.run(
            [python, "-m", "pytest", "-q", *options.pytest], cwd=REPOSITORY, check=False
        )
        results[corner] = "passed" if done.returncode == 0 else f"failed ({done.returncode})"
    print("\n" + "\n".join(f"{corner}: {result}" for corner, result in results.items()))
    return int(any(result != "passed" for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
