"""An archive on loopback: serves a folder, knows ranges, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ArchiveServer", "Cut", "Fault", "Request", "Slow", "Status", "serve"]


@dataclass(frozen=True)
class Status:
    """Answers with a status and headers instead of the file."""

    code: int
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Cut:
    """Sends that many bytes of the body and hangs up."""

    after: int


@dataclass(frozen=True)
class Slow:
    """Sends that many bytes of the body at a time, with a pause in seconds before each."""

    size: int
    pause_s: float


Fault = Status | Cut | Slow


@dataclass(frozen=True)
class Request:
    """What was asked for, and what came back."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int


class ArchiveServer:
    """The folder, the faults that wait for their request, and the log of what was asked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = ""
        self.requests: list[Request] = []
        self.rest: Callable[[str, dict[str, str]], Any] | None = None
        self.on_request: Callable[[str], None] = lambda _path: None
        self.always: Fault | None = None
        """What is wrong with the body of every zip for which nothing else is due."""
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def fail(self, name: str, *faults: Fault) -> None:
        """Let the next requests for the file called ``name`` go wrong in these ways."""
        self._faults[name].extend(faults)

    def fault_for(self, name: str) -> Fault | None:
        """Take the fault that is due for a file."""
        waiting = self._faults[name]
        if waiting:
            return waiting.popleft()
        return self.always if name.endswith(".zip") else None

    def asked(self, suffix: str, *, method: str = "GET") -> list[Request]:
        """Return the requests for paths that end with ``suffix``."""
        return [r for r in self.requests if r.path.endswith(suffix) and r.method == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    archive: ArchiveServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        self.archive.on_request(parts.path)
        if parts.path.startswith("/rest/"):
            fault = self.archive.fault_for("rest")
            if isinstance(fault, Status):
                return self._send(method, fault.code, b"", fault.headers)
            assert self.archive.rest is not None
            answer = self.archive.rest(parts.path, dict(parse_qsl(parts.query)))
            return self._send(method, 200, json.dumps(answer).encode(), {})
        path = self.archive.root / unquote(parts.path).lstrip("/")
        fault = self.archive.fault_for(path.name)
        if isinstance(fault, Status):
            return self._send(method, fault.code, b"", fault.headers)
        if not path.is_file():
            return self._send(method, 404, b"not here", {})
        body = path.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"ETag": etag}
        status, total = 200, len(body)
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and self.headers.get("If-Range", etag) == etag:
            start = int(wanted[6:].split("-")[0])
            if start >= total:
                return self._send(method, 416, b"", {"Content-Range": f"bytes */{total}"})
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
            status, body = 206, body[start:]
        return self._send(method, status, body, headers, fault)

    def _send(
        self,
        method: str,
        status: int,
        body: bytes,
        headers: dict[str, str],
        fault: Cut | Slow | None = None,
    ) -> None:
        sent = body[: fault.after] if isinstance(fault, Cut) else body
        path = urlsplit(self.path).path
        seen = Request(method, path, self.headers.get("Range"), status, len(sent))
        self.archive.requests.append(seen)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if method != "HEAD":
            size = fault.size if isinstance(fault, Slow) else max(len(sent), 1)
            for start in range(0, len(sent), size):
                if isinstance(fault, Slow):
                    time.sleep(fault.pause_s)
                self.wfile.write(sent[start : start + size])
        if isinstance(fault, Cut):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the game."""


@contextmanager
def serve(root: Path) -> Generator[ArchiveServer]:
    """Serve ``root`` on a free port of loopback."""
    archive = ArchiveServer(root)
    handler = type("Handler", (_Handler,), {"archive": archive})
    with _Server(("127.0.0.1", 0), handler) as server:
        archive.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield archive
        finally:
            server.shutdown()
            thread.join()
