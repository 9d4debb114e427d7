"""Zips that are refused, and blocks of whole lines."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with pytest.raises(ArchiveError, match=r"a.zip: expected one CSV in it, found 2: 'a.csv', "):
        read(make_zip(tmp_path / "a.zip", a_csv=b"1", b_csv=b"2"))


def test_a_directory_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", **{f"{n}_csv": b"" for n in range(20_000)})
    with pytest.raises(ArchiveError, match="its directory has more than"):
        read(path)


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


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damaged", [False, True])
def test_other_ways_of_packing(method: int, damaged: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.csv", b"1,2\n" * 500)
    raw = bytearray(path.read_bytes())
    if damaged:
        raw[60] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ArchiveError, match="expected a CSV packed by deflate, found"):
        read(path)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe\xfd.csv", b"../../a.csv\x00", b"a" * 60_000, b"\x1b[2J.exe", b""]
)
@pytest.mark.parametrize("utf8", [False, True])
def test_strange_names_of_members(name: bytes, utf8: bool, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", **{"x" * max(1, len(name)): b"1,2\n"})
    raw = path.read_bytes().replace(b"x" * len(name), name) if name else path.read_bytes()
    raw = bytearray(raw)
    if utf8:
        for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
            raw[raw.index(signature) + offset] |= 0x08
    path.write_bytes(raw)
    try:
        assert read(path) == b"1,2\n"  # what it is called harms nobody
    except ArchiveError as error:
        assert len(str(error)) < 300
        assert "\x1b" not in str(error)


@given(data=st.data())
@settings(max_examples=300)
def test_a_damaged_zip_is_read_or_named(data: st.DataObject, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    text = b"".join(b"%d\n" % i**5 for i in range(200))
    raw = bytearray(make_zip(path, a_csv=text).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what is not the data are the headers at both ends.
        near = data.draw(st.sampled_from([0, len(raw) - 90, len(raw) // 2]))
        at = min(len(raw) - 1, max(0, near + data.draw(st.integers(0, 90))))
        raw[at] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.sampled_from([len(raw), len(raw) - 1, len(raw) // 2, 10]))]
    path.write_bytes(raw)
    with suppress(ArchiveError):
        assert read(path) == text


def test_what_goes_wrong_with_the_reader_is_not_the_fault_of_the_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", a_csv=b"1,2\n")
    with pytest.raises(OSError, match="disk full"), open_csv(path, "a.zip"):
        raise OSError(28, "disk full")


@pytest.mark.parametrize("size", [1, 3, 5, 8, 100])
def test_blocks_end_with_a_line(size: int) -> None:
    text = b"1,2\n33,44\n\n5,6"
    found = list(csv_blocks(io.BytesIO(text), "a.zip", size))
    assert b"".join(found) == text
    assert all(block.endswith(b"\n") for block in found[:-1])
