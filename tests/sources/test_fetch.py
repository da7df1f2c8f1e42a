"""Downloads from a server that misbehaves."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ganscribe.sources.fetch import Download, fetch, fetch_many

BODY = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


def get(server: Any, path: Path, *names: str, **options: Any) -> Path:
    defaults = {"max_bytes": len(BODY), "sha256": SHA256, "timeout_seconds": (2.0, 0.5), "retries": 0}
    return fetch([server.url(name) for name in names], path, **(defaults | options))


def leftovers(project_folder: Path) -> list[str]:
    return sorted(each.name for each in project_folder.rglob("*") if each.suffix in (".part", ".json"))


def test_whole_file(server: Any, tmp_path: Path, project_folder: Path) -> None:
    server.add("/a", body=BODY)
    path = get(server, tmp_path / "new" / "a.bin", "/a", md5=MD5)
    assert path.read_bytes() == BODY
    assert leftovers(project_folder) == []
    assert sorted(each.name for each in path.parent.iterdir()) == ["a.bin"]


def test_an_existing_file_is_kept_if_its_checksum_is_right(server: Any, tmp_path: Path) -> None:
    served, path = server.add("/a", body=BODY), tmp_path / "a"
    path.write_bytes(BODY)
    get(server, path, "/a")
    assert served.requests == []
    path.write_bytes(b"damaged")
    assert get(server, path, "/a").read_bytes() == BODY


@pytest.mark.parametrize("cut_after", [400_000, 90_000])
def test_cut_transfer_goes_on_where_it_was(server: Any, tmp_path: Path, cut_after: int) -> None:
    served = server.add("/a", body=BODY, cut_after=cut_after)
    get(server, tmp_path / "a", "/a")
    assert (tmp_path / "a").read_bytes() == BODY
    starts = [int(each.get("Range", "bytes=0-")[6:-1]) for each in served.requests]
    assert starts == list(range(0, len(BODY), cut_after))
    assert served.sent_bytes == len(BODY), "no byte is sent twice"


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_part_that_is_shorter_than_asked_for_goes_on_too(
    server: Any, tmp_path: Path, sha256: str | None
) -> None:
    """RFC 9110, 15.3.7: a server may send a subrange of what was asked for."""
    served = server.add("/a", body=BODY, cut_after=400_000, part_bytes=250_000)
    assert get(server, tmp_path / "a", "/a", sha256=sha256).read_bytes() == BODY
    assert [each.get("Range") for each in served.requests] == [
        None, "bytes=400000-", "bytes=650000-", "bytes=900000-",
    ]  # fmt: skip


def test_a_later_call_goes_on_where_one_failed(server: Any, tmp_path: Path, project_folder: Path) -> None:
    served = server.add("/a", body=BODY, stall_after=600_000)
    served.ranges = False  # so that the first call cannot finish
    with pytest.raises(ValueError, match=r"a could not be downloaded: .*/a: stalled at 600,000 bytes"):
        get(server, tmp_path / "a", "/a")
    assert not (tmp_path / "a").exists()
    assert len(leftovers(project_folder)) == 2
    served = server.add("/a", body=BODY)
    get(server, tmp_path / "a", "/a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert served.sent_bytes == len(BODY) - 600_000


def test_a_killed_process_is_continued(server: Any, tmp_path: Path, project_folder: Path) -> None:
    server.add("/a", body=BODY, stall_after=600_000)
    code = f"""
from ganscribe.sources.fetch import fetch
fetch(["{server.url("/a")}"], "{tmp_path / "a"}", max_bytes={len(BODY)}, sha256="{SHA256}")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while sum(each.stat().st_size for each in project_folder.rglob("*.part")) < 524_288:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "a").exists()
    served = server.add("/a", body=BODY)
    assert get(server, tmp_path / "a", "/a").read_bytes() == BODY
    assert served.sent_bytes <= len(BODY) - 524_288


