"""
Frames in checkpoints of version 1: Arrow IPC files, looked through before Polars may read them.

Polars takes the sizes in such a file at their word, and one that is wrong can ask for more memory
than there is, which ends the process. So all sizes are compared with the file first. The numbers of
fields below are those of Arrow's `File.fbs`, `Message.fbs` and `Schema.fbs`.
"""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from rangebar_polars._endings import raise_if_interrupt
from rangebar_polars.exceptions import CheckpointError

__all__ = ["unpack"]

_MAGIC: Final = b"ARROW1"
_BLOCK: Final = struct.Struct("<qi4xq")
_PAIR: Final = struct.Struct("<qq")
_MOST_FIELDS: Final = 4096
_MOST_NESTED: Final = 16
_DICTIONARY_BATCH: Final = 2
_RECORD_BATCH: Final = 3


def unpack(text: Any) -> pl.DataFrame:
    """
    The frame in a text.

    Raises
    ------
    rangebar_polars.exceptions.CheckpointError
        If there is none.
    """
    try:
        data = base64.b64decode(text, validate=True)
        _File(data).check()
        return pl.read_ipc(io.BytesIO(data))
    except CheckpointError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        raise_if_interrupt(error)
        msg = f"the checkpoint's schema or keys cannot be read: {error}"
        raise CheckpointError(msg) from error


class _Table:
    """A table of a flatbuffer. Whatever it names outside of the data raises."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at
        self.fields = at - self.number("<i", at)
        self.end = self.number("<H", self.fields)

    def number(self, kind: str, at: int) -> int:
        _must(at >= 0, "an offset before its beginning")
        return struct.unpack_from(kind, self.data, at)[0]

    def place(self, field: int) -> int | None:
        """Where a field stands, if it is there."""
        slot = 4 + 2 * field
        offset = self.number("<H", self.fields + slot) if slot + 2 <= self.end else 0
        return self.at + offset if offset else None

    def scalar(self, field: int, kind: str) -> int:
        at = self.place(field)
        return 0 if at is None else self.number(kind, at)

    def table(self, field: int) -> _Table | None:
        at = self.place(field)
        return None if at is None else _Table(self.data, at + self.number("<I", at))

    def items(self, field: int, size: int) -> range:
        """Where the items of a vector stand."""
        at = self.place(field)
        if at is None:
            return range(0)
        start = at + self.number("<I", at)
        count = self.number("<I", start)
        _must(start + 4 + count * size <= len(self.data), "a list longer than itself")
        return range(start + 4, start + 4 + count * size, size)

    def tables(self, field: int) -> Iterator[_Table]:
        for at in self.items(field, 4):
            yield _Table(self.data, at + self.number("<I", at))


class _File:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.fields = 0
        self.texts = 0

    def check(self) -> None:
        data = self.data
        _must(data.startswith(_MAGIC) and data.endswith(_MAGIC), "another format")
        end = len(data) - len(_MAGIC) - 4
        (size,) = struct.unpack_from("<i", data, end)
        _must(0 < size <= end, "no footer")
        footer_data = data[end - size : end]
        footer = _Table(footer_data, struct.unpack_from("<I", footer_data)[0])
        schema = footer.table(1)
        _must(schema is not None, "no schema")
        if schema is not None:
            self.check_fields(schema, 1, 0)
            self.check_texts(schema, 2)
        for field in (2, 3):
            for at in footer.items(field, _BLOCK.size):
                self.check_block(*_BLOCK.unpack_from(footer_data, at))

    def check_fields(self, of: _Table, field: int, depth: int) -> None:
        _must(depth <= _MOST_NESTED, "columns in columns in columns")
        for child in of.tables(field):
            self.fields += 1
            _must(self.fields <= _MOST_FIELDS, "too many columns")
            self.texts += len(child.items(0, 1))
            self.check_texts(child, 6)
            self.check_fields(child, 5, depth + 1)

    def check_texts(self, of: _Table, field: int) -> None:
        for entry in of.tables(field):
            self.texts += len(entry.items(0, 1)) + len(entry.items(1, 1))
            # A text may stand in the file once and be meant a million times.
            _must(self.texts <= 2 * len(self.data), "texts longer than itself")

    def check_block(self, offset: int, metadata: int, body: int) -> None:
        size = len(self.data)
        _must(0 <= offset <= size and 0 <= metadata <= size and 0 <= body <= size, "bad sizes")
        _must(offset + metadata + body <= size, "a batch longer than itself")
        start = offset + (8 if self.data[offset : offset + 4] == b"\xff" * 4 else 4)
        (length,) = struct.unpack_from("<i", self.data, start - 4)
        _must(0 < length <= metadata, "a message longer than itself")
        message_data = self.data[start : start + length]
        message = _Table(message_data, struct.unpack_from("<I", message_data)[0])
        _must(0 <= message.scalar(3, "<q") <= body, "a batch longer than itself")
        kind, batch = message.scalar(1, "<B"), message.table(2)
        if kind == _DICTIONARY_BATCH and batch is not None:
            batch = batch.table(1)
        _must(kind in (_DICTIONARY_BATCH, _RECORD_BATCH) and batch is not None, "no batch")
        if batch is not None:
            self.check_batch(batch, body)

    def check_batch(self, batch: _Table, body: int) -> None:
        _must(batch.table(3) is None, "compressed data")
        # A row takes a bit at least, but for one of dtype Null.
        most = 8 * len(self.data)
        _must(0 <= batch.scalar(0, "<q") <= most, "more rows than data")
        for at in batch.items(1, _PAIR.size):
            rows, nulls = _PAIR.unpack_from(batch.data, at)
            _must(0 <= nulls <= rows <= most, "more rows than data")
        buffers = batch.items(2, _PAIR.size)
        for at in buffers:
            start, size = _PAIR.unpack_from(batch.data, at)
            _must(0 <= start <= body and 0 <= size <= body - start, "a buffer longer than itself")
        for at in batch.items(4, 8):
            _must(0 <= batch.number("<q", at) <= len(buffers), "more buffers than there are")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        msg = f"the checkpoint's schema or keys cannot be read: the Arrow file has {otherwise}"
        raise CheckpointError(msg)
