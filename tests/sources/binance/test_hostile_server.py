"""Whatever a server sends: an error of ours, bounded in time, bytes and requests."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from rangebar_polars.sources.binance import FetchError
from rangebar_polars.sources.binance import http as http_module
from rangebar_polars.sources.binance.http import Http
from rangebar_polars.sources.binance.transfer import Stopped

RETRIES = 2


@dataclass
class RawServer:
    """Sends bytes as they are, so that they need not be HTTP; one connection per request."""

    answer: Callable[[socket.socket], None] = lambda _connection: None
    requests: list[bytes] = field(default_factory=list[bytes])
    url: str = ""

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                piece = connection.recv(4096)
                if not piece:
                    return
                request += piece
            self.requests.append(request)
            self.answer(connection)


@pytest.fixture
def server() -> Iterator[RawServer]:
    with raw_server() as running:
        yield running


@contextmanager
def raw_server() -> Iterator[RawServer]:
    running = RawServer()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        threading.Thread(target=running.serve, args=(listener,), daemon=True).start()
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def http(waits: list[float]) -> Iterator[Http]:
    with httpx.Client(timeout=10) as client:
        yield Http(client, retries=RETRIES, sleep=waits.append, patience_s=0.4)


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "Connection: close", "", ""]).encode()


def sends(*pieces: bytes, every_s: float = 0.0) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(every_s)

    return answer


def endless(first: bytes, piece: bytes, every_s: float = 0.0) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(piece)
            time.sleep(every_s)

    return answer


def everything(http: Http, url: str, folder: Path) -> dict[str, Callable[[], object]]:
    return {
        "text": lambda: http.text(f"{url}/a"),
        "json": lambda: http.json(f"{url}/a", {}),
        "file": lambda: http.file(f"{url}/a", folder / "part"),
    }


BOMB = gzip.compress(bytes(64 << 20), 9)

ANSWERS: dict[str, Callable[[socket.socket], None]] = {
    "an endless body": endless(head(), bytes(1 << 16)),
    "an endless header": endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
    "a bomb": sends(head(Content_Encoding="gzip"), BOMB),
    "not the gzip it says": sends(head(Content_Encoding="gzip"), b"hello"),
    "gzip that ends early": sends(head(Content_Encoding="gzip"), gzip.compress(b"[]")[:-9]),
    "a coding nobody asked for": sends(head(Content_Encoding="br"), b"hello"),
    "a byte at a time": endless(head(), b"[", every_s=0.02),
    "a header a byte at a time": endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", every_s=0.02),
    "nothing": endless(b"", b"", every_s=0.05),
    "no HTTP": sends(b"220 ftp.example.org ready\r\n"),
    "a body that ends early": sends(head(Content_Length="100"), b"[1, 2]"),
    "a length that is none": sends(head(Content_Length="-1"), b"[]"),
    "no content": sends(head("204 No Content")),
    "not modified": sends(head("304 Not Modified")),
    "a redirect to nowhere": sends(head("302 Found")),
    "a redirect to another protocol": sends(head("302 Found", Location="ftp://127.0.0.1/a")),
    "a redirect to no URL": sends(head("302 Found", Location="http://[")),
    "a part that nobody asked for": sends(
        head("206 Partial Content", Content_Range="bytes 5-6/7", Content_Length="2"), b"[]"
    ),
    "a range that nobody asked for": sends(head("416 Range Not Satisfiable")),
    "a range that nobody asked for, of nothing": sends(
        head("416 Range Not Satisfiable", Content_Range="bytes */0")
    ),
    "a status beyond all": sends(head("999 What")),
}


@pytest.mark.parametrize("door", ["text", "json", "file"])
@pytest.mark.parametrize("case", ANSWERS)
def test_every_answer_that_is_none_is_a_fetch_error(
    case: str,
    door: str,
    server: RawServer,
    http: Http,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_module, "MAX_FILE", 1 << 20)
    server.answer = ANSWERS[case]
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(FetchError) as raised:
            everything(http, server.url, tmp_path)[door]()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raised.value.url == f"{server.url}/a"
    assert time.monotonic() - started < 8
    assert peak < 24 << 20
    assert len(server.requests) <= 1 + RETRIES


def test_a_redirect_loop_ends(server: RawServer, http: Http, tmp_path: Path) -> None:
    server.answer = lambda connection: connection.sendall(head("302 Found", Location=server.url))
    for number, ask in enumerate(everything(http, server.url, tmp_path).values(), 1):
        with pytest.raises(FetchError, match="TooManyRedirects"):
            ask()
        assert len(server.requests) <= 25 * number


def test_redirects_that_end_are_followed(server: RawServer, http: Http) -> None:
    def answer(connection: socket.socket) -> None:
        first = len(server.requests) == 1
        connection.sendall(head("302 Found", Location="/b") if first else head() + b"hello")

    server.answer = answer
    assert http.text(f"{server.url}/a") == "hello"


@pytest.mark.parametrize(
    "text",
    ["-5", "soon", "\u00b2", "1e9", "nan", "", "0x10", "1, 2", "Mon, 01 Jan 0001 00:00:00 +2359"],
)
def test_a_strange_retry_after_counts_as_none(
    text: str, server: RawServer, http: Http, waits: list[float]
) -> None:
    server.answer = sends(head("429 Slow Down", Retry_After=text))
    with pytest.raises(FetchError, match="gave up after 3 attempts: status 429"):
        http.text(f"{server.url}/a")
    assert len(waits) == RETRIES
    assert all(0 <= wait <= 1 for wait in waits)


@pytest.mark.parametrize("text", ["301", "9" * 500, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_waits_for_a_ban_to_end(
    text: str, server: RawServer, http: Http, waits: list[float]
) -> None:
    server.answer = sends(head("418 Banned", Retry_After=text))
    with pytest.raises(FetchError, match="status 418, and it asks for a wait of"):
        http.text(f"{server.url}/a")
    assert waits == []
    assert len(server.requests) == 1


def test_what_the_exchange_says_is_passed_on(server: RawServer, http: Http) -> None:
    server.answer = sends(head("400 Bad Request"), b'{"code":-1121,"msg":"Invalid symbol."}')
    with pytest.raises(FetchError, match=r"status 400: .*Invalid symbol\."):
        http.json(f"{server.url}/a", {})


def test_packed_json_is_read_all_the_same(server: RawServer, http: Http) -> None:
    server.answer = sends(head(Content_Encoding="gzip"), gzip.compress(b"[1, 2]"))
    assert http.json(f"{server.url}/a", {}) == [1, 2]
    assert b"accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize("text", ["hello", "[" * 100_000, "[1, 2", "9" * 5000, "\x00\xff"])
def test_what_is_no_json(text: str, server: RawServer, http: Http) -> None:
    server.answer = sends(head(), text.encode("latin-1"))
    with pytest.raises(FetchError, match="the answer is not JSON"):
        http.json(f"{server.url}/a", {})


def test_small_gains_do_not_make_patience_new(
    server: RawServer, http: Http, tmp_path: Path
) -> None:
    size = 1 << 20

    def answer(connection: socket.socket) -> None:
        have = int(server.requests[-1].lower().partition(b"bytes=")[2].partition(b"-")[0] or 0)
        status = "206 Partial Content" if have else "200 OK"
        around = f"bytes {have}-{size - 1}/{size}"
        connection.sendall(head(status, Content_Length=str(size - have), Content_Range=around))
        connection.sendall(bytes(100))

    server.answer = answer
    with pytest.raises(FetchError, match="gave up after 3 attempts"):
        http.file(f"{server.url}/a", tmp_path / "part")
    assert len(server.requests) == 1 + RETRIES


def test_whoever_leaves_does_not_wait_for_a_stalled_server(server: RawServer) -> None:
    server.answer = ANSWERS["nothing"]
    stop = threading.Event()
    with httpx.Client(timeout=None) as client:
        http = Http(client, stop=stop)
        threading.Timer(0.2, stop.set).start()
        started = time.monotonic()
        with pytest.raises(Stopped):
            http.text(f"{server.url}/a")
        assert time.monotonic() - started < 2
