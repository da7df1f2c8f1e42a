"""One HTTP request: sessions with retries, bodies bounded in size and time, checksums."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Self

import requests
import urllib3
import urllib3.connection
from requests.adapters import HTTPAdapter

from ganscribe.execution.messages import hide_secrets, one_line
from ganscribe.execution.progress import progress

CHUNK_BYTES = 1 << 17
TIMEOUT_SECONDS = (10.0, 30.0)  # to connect; between two pieces of the body
PATIENCE_SECONDS, MIN_BYTES_PER_SECOND = 60.0, 1000  # a body that comes slower over so long is given up


class MirrorError(Exception):
    """One mirror's failure; `final` where asking it again is no use."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a body must be. `sha256` may be its first eight digits or more (torch names its weights so)."""

    max_bytes: int
    sha256: str | None = None
    md5: str | None = None
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS

    def has_checksum(self) -> bool:
        return self.sha256 is not None or self.md5 is not None

    def problem(self, path: Path) -> str | None:
        """What is wrong with the checksum of `path`, or None."""
        for algorithm, digits in (("sha256", self.sha256), ("md5", self.md5)):
            if digits is None:
                continue
            found = file_digest(path, algorithm)
            if not found.startswith(digits.lower()):
                return f"wrong checksum: its {algorithm} is {found}, the publisher's is {digits}"
        return None

    def check_size(self, num_bytes: int) -> None:
        if num_bytes > self.max_bytes:
            raise MirrorError(f"larger than the {self.max_bytes:,} bytes expected", final=True)


@dataclass(frozen=True)
class Partial:
    """The beginning of a file (`path`), and beside it what is known of its origin (.json)."""

    path: Path

    def origin(self) -> dict[str, str | None]:
        """`url` and `validator` (ETag or Last-Modified) that the bytes so far came with; empty if unknown."""
        try:
            return dict(json.loads(self.path.with_suffix(".json").read_text()))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".json").unlink(missing_ok=True)


class _Retry(urllib3.Retry):
    """Leaves unread what comes with an answer that is asked for again: urllib3 would wait for its end."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: urllib3.BaseHTTPResponse | None = None,
        *reason: Any,
        **more: Any,
    ) -> Self:
        if response is not None:
            response.close()
        return super().increment(method, url, response, *reason, **more)


def _leave_redirect_unread(response: requests.Response, **_: object) -> None:
    if response.is_redirect:
        response.close()  # requests would read its body into memory, however long it is


class _Patience(urllib3.connection.HTTPConnection):
    """Hangs up on headers that do not end, though each of their bytes comes within the timeout."""

    def getresponse(self) -> Any:
        late, connection = threading.Event(), self.sock

        def hang_up() -> None:
            late.set()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(PATIENCE_SECONDS, hang_up)
        watch.daemon = True
        watch.start()
        try:
            response = super().getresponse()
        except (OSError, HTTPException):
            if not late.is_set():
                raise
        finally:
            watch.cancel()
        if late.is_set():  # http.client takes headers that were cut off for whole ones
            raise TimeoutError
        return response


class _PatienceTLS(_Patience, urllib3.connection.HTTPSConnection):
    pass


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        bounded = {
            urllib3.connection.HTTPConnection: _Patience,
            urllib3.connection.HTTPSConnection: _PatienceTLS,
        }
        pool.ConnectionCls = bounded.get(pool.ConnectionCls, pool.ConnectionCls)
        return pool


def make_session(*, retries: int, connections: int) -> requests.Session:
    """A session that asks again, ever more slowly, after connection errors, 429 and 5xx."""
    policy = _Retry(
        total=retries,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,
        respect_retry_after_header=False,  # a server could make us sleep for hours
    )
    session = requests.Session()
    session.max_redirects = 5
    session.hooks["response"].append(_leave_redirect_unread)
    adapter = _Adapter(max_retries=policy, pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "ganscribe"
    return session


def get(
    session: requests.Session, url: str, headers: dict[str, str], timeout_seconds: tuple[float, float]
) -> requests.Response:
    """The answer to a GET, its body unread: status 200, 206 or 416. Raises MirrorError for any other."""
    # identity: a Content-Encoding would be undone on the way and break ranges and checksums.
    headers = {"Accept-Encoding": "identity", **headers}
    try:
        response = session.get(url, headers=headers, stream=True, timeout=timeout_seconds)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise MirrorError(f"no answer ({type(error).__name__})", final=False) from error
    except requests.TooManyRedirects as error:
        raise MirrorError("too many redirects", final=True) from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise MirrorError(one_line(error), final=True) from error  # ValueError: an odd redirect
    if response.status_code not in (200, 206, 416):
        response.close()
        raise MirrorError(f"HTTP {response.status_code} {response.reason}", final=response.status_code < 500)
    return response


def range_headers(url: str, partial: Partial, expected: Expected) -> dict[str, str]:
    """Ask for the rest, if the bytes at hand can be shown to be the same file's beginning."""
    origin, size = partial.origin(), partial.size()
    validator = origin.get("validator") if origin.get("url") == hide_secrets(url) else None
    if validator is not None and validator.startswith("W/"):
        validator = None  # a weak ETag is not allowed in If-Range
    if not size or (validator is None and not expected.has_checksum()):
        return {}
    return {"Range": f"bytes={size}-"} | ({"If-Range": validator} if validator else {})


