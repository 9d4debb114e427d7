"""Durable files: there as a whole or not at all, and still there after a power cut.

A file is written under a temporary name in its own directory, forced to the disk, and given its
name in one step. Local paths only: what looks like a URL is refused by `local_path`, for Python
would take it for a folder of that name.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = [
    "at_exit_removed",
    "discard",
    "discard_all",
    "kept",
    "local_path",
    "publish",
    "sync_directory",
    "sync_file",
    "temporary_path",
    "whole_file",
    "write_text",
]

# Two characters at least, as a single one is a drive of Windows. One slash is enough, as
# Path("s3://bucket") collapses to "s3:/bucket".
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):[/\\]")

_NAME_SHOWN: Final = 40


def local_path(path: str | os.PathLike[str], name: str = "path") -> Path:
    """Return a path that can be written to, with a leading ``~`` expanded.

    Parameters
    ----------
    path
        What the user gave.
    name
        The parameter, for the message.

    Raises
    ------
    ValueError
        For a URL of any scheme, and for an empty path.
    TypeError
        For what is not a path.
    """
    text = os.fspath(path)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{name} must be a str or a pathlib.Path, got {path!r}"
        raise TypeError(msg)
    if not text:
        msg = f"{name} must not be empty; for the current directory write '.'"
        raise ValueError(msg)
    url = _URL.match(text)
    if url:
        msg = (
            f"{name} must be a local path, got {text!r}: writing to {url[1]}: URLs is not "
            "supported; write to a local directory and copy it, or mount the remote one"
        )
        raise ValueError(msg)
    # As Polars does. Only the user's own: '~name' may be the name of a file.
    return Path(text).expanduser() if re.match(r"~(?:[/\\]|$)", text) else Path(text)


def temporary_path(path: Path, directory: Path | None = None) -> Path:
    """Return a name for a file that is to become ``path``, which nobody else can have.

    Not by the process id alone: two threads share it, and so may processes in two containers.

    Parameters
    ----------
    directory
        Where it lies; by default beside ``path``.
    """
    name = f".{path.name[:_NAME_SHOWN]}.{uuid.uuid4().hex}.tmp"
    temporary = (path.parent if directory is None else directory) / name
    return at_exit_removed(temporary)


def discard(path: Path) -> None:
    """
    Remove a temporary file or folder, if it is there.

    And once more at exit: a query that Ctrl-C has ended may yet come to open its file.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a folder: what it raises differs between systems
        shutil.rmtree(path, ignore_errors=True)


def at_exit_removed(path: Path) -> Path:
    """Have a file or folder removed with the process, unless it is `kept` or gone by then."""
    _temporary.add(path.absolute())
    return path


def kept(path: Path) -> None:
    """Do not remove a file or folder any more, as it has got its own name or is gone for good."""
    _temporary.discard(path.absolute())


def discard_all() -> None:
    """Remove every temporary file that this process has not come to remove.

    Ctrl-C may strike anywhere, between a file and the block that removes it too.
    """
    if os.getpid() == _owner:  # a forked child has the names, but not the files
        for path in list(_temporary):
            discard(path)


_temporary: set[Path] = set()
_owner = os.getpid()
atexit.register(discard_all)


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Generator[Path]:
    """Give a temporary path to write to; at the end of the block the file gets its own name.

    If the block raises, nothing happens to ``path``, and the temporary file is gone.

    Parameters
    ----------
    replace
        Whether a file that is there already is replaced.

    Raises
    ------
    FileExistsError
        If there is such a file, and it is not to be replaced.
    """
    temporary = temporary_path(path)
    try:
        yield temporary
        publish(temporary, path, replace=replace)
        kept(temporary)
    finally:
        # Ctrl-C may come twice in a row, from Polars and from Python.
        try:
            discard(temporary)
        except KeyboardInterrupt:
            discard(temporary)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, replacing the one that is there."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def publish(temporary: Path, path: Path, *, replace: bool = True) -> None:
    """Force a finished file to the disk and give it its name in one step.

    Both must lie on one file system. See `whole_file` for the parameters.
    """
    sync_file(temporary)
    if replace:
        temporary.replace(path)
    else:
        # A link, as a rename would replace what somebody else has just put there.
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            # A file system without links: as good, where a lock keeps others away.
            if path.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
            temporary.rename(path)
        else:
            temporary.unlink()
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Force a file's contents to the disk."""
    # Windows can only sync what was opened for writing.
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_directory(directory: Path) -> None:
    """Force a directory's list of names to the disk."""
    if os.name == "nt":  # Windows cannot open a directory, and needs no such sync
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
