"""CSV text of trades that comes through a pipe: block by block, whatever it is packed with."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

import polars as pl
from polars.exceptions import NoDataError

from rangebar_polars._source import Request, lazy_source
from rangebar_polars.exceptions import RangeBarError

if TYPE_CHECKING:
    from rangebar_polars._csv_files import CsvForm

__all__ = ["GZIP", "ZSTD", "Rewound", "scan_csv_stream"]

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 4 << 20
_BOM: Final = b"\xef\xbb\xbf"


class Rewound(io.RawIOBase):
    """A stream of which some bytes were read already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream
        self.name = getattr(stream, "name", None)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what was read before first."""
        size = len(buffer)
        some = self._head[:size] or self._stream.read(size) or b""
        self._head = self._head[len(some) :] if self._head else b""
        buffer[: len(some)] = some
        return len(some)


def scan_csv_stream(stream: BinaryIO, form: CsvForm) -> pl.LazyFrame:
    """
    Scan CSV text that can be read once, from front to back.

    Raises
    ------
    polars.exceptions.NoDataError
        Where there is none.
    """
    separator = form.separator or ","
    name = str(getattr(stream, "name", "the input"))
    name = "standard input" if name in {"<stdin>", "0"} else name
    with _readable(name):
        text = _unpacked(stream)
        first = text.readline().removeprefix(_BOM)
    fields = _fields(first, separator)
    if not fields:
        msg = f"there is nothing in {name}"
        raise NoDataError(msg)
    head = form.head(fields, name)
    dtypes = form.dtypes(head, name)
    blocks = _blocks(b"" if head.in_file else first, text)
    taken = False

    def frames(request: Request) -> Generator[pl.DataFrame, None, None]:
        nonlocal taken
        if taken:
            msg = f"{name} was read already, and can be read only once"
            raise RangeBarError(msg)
        taken = True
        while True:
            with _readable(name):
                block = next(blocks, None)
            if block is None:
                return
            frame = pl.read_csv(block, has_header=False, schema=dtypes, separator=separator)
            yield frame.select(request.columns)

    return lazy_source(frames, pl.Schema(dtypes), name="CSV", detail=name, pure=False)


@contextmanager
def _readable(name: str) -> Generator[None]:
    try:
        yield
    except (EOFError, zlib.error, OSError) as error:
        msg = f"{name} cannot be read, or is cut off: {error}"
        raise RangeBarError(msg) from error


def _unpacked(stream: BinaryIO) -> io.BufferedReader[Rewound]:
    head = stream.read(4)
    raw = io.BufferedReader(Rewound(head, stream), _BLOCK)
    if head.startswith(GZIP):
        return io.BufferedReader(Rewound(b"", cast("BinaryIO", gzip.GzipFile(fileobj=raw))), _BLOCK)
    if head == ZSTD:
        return io.BufferedReader(Rewound(b"", _zstd(raw)), _BLOCK)
    return raw


def _zstd(raw: io.BufferedReader[Rewound]) -> BinaryIO:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = "zstd in a stream needs pyarrow: pip install 'rangebar_polars[store]'"
        raise ImportError(msg) from error
    return cast("BinaryIO", pa.CompressedInputStream(raw, "zstd"))  # pyright: ignore[reportUnknownMemberType]


def _fields(line: bytes, separator: str) -> list[str]:
    if not line.strip():
        return []
    row = pl.read_csv(line, has_header=False, infer_schema=False, separator=separator)
    return [str(field or "").strip() for field in row.row(0)]


def _blocks(first: bytes, text: io.BufferedReader[Rewound]) -> Iterator[bytes]:
    """The text in blocks that end with a line."""
    rest = first
    while piece := text.read(_BLOCK):
        whole, newline, partial = piece.rpartition(b"\n")
        if newline:
            yield rest + whole + newline
            rest = partial
        else:
            rest += partial
    if rest:
        yield rest