def resume_offset(response: requests.Response, size: int) -> int:
    """Where the body begins in the file: 0, or `size` if the server goes on. Raises MirrorError."""
    if response.status_code == 200:
        return 0  # the whole file: the server knows no ranges, or the file has changed
    found = response.headers.get("Content-Range", "")
    match = re.match(r"bytes (\d{1,19})-", found)
    if match is None or int(match[1]) != size:
        raise MirrorError(f"HTTP {response.status_code} with the range {found!r}", final=True)
    return size


def body_bytes(response: requests.Response) -> int | None:
    """The body's length as the server announces it."""
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,19}", length) else None


def file_bytes(response: requests.Response) -> int | None:
    """The whole file's length, where the body is a part of it and the server says so."""
    match = re.search(r"/(\d{1,19})$", response.headers.get("Content-Range", ""))
    return int(match[1]) if match and response.status_code == 206 else None


def _parts(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, in pieces of at most `CHUNK_BYTES`. Raises MirrorError if it only trickles."""
    arrived, since = 0, time.monotonic()
    # read1 returns what has arrived; read and stream would wait for a whole piece, with a timeout a byte.
    while part := response.raw.read1(CHUNK_BYTES, decode_content=False):
        yield part
        arrived += len(part)
        seconds = time.monotonic() - since
        if seconds >= PATIENCE_SECONDS:
            if arrived < seconds * MIN_BYTES_PER_SECOND:
                raise MirrorError(f"too slow: {arrived:,} bytes in {seconds:.0f} seconds", final=True)
            arrived, since = 0, time.monotonic()


def copy_body(
    response: requests.Response,
    handle: IO[bytes],
    expected: Expected,
    *,
    offset: int = 0,
    advance: Callable[[int], object] = lambda num_bytes: None,
) -> None:
    """Write the body to `handle`, which holds `offset` bytes already. Raises MirrorError."""
    size = offset
    expected.check_size(size + (body_bytes(response) or 0))
    try:
        for part in _parts(response):
            size += len(part)
            expected.check_size(size)
            handle.write(part)
            advance(len(part))
    except urllib3.exceptions.ReadTimeoutError as error:
        raise MirrorError(f"stalled at {size:,} bytes", final=False) from error
    except urllib3.exceptions.HTTPError as error:
        raise MirrorError(f"cut off at {size:,} bytes", final=False) from error
    if size < (file_bytes(response) or 0):  # a server may answer with less than was asked for
        raise MirrorError(f"cut off at {size:,} bytes", final=False)


def file_digest(path: Path, algorithm: str) -> str:
    """Digest of a file as hexadecimal digits, with a progress bar where it takes long."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    size = path.stat().st_size
    with path.open("rb") as handle, contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress(size, f"check {path.name}", "B")) if size > 1 << 29 else None
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
            if bar is not None:
                bar.update(len(chunk))
    return digest.hexdigest()
