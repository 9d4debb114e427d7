"""From a symbol to the name of a folder, and back: the one rule for both.

Any text is a symbol. Bytes that are not plain everywhere are written ``%XX``, which is how Hive
writes them, so Polars, DuckDB and pyarrow read the symbol as it was. Lower-case letters of a
symbol are among them: there are disks on which ``eth`` and ``ETH`` are one folder.
"""

from __future__ import annotations

import string
import unicodedata
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decode_source", "decode_symbol", "encode_source", "encode_symbol"]


_MAX_BYTES: Final = 200
"""Of a folder's name. The usual limit is 255, some of which other names in it need."""

_ANYWHERE: Final = string.ascii_uppercase + string.digits + "-_."


def encode_symbol(symbol: str) -> str:
    """Return the name of a symbol's folder.

    Raises
    ------
    TypeError
        For what is not a text.
    ValueError
        For an empty text, one with control characters, or one too long for a folder's name.
    """
    return _encode("symbol", symbol, _ANYWHERE)


def encode_source(source: str) -> str:
    """Return the name of a source's folder, lower case as it is; raises as `encode_symbol`.

    Sources are named by programs, in lower case mostly, so that these letters stay readable. Two
    that differ in nothing but case share a folder on some disks: a write refuses the second.
    """
    return _encode("source", source, _ANYWHERE + string.ascii_lowercase)


def decode_symbol(name: str) -> str | None:
    """Return the symbol of a folder; None where the folder is not one of `encode_symbol`."""
    return _decode(name, encode_symbol)


def decode_source(name: str) -> str | None:
    """Return the source of a folder; None where the folder is not one of `encode_source`."""
    return _decode(name, encode_source)


def _decode(name: str, encode: Callable[[str], str]) -> str | None:
    text = unquote(name)
    try:
        return text if encode(text) == name else None
    except ValueError:
        return None


def _encode(kind: str, text: str, plain: str) -> str:
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"{kind} must be a str, got {text!r}"
        raise TypeError(msg)
    if not text:
        msg = f"{kind} must not be empty"
        raise ValueError(msg)
    for at, character in enumerate(text):
        if unicodedata.category(character) in {"Cc", "Cs"}:
            msg = f"{kind} {text!r} has the control character {character!r} at position {at}"
            raise ValueError(msg)
    name = "".join(c if c in plain else _escaped(c) for c in text)
    if name.endswith("."):  # which Windows would drop
        name = f"{name[:-1]}%2E"
    if len(name) > _MAX_BYTES:
        msg = (
            f"{kind} {text[:40]!r}... takes {len(name)} bytes as the name of a folder, and at most "
            f"{_MAX_BYTES} are possible everywhere: use a shorter one"
        )
        raise ValueError(msg)
    return name


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
