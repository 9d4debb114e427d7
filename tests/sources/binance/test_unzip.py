"""Zips that are refused, and blocks of whole lines."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from rangebar_polars.sources.binance import ArchiveError
from rangebar_polars.sources.binance.unzip import csv_blocks, open_csv


def make_zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name.replace("_", "."), body)
    return path


def read(path: Path) -> bytes:
    with open_csv(path, "a.zip") as csv:
        return b"".join(csv_blocks(csv, "a.zip", 10))


def test_one_csv(tmp_path: Path) -> None:
    assert read(make_zip(tmp_path / "a.zip", a_csv=b"1,2\n3,4\n")) == b"1,2\n3,4\n"


def test_two_members(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"a.zip: expected one CSV in it, found 2: a.csv, b.csv"):
        read(make_zip(tmp_path / "a.zip", a_csv=b"1", b_csv=b"2"))


def test_no_member_and_no_csv(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="found 0"):
        read(make_zip(tmp_path / "a.zip"))
    with pytest.raises(ArchiveError, match=r"expected a CSV in it, found 'a.exe'"):
        read(make_zip(tmp_path / "a.zip", a_exe=b"1"))


def test_a_bomb_is_not_even_opened(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "a.zip", a_csv=bytes(30 << 20))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ArchiveError, match="refused as a zip bomb"):
        read(bomb)


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "a.zip", a_csv=bytes(1 << 20))
    raw = bomb.read_bytes().replace((1 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    bomb.write_bytes(raw)
    with pytest.raises(ArchiveError, match="not a readable zip"):
        read(bomb)


def test_an_endless_line(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="a line of more than"):
        list(csv_blocks(io.BytesIO(bytes(1 << 20)), "a.zip", 1 << 14))


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", a_csv=b"".join(b"%d\n" % i**5 for i in range(5000)))
    raw = bytearray(path.read_bytes())
    raw[5000] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match="not a readable zip"):
        read(path)
    path.write_bytes(b"<html>")
    with pytest.raises(ArchiveError, match="not a readable zip"):
        read(path)


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", a_csv=b"1,2\n")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match="encrypted"):
        read(path)


@pytest.mark.parametrize("size", [1, 3, 5, 8, 100])
def test_blocks_end_with_a_line(size: int) -> None:
    text = b"1,2\n33,44\n\n5,6"
    found = list(csv_blocks(io.BytesIO(text), "a.zip", size))
    assert b"".join(found) == text
    assert all(block.endswith(b"\n") for block in found[:-1])