def test_two_downloads_of_one_file_at_once_are_refused(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=BODY, stall_after=100)
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            get(server, tmp_path / "a", "/a")
        except ValueError as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted("another process is downloading" in str(failure) for failure in failures) == [False, True]


def test_a_mirror_that_stalls_is_asked_again(server: Any, tmp_path: Path) -> None:
    served = server.add("/a", body=BODY, stall_after=600_000)
    assert get(server, tmp_path / "a", "/a").read_bytes() == BODY
    assert [each.get("Range") for each in served.requests] == [None, "bytes=600000-"]


def test_a_stall_and_a_cut_go_on_at_the_mirror(server: Any, tmp_path: Path) -> None:
    server.add("/stalls", body=BODY, stall_after=300_000)
    mirror = server.add("/mirror", body=BODY, etag=None)
    get(server, tmp_path / "a", "/stalls", "/mirror")
    assert (tmp_path / "a").read_bytes() == BODY
    assert mirror.requests[0]["Range"] == "bytes=300000-"


def test_no_ranges_starts_again(server: Any, tmp_path: Path) -> None:
    server.add("/cut", body=BODY, cut_after=300_000)
    mirror = server.add("/mirror", body=BODY, ranges=False)
    get(server, tmp_path / "a", "/cut", "/mirror")
    assert (tmp_path / "a").read_bytes() == BODY
    assert mirror.sent_bytes == len(BODY)


