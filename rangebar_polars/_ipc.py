"""Frames as text, for a checkpoint."""

from __future__ import annotations

import base64
import io

import polars as pl

__all__ = ["pack", "unpack"]


def pack(frame: pl.DataFrame) -> str:
    """A frame as text: Arrow IPC, which keeps every dtype and will be read for ever."""
    buffer = io.BytesIO()
    frame.write_ipc(buffer)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def unpack(text: str) -> pl.DataFrame:
    """The frame in a text."""
    return pl.read_ipc(io.BytesIO(base64.b64decode(text)))
