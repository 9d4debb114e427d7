"""The one CSV in a zip, as blocks of whole lines."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from rangebar_polars.sources.binance.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from io import BufferedIOBase
    from pathlib import Path

__all__ = ["csv_blocks", "open_csv"]

BLOCK = 2 << 20
"""Bytes of a block: large enough for the parser's pace, small enough to hold several."""

_PIECE = 256 << 10
_MAX_RATIO = 100  # trades as text compress 4 to 12 times, a bomb a thousand times
_MAX_LINE = 64 << 10
_ENCRYPTED = 0x1


@contextmanager
def open_csv(path: Path, name: str) -> Generator[BufferedIOBase]:
    """Open the CSV inside the zip at ``path``, which is called ``name`` in errors.

    Raises
    ------
    ArchiveError
        Where it is no zip, holds anything but one CSV, is encrypted, or claims a size out of all
        proportion (a zip bomb). What is read is bounded by the claim, and checked by its CRC.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) != 1:
                names = ", ".join(member.filename for member in members[:3])
                raise ArchiveError(name, f"expected one CSV in it, found {len(members)}: {names}")
            member = members[0]
            if not member.filename.lower().endswith(".csv"):
                raise ArchiveError(name, f"expected a CSV in it, found {member.filename!r}")
            if member.flag_bits & _ENCRYPTED:
                raise ArchiveError(name, "it is encrypted")
            if member.file_size > _MAX_RATIO * max(member.compress_size, 1):
                raise ArchiveError(
                    name,
                    f"refused as a zip bomb: {member.compress_size} bytes claim to hold "
                    f"{member.file_size}",
                )
            with archive.open(member) as csv:
                yield cast("BufferedIOBase", csv)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArchiveError(name, f"not a readable zip: {error}") from error


def csv_blocks(csv: BufferedIOBase, name: str, size: int = BLOCK) -> Iterator[bytes]:
    """Yield the file in blocks of about ``size`` bytes that end with a line."""
    buffer = bytearray(size)
    have, more = 0, True
    while more:
        if have == len(buffer):  # not one whole line in it
            if have > _MAX_LINE:
                raise ArchiveError(name, f"a line of more than {_MAX_LINE} bytes")
            buffer.extend(bytes(size))
        # In small pieces: what a zip gives is copied, and large copies would leave the C heap in
        # fragments that add up over a year of files.
        while more and have < len(buffer):
            with memoryview(buffer) as view:
                count = csv.readinto(view[have : have + _PIECE])
            have, more = have + count, count > 0
        end = buffer.rfind(b"\n", 0, have) + 1 if more else have
        if end:
            with memoryview(buffer) as view:
                block = bytes(view[:end])
            yield block
            buffer[: have - end] = buffer[end:have]
            have -= end
