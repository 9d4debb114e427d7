"""Which source files are in the store, and the hash each had when it was stored."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from rangebar_polars.exceptions import RangeBarError
from rangebar_polars.store.provenance import JOINT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Origin", "from_text", "read_manifest", "to_text"]

_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """The file that trades came from.

    Attributes
    ----------
    name : str
        File name, such as ``BTCUSDT-aggTrades-2024-01-05.zip``.
    sha256 : str
        Its hash, 64 hex digits.
    first_day, last_day : date
        The days it is about.

    Raises
    ------
    ValueError
        For a name that is empty or more than one line.
    """

    name: str
    sha256: str
    first_day: date
    last_day: date

    def __post_init__(self) -> None:
        if not self.name or JOINT in self.name:
            msg = f"the name of an origin must be one line that is not empty, got {self.name!r}"
            raise ValueError(msg)


def to_text(origins: dict[str, Origin]) -> str:
    """Return the manifest as JSON."""
    files = {name: {**asdict(origin)} for name, origin in sorted(origins.items())}
    return json.dumps({"format": _FORMAT, "files": files}, default=str, indent=1)


def from_text(text: str) -> dict[str, Origin]:
    """Read what `to_text` wrote; raises KeyError, TypeError or ValueError otherwise."""
    note: Any = json.loads(text)
    if note["format"] != _FORMAT:
        msg = f"format {note['format']}, this version reads {_FORMAT}"
        raise ValueError(msg)
    origins: dict[str, Origin] = {}
    for name, entry in dict[str, Any](note["files"]).items():
        origin = Origin(
            entry["name"],
            entry["sha256"],
            date.fromisoformat(entry["first_day"]),
            date.fromisoformat(entry["last_day"]),
        )
        if origin.name != name or not isinstance(origin.sha256, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            msg = f"the entry of {name!r} names another file, or its hash is not a text"
            raise ValueError(msg)
        origins[name] = origin
    return origins


def read_manifest(path: Path) -> dict[str, Origin]:
    """Read the manifest; there is none before the first source file was stored.

    Raises
    ------
    RangeBarError
        Where the file is not readable as a manifest.
    """
    try:
        return from_text(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        msg = f"{path}: not a manifest of this store, or damaged: {error}"
        raise RangeBarError(msg) from error
