"""Archives, good, damaged and hostile."""

from __future__ import annotations

import errno
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from ganscribe.sources.archives import unpack

CONTENT = {"a/one.bin": random.Random(0).randbytes(50_000), "a/b/two.bin": b"two", "empty": b""}
KINDS = ["x.zip", "x.tar", "x.tar.gz", "x.tar.xz"]


def make(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    compression = path.suffix.removeprefix(".").replace("tar", "")
    with tarfile.open(path, f"w:{compression}") as opened:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_content_comes_back(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / kind, CONTENT)
    paths = unpack(archive, tmp_path / "out", max_bytes=60_000)
    assert [str(each.relative_to(tmp_path / "out")) for each in paths] == list(CONTENT)
    assert [each.read_bytes() for each in paths] == list(CONTENT.values())


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_members_asked_for(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / kind, CONTENT)
    assert unpack(archive, tmp_path / "out", max_bytes=3, members=["a/b/two.bin"]) == [
        tmp_path / "out/a/b/two.bin"
    ]
    with pytest.raises(ValueError, match="lacks 1 of 2 files, none among them"):
        unpack(archive, tmp_path / "out", max_bytes=3, members=["none", "empty"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "..\\evil", "C:/evil"])
def test_traversal_is_refused_before_anything_is_written(tmp_path: Path, kind: str, name: str) -> None:
    archive = make(tmp_path / kind, {"fine": b"1", name: b"evil"})
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(archive, tmp_path / "out", max_bytes=100)
    assert sorted(each.name for each in tmp_path.rglob("*")) == [kind]


@pytest.mark.parametrize("type", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused(tmp_path: Path, type: bytes) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as opened:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = type, "/etc/passwd"
        opened.addfile(info)
    with pytest.raises(ValueError, match="link or device"):
        unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=100)


def test_zip_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(ValueError, match="link or device"):
        unpack(tmp_path / "x.zip", tmp_path / "out", max_bytes=100)


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_are_refused(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / kind, {"zeros": bytes(3_000_000)})
    with pytest.raises(ValueError, match="unpacks to 3,000,000 bytes, more than the 1,000,000 expected"):
        unpack(archive, tmp_path / "out", max_bytes=1_000_000)


@pytest.mark.parametrize("kind", KINDS)
def test_truncated(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / kind, CONTENT)
    archive.write_bytes(archive.read_bytes()[:30_000])
    with pytest.raises(ValueError, match="truncated or damaged"):
        unpack(archive, tmp_path / "out", max_bytes=60_000)
    assert not list((tmp_path / "out").rglob("*.bin"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_not_blamed_on_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive = make(tmp_path / kind, CONTENT)
    monkeypatch.setattr("ganscribe.sources.archives.atomic_write", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(archive, tmp_path / "out", max_bytes=60_000)


def test_no_archive_at_all(tmp_path: Path) -> None:
    (tmp_path / "page.zip").write_text("<html>moved</html>")
    with pytest.raises(ValueError, match="truncated or damaged"):
        unpack(tmp_path / "page.zip", tmp_path / "out", max_bytes=10)
    with pytest.raises(FileNotFoundError, match=r"gone\.zip is missing"):
        unpack(tmp_path / "gone.zip", tmp_path / "out", max_bytes=10)


@pytest.mark.parametrize("kind", [*KINDS, "x.tar.bz2"])
def test_damage_of_any_kind_is_named(tmp_path: Path, kind: str) -> None:
    """Bytes changed at random: the content comes back, or ValueError, never anything else."""
    whole = make(tmp_path / kind, {"a/one.bin": b"one" * 200, "two": b"two"}).read_bytes()
    rng, refused = random.Random(0), 0
    for number in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = tmp_path / f"{number}-{kind}"
        path.write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        try:
            unpack(path, tmp_path / "out", max_bytes=60_000)
        except ValueError as error:
            assert path.name in str(error)
            refused += 1
        path.unlink()
    assert refused > 50  # a plain tar has no checksum of its contents
    assert {each.name for each in tmp_path.iterdir()} <= {kind, "out"}
