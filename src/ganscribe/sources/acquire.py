"""The raw data: taken in one of three ways, checked, and listed with their checksums in a manifest.

`sample` needs no network, `download` takes the publishers' files, `local` reads a folder that the user has in
the publishers' own layout: its files are never copied and never written to. Of what the project can do without,
`none` takes the place of a sample: a manifest that lists no file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ganscribe.core.files import atomic_folder, file_sha256, write_json
from ganscribe.execution.progress import progress
from ganscribe.sources import inspection
from ganscribe.sources.publishers import Publication, download, publications

MANIFEST = "manifest.json"
# (root, archive) -> (the files that count, row counts); raise ValueError where the structure is wrong.
INSPECT: dict[str, Callable[[Path, bool], tuple[list[Path], dict[str, int]]]] = {
    "mnist": inspection.inspect_mnist,
    "cifar10": inspection.inspect_cifar10,
    "coco": inspection.inspect_coco,
    "inception": inspection.inspect_inception,
    "fid_inception": inspection.inspect_fid_inception,
}
KINDS = dict.fromkeys(INSPECT, ("sample", "download", "local")) | {
    "fid_inception": ("none", "download", "local")
}


@dataclass(frozen=True)
class RawFile:
    """One file of a data set; `path` is relative to the data set's root, with slashes."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Raw:
    """A data set that `acquire` has checked: its files lie under `root`."""

    name: str
    source: str
    root: Path
    files: dict[str, RawFile]
    counts: dict[str, int]

    def path(self, name: str) -> Path:
        """The file `name`, its bytes held against the manifest. Raises ValueError if they have changed."""
        check_files(self, [name])
        return self.root / name


def acquire(
    name: str,
    *,
    source: str,
    folder: str | Path | None,
    destination: str | Path,
    scenes: int,
    seed: int,
    archive: bool = False,
    wanted: Sequence[Publication] | None = None,
) -> Raw:
    """Get the data set `name`, a key of `INSPECT`, check it, list it in `destination`.

    `wanted` replaces the publishers' files. Raises ValueError or FileNotFoundError, and leaves no destination
    behind, if anything is missing or not what it should be.
    """
    if name not in INSPECT:
        raise ValueError(f"no source is called {name!r}: choose one of {', '.join(INSPECT)}")
    if source not in KINDS[name]:
        raise ValueError(f"sources.{name}.source is {source!r}: choose one of {', '.join(KINDS[name])}")
    destination = Path(destination)
    with atomic_folder(destination) as fresh:
        root = fresh
        if source == "sample":
            _write_sample(name, fresh, folder=folder, scenes=scenes, seed=seed)
        elif source == "download":
            download(name, wanted or publications(name, archive=archive), fresh)
        elif source == "local":
            root = local_root(name, folder)
        paths, counts = _inspect(name, source, root, folder, archive)
        files = list_files(root, paths)
        manifest = {"source": source, "files": [asdict(each) for each in files], "counts": counts}
        write_json(fresh / MANIFEST, manifest)
    return open_raw(name, destination, folder=folder)


def _write_sample(name: str, fresh: Path, *, folder: str | Path | None, scenes: int, seed: int) -> None:
    from ganscribe.sources import samples

    if name == "mnist":
        samples.write_mnist(fresh, seed=seed)
    elif name == "cifar10":
        samples.write_cifar10(fresh, num_images=scenes, seed=seed)
    elif name == "coco":
        samples.write_coco(fresh, num_images=scenes, seed=seed)
    else:
        samples.write_inception(fresh, folder=folder)


def _inspect(
    name: str, source: str, root: Path, folder: str | Path | None, archive: bool
) -> tuple[list[Path], dict[str, int]]:
    if source == "none":
        return [], {}
    if name == "inception" and source == "sample" and not list(root.iterdir()):
        return [], {}  # no weights to be had: the network will be random
    if name in inspection.WEIGHTS and source == "local" and folder is not None and Path(folder).is_file():
        return inspection.WEIGHTS[name](Path(folder))
    return INSPECT[name](root, archive and source != "sample")


def local_root(name: str, folder: str | Path | None) -> Path:
    """The folder that `local` reads from. For the weights, `folder` may be the file itself."""
    if folder is None:
        raise ValueError(f"sources.{name}.source is local, but sources.{name}.folder is not set")
    folder = Path(folder)
    if name in inspection.WEIGHTS and folder.is_file():
        return folder.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"sources.{name}.folder: there is no folder {folder}")
    return folder


def list_files(root: Path, paths: Iterable[Path]) -> list[RawFile]:
    """Size and SHA-256 of each file, sorted by path."""
    paths, files = sorted(paths), []
    if not paths:
        return []
    with ThreadPoolExecutor(4) as pool, progress(len(paths), "checksums", "file") as bar:
        for path, digest in zip(paths, pool.map(file_sha256, paths), strict=True):
            files.append(RawFile(path.relative_to(root).as_posix(), path.stat().st_size, digest))
            bar.update()
    return sorted(files, key=lambda each: each.path)


def open_raw(name: str, destination: str | Path, *, folder: str | Path | None) -> Raw:
    """What `acquire` listed in `destination`; `folder` is needed for `local` alone."""
    path = Path(destination) / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run `dvc repro download@{name}`") from None
    files = {each["path"]: RawFile(**each) for each in manifest["files"]}
    root = local_root(name, folder) if manifest["source"] == "local" else Path(destination)
    return Raw(name, manifest["source"], root, files, manifest["counts"])


def check_files(raw: Raw, names: Iterable[str] | None = None) -> None:
    """Hold files (default: all) against the manifest. Raises ValueError if one has changed or gone."""
    for name in raw.files if names is None else names:
        listed, path = raw.files.get(name), raw.root / name
        if listed is None:
            raise ValueError(
                f"{path} is not in the manifest of {raw.name}: run `dvc repro -f download@{raw.name}`"
            )
        if not path.is_file():
            raise FileNotFoundError(f"{path} has gone since download: run `dvc repro -f download@{raw.name}`")
        if path.stat().st_size != listed.bytes or file_sha256(path) != listed.sha256:
            raise ValueError(f"{path} has changed since download: run `dvc repro -f download@{raw.name}`")
