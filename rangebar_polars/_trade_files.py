"""Files of trades: which ones are meant, and what kind they are."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from os import PathLike, fspath
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ["FileKind", "Source", "kind_of", "trade_files"]

FileKind: TypeAlias = Literal["csv", "ipc", "parquet", "zip"]
Source: TypeAlias = "str | PathLike[str] | Sequence[str | PathLike[str]]"
_KINDS: Final[dict[str, FileKind]] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "csv",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".zip": "zip",
}
_COMPRESSED: Final = {".gz", ".zst"}


def trade_files(source: Source) -> list[Path]:
    """
    Files in the order given; a pattern's in the order of their names.

    A path that is there is that file, whatever brackets are in its name.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        Where there is no such file.
    ValueError
        For a URL, and for no files at all.
    """
    paths = [source] if isinstance(source, (str, PathLike)) else list(source)
    if not paths:
        msg = "no files of trades were given"
        raise ValueError(msg)
    found: list[Path] = []
    for given in paths:
        name = fspath(given)
        if "://" in name:
            msg = f"{name!r} is a URL, but only local files are read: scan it with Polars"
            raise ValueError(msg)
        path = Path(name)
        if path.is_dir():
            msg = f"{name} is a folder: name its files, such as '{path}/*.parquet'"
            raise IsADirectoryError(msg)
        if path.exists():
            found.append(path)
            continue
        matches = sorted(glob(name, recursive=True)) if has_magic(name) else []  # noqa: PTH207
        if not matches:
            msg = f"no file matches {name}" if has_magic(name) else f"no such file: {name}"
            raise FileNotFoundError(msg)
        found += map(Path, matches)
    return found


def kind_of(path: Path) -> FileKind:
    """
    What kind of file a suffix names; compressed CSV is CSV.

    Raises
    ------
    ValueError
        Where it names none.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in _COMPRESSED:
        kind = _KINDS.get(suffixes[0]) if len(suffixes) == 2 else None
        if kind == "csv":
            return kind
    elif suffixes and suffixes[-1] in _KINDS:
        return _KINDS[suffixes[-1]]
    msg = (
        f"{path}: cannot tell what kind of file this is; use .parquet, .csv, .csv.gz, .csv.zst, "
        ".arrow, .feather, .ipc, or .zip for Binance's archive"
    )
    raise ValueError(msg)
