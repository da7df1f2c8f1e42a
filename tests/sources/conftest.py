"""A local HTTP server that misbehaves on request."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Served:
    """One address: its body and how it misbehaves."""

    body: bytes = b""
    status: int = 200
    ranges: bool = True
    etag: str | None = '"one"'
    cut_after: int | None = None  # bytes of one answer, then the connection is closed
    stall_after: int | None = None  # bytes of one answer, then silence
    part_bytes: int | None = None  # the most that a request for a range gets
    claim_length: bool = True
    redirect: str | None = None
    fail_first: int = 0  # so many answers are 503
    silent_first: int = 0  # so many requests get no answer
    endless: bool = False  # after the header, bytes until the other side hangs up
    trickle: float = 0.0  # seconds before each single byte of the body
    fast_bytes: int = 0  # come at once before a trickle
    trickle_headers: float = 0.0  # seconds after each byte of a header that never ends
    headers: tuple[tuple[str, str], ...] = ()
    requests: list[dict[str, str]] = field(default_factory=list)  # the headers of each
    sent_bytes: int = 0


@dataclass
class Server:
    """`files[path]` is what the server answers; `url(path)` is where."""

    address: str
    files: dict[str, Served]

    def url(self, path: str) -> str:
        return self.address + path

    def add(self, path: str, **behaviour: Any) -> Served:
        self.files[path] = Served(**behaviour)
        return self.files[path]


def _finish(handler: BaseHTTPRequestHandler, served: Served) -> None:
    """End an answer without a body, or with one that has no end."""
    if not served.endless:
        handler.send_header("Content-Length", "0")
    handler.end_headers()
    handler.close_connection = True
    while served.endless:
        handler.wfile.write(bytes(65_536))
        served.sent_bytes += 65_536


def _answer(handler: BaseHTTPRequestHandler, files: dict[str, Served]) -> None:
    served = files.get(handler.path)
    if served is None:
        handler.send_error(404)
        return
    served.requests.append(dict(handler.headers))
    if len(served.requests) <= served.silent_first:
        handler.close_connection = True
        return
    if served.redirect is not None or len(served.requests) <= served.fail_first:
        handler.send_response(503 if served.redirect is None else 302)
        if served.redirect is not None:
            handler.send_header("Location", served.redirect)
        for name, value in served.headers:
            handler.send_header(name, value)
        _finish(handler, served)
        return

    handler.wfile.write(b"HTTP/1.0 200 OK\r\n" if served.trickle_headers else b"")
    while served.trickle_headers:
        handler.wfile.write(b"X")
        time.sleep(served.trickle_headers)

    start, status = 0, served.status
    wanted = handler.headers.get("Range")
    condition = handler.headers.get("If-Range")
    if wanted and served.ranges and condition in (None, served.etag):
        start, status = int(wanted.removeprefix("bytes=").removesuffix("-")), 206
    if status == 206 and start >= len(served.body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(served.body)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    body = served.body[start:]
    if status == 206:
        body = body[: served.part_bytes]

    handler.send_response(status)
    for name, value in served.headers:
        handler.send_header(name, value)
    if served.claim_length:
        handler.send_header("Content-Length", str(len(body)))
    if served.etag:
        handler.send_header("ETag", served.etag)
    if status == 206:
        handler.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(served.body)}")
    handler.end_headers()
    if served.trickle:
        served.sent_bytes += served.fast_bytes
        handler.wfile.write(body[: served.fast_bytes])
        for number in range(served.fast_bytes, len(body)):
            time.sleep(served.trickle)
            served.sent_bytes += 1
            handler.wfile.write(body[number : number + 1])
        return
    limit = next((each for each in (served.cut_after, served.stall_after) if each is not None), len(body))
    served.sent_bytes += len(body[:limit])  # before they are sent: the client may have them all at once
    handler.wfile.write(body[:limit])
    if served.stall_after is not None and limit < len(body):
        handler.wfile.flush()
        time.sleep(2)
    handler.close_connection = True


@pytest.fixture
def server(project_folder: Path) -> Iterator[Server]:
    """A server on a free local port, alive for one test."""
    files: dict[str, Served] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError):
                _answer(self, files)

        def log_message(self, format: str, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    http.block_on_close = False
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Server(f"http://127.0.0.1:{http.server_port}", files)
    http.shutdown()
    http.server_close()


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project root of the test's own, for partial downloads."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return root
