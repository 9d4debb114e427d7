"""The one CSV in a zip, as blocks of whole lines."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, Any, Protocol

from rangebar_polars.sources.binance.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

__all__ = ["csv_blocks", "open_csv"]

BLOCK = 2 << 20
"""Bytes of a block: large enough for the parser's pace, small enough to hold several."""

_PIECE = 256 << 10
_MAX_RATIO = 100  # trades as text compress 4 to 12 times, a bomb a thousand times
_MAX_LINE = 64 << 10
_MAX_DIRECTORY = 1 << 20
_ENCRYPTED = 0x1
_SHOWN = 100
_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}


class _Readable(Protocol):
    def readinto(self, buffer: Any, /) -> int | None: ...


class _Archive(io.BufferedReader):
    """A zip on disk, of which only so much is read at a time: `zipfile` reads directories whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _MAX_DIRECTORY + 1 if size is None or size < 0 else size
        read = super().read(min(wanted, _MAX_DIRECTORY + 1))
        if len(read) > _MAX_DIRECTORY:
            msg = f"its directory has more than {_MAX_DIRECTORY} bytes"
            raise zipfile.BadZipFile(msg)
        return read


class _Member(io.RawIOBase):
    """The CSV in a zip, whose damage comes out as `ArchiveError`."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name

    def readinto(self, buffer: Any) -> int:
        with _damage_named(self._name):
            piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _damage_named(name: str) -> Generator[None]:
    # What `zipfile` raises on damaged files is more than it says: names that do not decode, seeks
    # to negative places, extra fields cut short.
    try:
        yield
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        ValueError,
        IndexError,
        OverflowError,
        RuntimeError,  # NotImplementedError, too
    ) as error:
        raise ArchiveError(name, f"not a readable zip: {error}") from error


@contextmanager
def open_csv(path: Path, name: str) -> Generator[io.RawIOBase]:
    """Open the CSV inside the zip at ``path``, which is called ``name`` in errors.

    Raises
    ------
    ArchiveError
        Where it is not a zip, holds anything but one CSV, is encrypted or packed in another way
        than zips are, or claims a size out of all proportion (a zip bomb). What is read is
        bounded by the claim, and checked by its CRC.
    """
    with ExitStack() as exits:
        with _damage_named(name):
            disk = exits.enter_context(_Archive(io.FileIO(path)))
            archive = exits.enter_context(zipfile.ZipFile(disk))
            member = _only_csv(archive.infolist(), path.stat().st_size, name)
            file = exits.enter_context(archive.open(member))
        # Outside of it: what goes wrong with the consumer is not the zip's fault.
        yield exits.enter_context(_Member(file, name))


def _only_csv(members: list[zipfile.ZipInfo], size: int, name: str) -> zipfile.ZipInfo:
    if len(members) != 1:
        names = ", ".join(repr(member.filename[:_SHOWN]) for member in members[:3])
        raise ArchiveError(name, f"expected one CSV in it, found {len(members)}: {names}")
    (member,) = members
    if not member.filename.lower().endswith(".csv"):
        raise ArchiveError(name, f"expected a CSV in it, found {member.filename[:_SHOWN]!r}")
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError(name, "it is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # An LZMA stream says itself how much memory it wants.
        kind = _METHODS.get(member.compress_type, "another method")
        problem = f"expected a CSV packed by deflate, found {kind} ({member.compress_type})"
        raise ArchiveError(name, problem)
    packed = min(member.compress_size, size)
    if member.file_size > _MAX_RATIO * max(packed, 1):
        raise ArchiveError(
            name, f"refused as a zip bomb: {packed} bytes claim to hold {member.file_size}"
        )
    return member


def csv_blocks(csv: _Readable, name: str, size: int = BLOCK) -> Iterator[bytes]:
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
                count = csv.readinto(view[have : have + _PIECE]) or 0
            have, more = have + count, count > 0
        end = buffer.rfind(b"\n", 0, have) + 1 if more else have
        if end:
            with memoryview(buffer) as view:
                block = bytes(view[:end])
            yield block
            buffer[: have - end] = buffer[end:have]
            have -= end
