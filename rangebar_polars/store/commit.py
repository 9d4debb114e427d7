"""All or nothing: how staged files take their places.

A write stages its files in a folder beside the data, on the same file system. The single
instant at which it happens is the rename of ``commit.json`` into that folder. A process killed
before it has changed nothing, and the next one clears the folder away; one killed after it has
finished, but for renames that the next one to look carries out. Readers and writers alike look.
"""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from rangebar_polars._files import (
    at_exit_removed,
    discard,
    kept,
    sync_directory,
    write_text,
)
from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.typed import acquire

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from rangebar_polars.store.layout import Series

__all__ = ["Change", "commit", "locked", "needs_recovery", "staging_folder"]

_COMMIT = "commit.json"
_OWNER = "owner.lock"
_PREFIX = "staging-"


class Change:
    """What a commit will do: put staged files in place, and remove others."""

    def __init__(self, series: Series) -> None:
        self._root = series.root
        self.moves: list[tuple[str, str]] = []
        self.removals: list[str] = []

    def move(self, staged: Path, target: Path) -> None:
        """Let ``staged`` replace ``target``."""
        self.moves.append((self._relative(staged), self._relative(target)))

    def remove(self, target: Path) -> None:
        """Let ``target`` vanish."""
        self.removals.append(self._relative(target))

    def _relative(self, path: Path) -> str:
        # Relative, so that a store that was moved between kill and recovery still recovers.
        return path.relative_to(self._root).as_posix()

    def to_json(self) -> str:
        """Return the text of ``commit.json``."""
        return json.dumps({"moves": self.moves, "removals": self.removals})


def _read_change(series: Series, folder: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Read which files a commit moves where, and which it removes.

    Somebody else may have written the store, or this file, and looking at it carries changes
    out: nothing is touched but staged files, and the data and manifest of this very series.

    Raises
    ------
    RangeBarError
        Names the file, where it is damaged or wants anything else.
    """
    path = folder / _COMMIT
    try:
        note: Any = json.loads(path.read_text(encoding="utf-8"))
        moves = [(series.root / staged, series.root / target) for staged, target in note["moves"]]
        removals = [series.root / target for target in note["removals"]]
        for staged, _ in moves:
            if staged.parent != folder or staged.name in {"", ".", ".."}:
                msg = f"it moves {staged}, which was not staged beside it"
                raise ValueError(msg)
        for target in (*(target for _, target in moves), *removals):
            if not series.owns(target):
                msg = f"it changes {target}, which is not a file of '{series.symbol}'"
                raise ValueError(msg)
            # Names alone do not tell: a folder may be a link.
            if not target.parent.resolve().is_relative_to(series.root.resolve()):
                msg = f"it changes {target}, which a link leads out of the store"
                raise ValueError(msg)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        msg = (
            f"{path}: damaged, or not a commit of this store, and nothing was done about it: "
            f"{error}; if nothing else writes to the store, delete its folder"
        )
        raise RangeBarError(msg) from error
    return moves, removals


@contextmanager
def locked(series: Series) -> Generator[None]:
    """Hold the one lock of a series, with every earlier change carried out."""
    series.meta.mkdir(parents=True, exist_ok=True)
    with FileLock(series.lock):
        for folder in _stagings(series):
            if (folder / _COMMIT).exists():
                _carry_out(series, folder)
            elif _ownerless(folder):
                shutil.rmtree(folder, ignore_errors=True)
        yield


def needs_recovery(series: Series) -> bool:
    """Whether a change was decided but may not be carried out yet."""
    return any((folder / _COMMIT).exists() for folder in _stagings(series))


@contextmanager
def staging_folder(series: Series) -> Generator[Path]:
    """Make a folder to stage files in; it is gone afterwards, whatever happens."""
    folder = series.meta / f"{_PREFIX}{uuid.uuid4().hex}"
    owner = FileLock(folder / _OWNER, thread_local=False)
    at_exit_removed(folder)
    try:
        with locked(series):  # or another process would take the new folder for a dead one's
            folder.mkdir(parents=True)
            acquire(owner)
        yield folder
        kept(folder)
    finally:
        # Ctrl-C may come twice in a row, from Polars and from Python.
        try:
            _leave(folder, owner)
        except KeyboardInterrupt:
            _leave(folder, owner)
            raise


def _leave(folder: Path, owner: FileLock) -> None:
    owner.release()
    if not (folder / _COMMIT).exists():
        discard(folder)


def commit(series: Series, folder: Path, change: Change) -> None:
    """Make ``change`` happen. Call with the series locked and every staged file synced."""
    kept(folder)  # from here on it happens, if need be by the next one to look
    try:
        write_text(folder / _COMMIT, change.to_json())
        _carry_out(series, folder)
    except KeyboardInterrupt:
        # What was decided is done, and what is done is cleared away: some renames, no more.
        if (folder / _COMMIT).exists():
            _carry_out(series, folder)
        raise


def _carry_out(series: Series, folder: Path) -> None:
    moves, removals = _read_change(series, folder)
    touched: set[Path] = set()
    for staged, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        if staged.exists():  # or it was moved before the kill
            staged.replace(target)
        touched.add(target.parent)
    for target in removals:
        target.unlink(missing_ok=True)
        touched.add(target.parent)
    for parent in touched:
        for folder_above in (parent, *parent.parents):
            if folder_above.is_dir():
                sync_directory(folder_above)
            if folder_above == series.root:
                break
        _drop_empty(parent, series.root)
    # First the note, then the rest: a folder without it is rubbish to whoever finds it.
    (folder / _COMMIT).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def _drop_empty(folder: Path, root: Path) -> None:
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _stagings(series: Series) -> list[Path]:
    if not series.meta.is_dir():
        return []
    return sorted(
        p for p in series.meta.iterdir() if p.name.startswith(_PREFIX) and not p.is_symlink()
    )


def _ownerless(folder: Path) -> bool:
    owner = FileLock(folder / _OWNER, thread_local=False)
    try:
        acquire(owner, 0)
    except Timeout:
        return False
    except OSError:
        return not folder.exists()
    owner.release()
    return True