def test_a_changed_file_is_not_glued_to_its_old_beginning(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=bytes(len(BODY)), stall_after=300_000, etag='"old"', ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a", sha256=None)
    served = server.add("/a", body=BODY, etag='"new"')
    get(server, tmp_path / "a", "/a", sha256=None)
    assert (tmp_path / "a").read_bytes() == BODY
    assert served.requests[0]["If-Range"] == '"old"'


def test_without_checksum_or_validator_nothing_is_resumed(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=BODY, stall_after=300_000, etag=None, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a", sha256=None)
    served = server.add("/a", body=BODY, etag=None)
    get(server, tmp_path / "a", "/a", sha256=None)
    assert "Range" not in served.requests[0]
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_validator_is_of_one_mirror_alone(server: Any, tmp_path: Path) -> None:
    """Two mirrors may have the same Last-Modified, or ETag, for different files."""
    server.add("/cut", body=bytes(len(BODY)), cut_after=300_000)
    mirror = server.add("/mirror", body=BODY)
    assert get(server, tmp_path / "a", "/cut", "/mirror", sha256=None).read_bytes() == BODY
    assert "Range" not in mirror.requests[0]


@pytest.mark.parametrize(("sha256", "wanted"), [(SHA256, "bytes=300000-"), (None, None)])
def test_a_weak_validator_is_none(
    server: Any, tmp_path: Path, sha256: str | None, wanted: str | None
) -> None:
    """RFC 9110, 13.1.5: If-Range takes no weak one, because the bytes may differ."""
    options = {"body": BODY, "etag": 'W/"one"'}
    server.add("/a", **options, stall_after=300_000, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a", sha256=sha256)
    served = server.add("/a", **options)
    get(server, tmp_path / "a", "/a", sha256=sha256)
    assert [(each.get("Range"), each.get("If-Range")) for each in served.requests] == [(wanted, None)]


def test_another_range_than_was_asked_for_is_refused(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=BODY, stall_after=300_000, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a", sha256=None)
    server.add("/a", body=BODY, status=206, ranges=False)
    with pytest.raises(ValueError, match="HTTP 206 with the range 'bytes 0-999999/1000000'"):
        get(server, tmp_path / "a", "/a", sha256=None)


def test_bytes_of_unknown_origin_go_on_by_their_checksum(
    server: Any, tmp_path: Path, project_folder: Path
) -> None:
    server.add("/a", body=BODY, stall_after=300_000, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a")
    (origin,) = project_folder.rglob("*.json")
    origin.write_bytes(origin.read_bytes()[:5])
    served = server.add("/a", body=BODY)
    assert get(server, tmp_path / "a", "/a").read_bytes() == BODY
    assert served.sent_bytes == len(BODY) - 300_000


def test_wrong_old_bytes_are_thrown_away_once(server: Any, tmp_path: Path, project_folder: Path) -> None:
    server.add("/a", body=BODY, stall_after=300_000, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a")
    (part,) = project_folder.rglob("*.part")
    part.write_bytes(bytes(part.stat().st_size))
    served = server.add("/a", body=BODY)
    assert get(server, tmp_path / "a", "/a").read_bytes() == BODY
    assert [("Range" in each) for each in served.requests] == [True, False]


def test_killed_between_last_byte_and_check(server: Any, tmp_path: Path, project_folder: Path) -> None:
    server.add("/a", body=BODY, stall_after=300_000, ranges=False)
    with pytest.raises(ValueError, match="stalled"):
        get(server, tmp_path / "a", "/a")
    (part,) = project_folder.rglob("*.part")
    part.write_bytes(BODY)
    served = server.add("/a", body=BODY)
    assert get(server, tmp_path / "a", "/a").read_bytes() == BODY
    assert served.sent_bytes == 0


def test_wrong_bytes_fall_back_to_the_mirror(server: Any, tmp_path: Path, project_folder: Path) -> None:
    wrong = server.add("/wrong", body=BODY[::-1])
    server.add("/right", body=BODY)
    assert get(server, tmp_path / "a", "/wrong", "/right").read_bytes() == BODY
    with pytest.raises(ValueError, match="wrong checksum: its sha256 is .*, the publisher's is " + SHA256):
        get(server, tmp_path / "b", "/wrong")
    assert not (tmp_path / "b").exists()
    assert leftovers(project_folder) == []
    assert len(wrong.requests) == 2


def test_sha256_prefix_and_md5(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=BODY)
    get(server, tmp_path / "a", "/a", sha256=SHA256[:8].upper(), md5=MD5)
    with pytest.raises(ValueError, match="wrong checksum: its sha256"):
        get(server, tmp_path / "b", "/a", sha256=SHA256[:8] + SHA256[:8:-1])
    with pytest.raises(ValueError, match="wrong checksum: its md5"):
        get(server, tmp_path / "b", "/a", md5="0" * 32)


@pytest.mark.parametrize("claim_length", [True, False])
def test_oversize_is_refused(server: Any, tmp_path: Path, project_folder: Path, claim_length: bool) -> None:
    served = server.add("/a", body=BODY, claim_length=claim_length)
    with pytest.raises(ValueError, match="larger than the 500,000 bytes expected"):
        get(server, tmp_path / "a", "/a", max_bytes=500_000)
    assert len(served.requests) == 1
    (part,) = project_folder.rglob("*.part")
    assert (part.stat().st_size == 0) == claim_length, "what is announced to be too long is not waited for"


def test_not_found_redirect_loop_and_dead_port_are_each_named(server: Any, tmp_path: Path) -> None:
    server.add("/loop", redirect="/loop")
    with pytest.raises(ValueError, match="HTTP 404") as failure:
        fetch(
            [server.url("/missing"), server.url("/loop"), "http://127.0.0.1:9/dead", "ftp://127.0.0.1/x"],
            tmp_path / "a",
            max_bytes=9,
            retries=0,
        )
    for reason in ("too many redirects", "no answer (ConnectionError)", "No connection adapters"):
        assert reason in str(failure.value)


def test_redirects_are_followed_and_a_busy_server_is_asked_again(server: Any, tmp_path: Path) -> None:
    server.add("/moved", redirect="/busy")
    served = server.add("/busy", body=BODY, fail_first=1)
    assert get(server, tmp_path / "a", "/moved", retries=2).read_bytes() == BODY
    assert len(served.requests) == 2


@pytest.mark.parametrize("behaviour", [{"fail_first": 1}, {"silent_first": 1}])
def test_the_next_round_asks_a_busy_mirror_again_but_none_without_the_file(
    server: Any, tmp_path: Path, behaviour: dict[str, int]
) -> None:
    gone = server.add("/gone", status=404)
    busy = server.add("/busy", body=BODY, **behaviour)
    server.add("/cut", body=BODY, cut_after=400_000)
    assert get(server, tmp_path / "a", "/gone", "/busy", "/cut").read_bytes() == BODY
    assert (len(gone.requests), len(busy.requests)) == (1, 2)


def test_a_server_does_not_say_how_long_it_is_waited_for(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
    server.add("/a", body=BODY, fail_first=2, headers=(("Retry-After", "3600"),))
    assert get(server, tmp_path / "a", "/a", retries=2).read_bytes() == BODY
    assert sum(slept) < 60


def test_fetch_many(server: Any, tmp_path: Path) -> None:
    bodies = {f"{index}.jpg": BODY[index * 1000 : index * 1000 + 1500] for index in range(20)}
    for name, body in bodies.items():
        server.add(f"/{name}", body=body)
    server.add("/3.jpg", body=bodies["3.jpg"], cut_after=700)
    server.add("/mirror/3.jpg", body=bodies["3.jpg"])
    server.add("/4.jpg", body=bodies["4.jpg"], cut_after=700)
    del server.files["/5.jpg"]
    items = [
        Download((server.url(f"/{name}"), server.url(f"/mirror/{name}")), tmp_path / name) for name in bodies
    ]
    failures = fetch_many(items, max_bytes=2000, workers=4, retries=0)

    assert [each.path.name for each in failures] == ["4.jpg", "5.jpg"]
    assert "cut off" in failures[0].reason and "HTTP 404" in failures[1].reason
    arrived = {each.name: each.read_bytes() for each in tmp_path.glob("*.jpg")}
    assert arrived == {name: body for name, body in bodies.items() if name not in ("4.jpg", "5.jpg")}

    asked_before = len(server.files["/1.jpg"].requests)
    server.add("/4.jpg", body=bodies["4.jpg"])
    server.add("/5.jpg", body=bodies["5.jpg"])
    assert fetch_many(items, max_bytes=2000, workers=4, retries=0) == []
    assert (tmp_path / "4.jpg").read_bytes() == bodies["4.jpg"]
    assert len(server.files["/1.jpg"].requests) == asked_before


def test_fetch_many_gives_up_over_its_error_budget(server: Any, tmp_path: Path) -> None:
    items = [Download((server.url(f"/{index}"),), tmp_path / str(index)) for index in range(200)]
    with pytest.raises(ValueError, match="more than 2 files could not be fetched"):
        fetch_many(items, max_bytes=10, workers=2, max_failures=2, retries=0)
    assert [each for each in tmp_path.iterdir() if each.name != "project"] == []


def test_fetch_many_checks_size_and_checksum(server: Any, tmp_path: Path) -> None:
    server.add("/a", body=BODY)
    url = server.url("/a")
    (failure,) = fetch_many([Download((url,), tmp_path / "a")], max_bytes=10, retries=0)
    assert "larger than the 10 bytes" in failure.reason
    (failure,) = fetch_many([Download((url,), tmp_path / "a", md5="0" * 32)], max_bytes=1 << 20, retries=0)
    assert "wrong checksum" in failure.reason


@pytest.mark.parametrize(
    ("behaviour", "reason", "retries"),
    [
        ({"trickle": 0.02}, r"too slow: \d+ bytes in \d+ seconds", 3),  # no further round with it
        ({"trickle_headers": 0.02}, "no answer", 0),
    ],
    ids=["body", "headers"],
)
def test_a_trickle_is_given_up_and_the_mirror_asked(
    server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behaviour: dict[str, float],
    reason: str,
    retries: int,
) -> None:
    """A byte within every timeout: no read ever times out, and the file would take days."""
    monkeypatch.setattr("ganscribe.sources.transfer.PATIENCE_SECONDS", 0.5)
    slow = server.add("/slow", body=BODY, **behaviour)
    server.add("/mirror", body=BODY)
    assert get(server, tmp_path / "a", "/slow", "/mirror").read_bytes() == BODY
    with pytest.raises(ValueError, match=f"/slow: {reason}"):
        get(server, tmp_path / "b", "/slow", retries=retries)
    assert len(slow.requests) == 2
    (failure,) = fetch_many([Download((server.url("/slow"),), tmp_path / "c")], max_bytes=1 << 20, retries=0)
    assert reason[:8] in failure.reason and not (tmp_path / "c").exists()


def test_a_trickle_after_a_fast_beginning_is_given_up_as_soon(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganscribe.sources.transfer.PATIENCE_SECONDS", 0.5)
    served = server.add("/a", body=BODY, fast_bytes=20_000, trickle=0.02)
    with pytest.raises(ValueError, match="too slow"):
        get(server, tmp_path / "a", "/a")
    assert served.sent_bytes < 20_500  # on average it would be fast enough until 1,000 have trickled


def test_what_comes_fast_enough_is_not_given_up(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ganscribe.sources.transfer.PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr("ganscribe.sources.transfer.MIN_BYTES_PER_SECOND", 1)
    server.add("/slow", body=BODY[:40], trickle=0.02)
    digest = hashlib.sha256(BODY[:40]).hexdigest()
    assert get(server, tmp_path / "a", "/slow", sha256=digest).read_bytes() == BODY[:40]


@pytest.mark.parametrize("behaviour", [{"redirect": "/a"}, {"fail_first": 1}], ids=["redirect", "busy"])
def test_an_endless_body_of_a_redirect_or_a_busy_server_is_left_unread(
    server: Any, tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    server.add("/a", body=BODY)
    endless = server.add("/endless", body=BODY, endless=True, **behaviour)
    assert get(server, tmp_path / "a", "/endless", retries=1).read_bytes() == BODY
    assert endless.sent_bytes < 20_000_000  # what the kernel's buffers hold, and the file


@pytest.mark.parametrize(
    "headers",
    [
        {"claim_length": False, "headers": (("Content-Length", "9" * 5000),)},
        {"claim_length": False, "headers": (("Content-Length", "-5"),)},
        {"status": 206, "headers": (("Content-Range", f"bytes {'9' * 5000}-5/9"),)},
        {"redirect": "http://"},
        {"redirect": "http://[::1"},
        {"redirect": "http://\u00ff\u00fe/"},
        {"redirect": "file:///etc/passwd"},
        {"redirect": "http://127.0.0.1:99999999/"},
        {"redirect": "http://" + "a" * 300 + "/"},
        {"redirect": "\\\\"},
    ],
)
def test_odd_headers_are_one_mirror_s_failure(server: Any, tmp_path: Path, headers: dict[str, Any]) -> None:
    server.add("/odd", **({"body": BODY} | headers))
    server.add("/mirror", body=BODY)
    assert get(server, tmp_path / "a", "/odd", "/mirror").read_bytes() == BODY


def test_a_mirror_s_password_is_neither_told_nor_kept(
    server: Any, tmp_path: Path, project_folder: Path
) -> None:
    server.add("/a?token=s3cret", body=BODY, stall_after=600_000, ranges=False)
    address = server.url("/a?token=s3cret").replace("://", "://alice:s3cret@")
    options: dict[str, Any] = {"max_bytes": len(BODY), "timeout_seconds": (2.0, 0.5), "retries": 0}
    with pytest.raises(ValueError, match=r"http://\*\*\*@.*/a\?token=\*\*\*: stalled") as told:
        fetch([address], tmp_path / "a", **options)
    (failure,) = fetch_many([Download((address,), tmp_path / "b")], **options)
    assert "stalled" in failure.reason
    kept = [path for path in project_folder.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
    assert (kept, "s3cret" in f"{told.value} {failure.reason}") == ([], False)
    served = server.add("/a?token=s3cret", body=BODY)
    assert fetch([address], tmp_path / "a", **options).read_bytes() == BODY
    assert served.sent_bytes == len(BODY) - 600_000, "the bytes at hand are known to be of this mirror"
