"""Patience with a server: what is tried again, how long is waited, and what is taken up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from rangebar_polars.sources.binance import ArchiveError, FetchError
from rangebar_polars.sources.binance.http import Http, parse_checksum, sha256_of
from rangebar_polars.sources.binance.transfer import Stopped
from tests.support.archive_server import ArchiveServer, Cut, Status, serve

BODY = bytes(range(256)) * 4000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ArchiveServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.zip").write_bytes(BODY)
    (folder / "a.txt").write_text("hello")
    with serve(folder) as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def http(waits: list[float]) -> Iterator[Http]:
    with httpx.Client(timeout=10) as client:
        yield Http(client, retries=3, backoff_s=0.5, sleep=waits.append)


def test_text_and_existence(server: ArchiveServer, http: Http) -> None:
    assert http.text(f"{server.url}/a.txt") == "hello"
    assert http.text(f"{server.url}/nope") is None
    assert http.exists(f"{server.url}/a.zip")
    assert not http.exists(f"{server.url}/nope")


@pytest.mark.parametrize("code", [500, 502, 503])
def test_server_errors_are_tried_again_later_and_later(
    server: ArchiveServer, http: Http, waits: list[float], code: int
) -> None:
    server.fail("a.txt", *[Status(code)] * 3)
    assert http.text(f"{server.url}/a.txt") == "hello"
    assert len(waits) == 3
    for wait, longest in zip(waits, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize("code", [429, 418])
def test_retry_after_is_obeyed(
    server: ArchiveServer, http: Http, waits: list[float], code: int
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=40)
    date = format_datetime(later, usegmt=True)
    server.fail("a.txt", Status(code, {"Retry-After": "7"}), Status(code, {"Retry-After": date}))
    assert http.text(f"{server.url}/a.txt") == "hello"
    assert waits[0] == 7
    assert 30 < waits[1] <= 40


def test_it_gives_up(server: ArchiveServer, http: Http, waits: list[float]) -> None:
    server.fail("a.txt", *[Status(503)] * 10)
    with pytest.raises(FetchError, match=r"a.txt: gave up after 4 attempts: status 503"):
        http.text(f"{server.url}/a.txt")
    assert len(waits) == 3


def test_other_refusals_are_final(server: ArchiveServer, http: Http, tmp_path: Path) -> None:
    server.fail("a.txt", Status(403))
    with pytest.raises(FetchError, match="status 403"):
        http.text(f"{server.url}/a.txt")
    with pytest.raises(FetchError, match="404"):
        http.file(f"{server.url}/nope", tmp_path / "part")
    with pytest.raises(FetchError, match="404"):
        http.json(f"{server.url}/nope", {})


def test_a_server_that_is_not_there(http: Http) -> None:
    with pytest.raises(FetchError, match="gave up after 4 attempts: ConnectError"):
        http.text("http://127.0.0.1:1/a.txt")


def test_a_cut_transfer_goes_on_where_it_broke(
    server: ArchiveServer, http: Http, tmp_path: Path
) -> None:
    server.fail("a.zip", Cut(100_000), Cut(200_000), Cut(1000))
    part = tmp_path / "part"
    http.file(f"{server.url}/a.zip", part)
    assert part.read_bytes() == BODY
    requests = server.asked("a.zip")
    assert [r.range for r in requests][0] is None
    assert all(r.status == 206 for r in requests[1:])
    assert sum(r.sent for r in requests) <= len(BODY) + 1000  # next to nothing came twice


def test_progress_makes_patience_new(server: ArchiveServer, http: Http, tmp_path: Path) -> None:
    server.fail("a.zip", *[Cut(50_000)] * 12)  # more failures than retries, each with a gain
    http.file(f"{server.url}/a.zip", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == BODY


def test_what_an_earlier_run_left_is_used(
    server: ArchiveServer, http: Http, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.write_bytes(BODY[:70_000])
    http.file(f"{server.url}/a.zip", part)
    assert part.read_bytes() == BODY
    (request,) = server.asked("a.zip")
    assert (request.range, request.sent) == ("bytes=70000-", len(BODY) - 70_000)
    http.file(f"{server.url}/a.zip", part)  # whole already
    assert part.read_bytes() == BODY


def test_a_file_that_shrank_is_fetched_anew(
    server: ArchiveServer, http: Http, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.write_bytes(BODY + b"more")
    http.file(f"{server.url}/a.zip", part)
    assert part.read_bytes() == BODY


def test_a_stopped_transfer_ends(server: ArchiveServer, tmp_path: Path) -> None:
    stop = threading.Event()
    with httpx.Client() as client:
        http = Http(client, stop=stop, on_bytes=lambda _count: stop.set())
        with pytest.raises(Stopped):
            http.file(f"{server.url}/a.zip", tmp_path / "part")


def test_bytes_are_counted(server: ArchiveServer, tmp_path: Path) -> None:
    counted: list[int] = []
    sizes: list[int] = []
    with httpx.Client() as client:
        http = Http(client, on_bytes=counted.append, on_size=sizes.append)
        http.file(f"{server.url}/a.zip", tmp_path / "part")
    assert sum(counted) == len(BODY)
    assert sizes == [len(BODY)]


def test_checksums(tmp_path: Path) -> None:
    good = "AB" * 32
    assert parse_checksum(f"{good}  a.zip", "a.zip") == good.lower()
    assert parse_checksum(f"{good} *a.zip\n", "a.zip") == good.lower()
    for bad in ("", "xyz  a.zip", f"{good}  b.zip", "<html>not here</html>"):
        with pytest.raises(ArchiveError, match=r"a.zip.CHECKSUM: expected the sha256 of a.zip"):
            parse_checksum(bad, "a.zip")
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    assert sha256_of(path).startswith("ba7816bf")
