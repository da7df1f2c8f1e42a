"""Downloads that go on where they were cut off, from mirrors, against checksums and size limits.

Our own because pooch and torch.hub verify but start again from zero, and the resuming downloaders know no
mirrors. Retries before the first byte are urllib3's (`Retry`); after it, the next mirror goes on.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import filelock
import requests

from ganscribe.core.files import atomic_write, project_root, write_json
from ganscribe.execution.messages import hide_secrets
from ganscribe.execution.progress import progress
from ganscribe.sources.transfer import (
    TIMEOUT_SECONDS,
    Expected,
    MirrorError,
    Partial,
    body_bytes,
    copy_body,
    get,
    make_session,
    range_headers,
    resume_offset,
)

MIN_BYTES_A_ROUND = 1 << 16  # over all mirrors; a server that hangs up after every few bytes is given up


@dataclass(frozen=True)
class Download:
    """One file for `fetch_many`: the same bytes at each of `urls`.

    `inspect` returns what is wrong with a file where there is no checksum: a network's login page has status 200, too.
    """

    urls: tuple[str, ...]
    path: Path
    sha256: str | None = None
    md5: str | None = None
    inspect: Callable[[Path], str | None] = lambda path: None


@dataclass(frozen=True)
class Failure:
    """A file that no mirror gave, and why."""

    path: Path
    reason: str


def fetch(
    urls: Sequence[str],
    path: str | Path,
    *,
    max_bytes: int,
    sha256: str | None = None,
    md5: str | None = None,
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS,
    retries: int = 3,
) -> Path:
    """Download one file from the first of `urls` that serves it whole, going on where an earlier call ended.

    `sha256` may be its first digits (torch names its weights so). A file already at `path` is kept if it
    has that checksum (or if none is given). Raises ValueError with each mirror's problem.
    """
    path = Path(path)
    expected = Expected(max_bytes=max_bytes, sha256=sha256, md5=md5, timeout_seconds=timeout_seconds)
    if path.exists() and expected.problem(path) is None:
        return path
    folder = project_root() / ".checkpoints" / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{urls[0]} {sha256} {md5}".encode()).hexdigest()[:32]
    lock = filelock.FileLock(folder / f"{digest}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ValueError(
            f"another process is downloading {path.name}: wait for it or stop it first"
        ) from None
    try:
        partial = Partial(folder / f"{digest}.part")
        _fetch_from_mirrors(urls, partial, path.name, expected, retries=retries)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        shutil.move(partial.path, temporary)  # may cross file systems
        temporary.replace(path)
        partial.discard()
    finally:
        lock.release()
    return path


def _fetch_from_mirrors(
    urls: Sequence[str], partial: Partial, name: str, expected: Expected, *, retries: int
) -> None:
    # Rounds over the mirrors: a cut transfer goes on at the next, for as long as a round brings enough bytes.
    candidates, problems, size_before = list(urls), dict.fromkeys(urls, ""), -MIN_BYTES_A_ROUND
    with make_session(retries=retries, connections=1) as session:
        while candidates and partial.size() - size_before >= MIN_BYTES_A_ROUND:
            size_before = partial.size()
            for url in tuple(candidates):
                try:
                    return _fetch_verified(session, url, partial, name, expected)
                except MirrorError as error:
                    problems[url] = str(error)
                    if error.final:
                        candidates.remove(url)
    raise ValueError(
        f"{name} could not be downloaded: "
        + "; ".join(f"{hide_secrets(url)}: {problem}" for url, problem in problems.items())
        + ". Check the network and run again (what has arrived is kept), or use `source: local`"
    )


def _fetch_verified(
    session: requests.Session, url: str, partial: Partial, name: str, expected: Expected
) -> None:
    resumed = _fetch_body(session, url, partial, name, expected)
    problem = expected.problem(partial.path)
    if problem is not None and resumed:  # the old bytes may be to blame: once more, all from this mirror
        partial.discard()
        _fetch_body(session, url, partial, name, expected)
        problem = expected.problem(partial.path)
    if problem is not None:
        partial.discard()
        raise MirrorError(problem, final=True)


def _fetch_body(session: requests.Session, url: str, partial: Partial, name: str, expected: Expected) -> bool:
    """Bring `partial` to its whole length. Returns whether bytes of an earlier request are in it."""
    headers = range_headers(url, partial, expected)
    response = get(session, url, headers, expected.timeout_seconds)
    if response.status_code == 416:
        if response.headers.get("Content-Range") == f"bytes */{partial.size()}":
            response.close()
            return True  # cut off after the last byte, before the check
        partial.discard()
        response.close()
        response = get(session, url, {}, expected.timeout_seconds)
    with response:
        offset = resume_offset(response, partial.size())
        if not offset:
            partial.discard()
            validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            write_json(partial.path.with_suffix(".json"), {"url": hide_secrets(url), "validator": validator})
        left = body_bytes(response)
        total = None if left is None else offset + left
        with partial.path.open("ab") as handle, progress(total, name, "B", initial=offset) as bar:
            copy_body(response, handle, expected, offset=offset, advance=bar.update)
    return offset > 0


def fetch_many(
    items: Sequence[Download],
    *,
    max_bytes: int,
    workers: int = 16,
    max_failures: int | None = None,
    description: str = "download",
    timeout_seconds: tuple[float, float] = TIMEOUT_SECONDS,
    retries: int = 3,
) -> list[Failure]:
    """Download many small files at once, each whole or not at all; files that exist and pass `inspect` are skipped.

    `max_bytes` bounds each file. Returns the failures in the order of `items`; raises ValueError as soon as
    there are more than `max_failures` of them (what has arrived stays, so that the next call goes on).
    """
    missing = [item for item in items if not item.path.exists() or item.inspect(item.path) is not None]
    failures: dict[Path, Failure] = {}
    stop = threading.Event()
    with (
        make_session(retries=retries, connections=workers) as session,
        progress(len(items), description, "file", initial=len(items) - len(missing)) as bar,
        ThreadPoolExecutor(workers) as pool,
        contextlib.ExitStack() as stack,
    ):
        stack.callback(stop.set)  # on an error or Ctrl-C the pool drains without further requests
        jobs = []
        for item in missing:
            expected = Expected(
                max_bytes=max_bytes, sha256=item.sha256, md5=item.md5, timeout_seconds=timeout_seconds
            )
            jobs.append(pool.submit(_fetch_small, session, item, expected, stop))
        for job in as_completed(jobs):
            failure = job.result()
            bar.update()
            if failure is not None:
                failures[failure.path] = failure
            if max_failures is not None and len(failures) > max_failures:
                reasons = "; ".join(
                    f"{each.path.name}: {each.reason}" for each in list(failures.values())[:3]
                )
                raise ValueError(
                    f"{description}: more than {max_failures} files could not be fetched ({reasons}): "
                    "check the network and run again (what has arrived is kept)"
                )
    return [failures[item.path] for item in missing if item.path in failures]


def _fetch_small(
    session: requests.Session, item: Download, expected: Expected, stop: threading.Event
) -> Failure | None:
    problems = []
    for url in item.urls:
        if stop.is_set():
            return Failure(item.path, "stopped")
        try:
            response = get(session, url, {}, expected.timeout_seconds)
            with response, atomic_write(item.path) as handle:
                if response.status_code != 200:
                    raise MirrorError(f"HTTP {response.status_code}", final=True)
                copy_body(response, handle, expected)
                handle.flush()
                problem = expected.problem(Path(handle.name)) or item.inspect(Path(handle.name))
                if problem is not None:
                    raise MirrorError(problem, final=True)
            return None
        except MirrorError as error:
            problems.append(f"{hide_secrets(url)}: {error}")
    return Failure(item.path, "; ".join(problems))
