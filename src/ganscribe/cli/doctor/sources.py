"""Checks of the data sources, and of the disk space that the chosen scale needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ganscribe import config
from ganscribe.cli.doctor.findings import Finding, fault, ok
from ganscribe.config.files import Params, Scale
from ganscribe.core.files import project_root

GIGABYTE = 10**9
# Free disk for a whole run and DVC's cache of it, by where COCO comes from: drawn, a folder, a download.
FREE_GIGABYTES = {"sample": 5, "local": 15, "download": 30}
ARCHIVE_GIGABYTES = 14  # train2014.zip
TOPICS = {"inception": "weights", "fid_inception": "FID's weights"}


def check_source(params: Params, scale: Scale, name: str, *, is_online: bool) -> Iterator[Finding]:
    """Say where a data set or the weights come from, and check whether they are available there."""
    topic = TOPICS.get(name, name)
    try:
        place = config.select(params, scale, "place", name)
        if place.source == "local":
            from ganscribe.sources.acquire import INSPECT, local_root

            root = local_root(name, place.folder)
            if name in TOPICS and Path(place.folder).is_file():
                root = Path(place.folder)
                counts = {"bytes": root.stat().st_size}
            else:
                _, counts = INSPECT[name](root, place.archive)
            listed = ", ".join(f"{count:,} {what}" for what, count in counts.items())
            yield ok(topic, f"local: {root}: {listed}")
            return
    except (ValueError, OSError) as error:
        yield fault(topic, str(error), f"set sources.{name} in params.yaml, or put the files there")
        return
    if place.source == "none":
        yield ok(topic, "none: GANs are scored by the judges alone")
        return
    if place.source == "sample":
        yield ok(topic, _sample_text(name, place.folder))
        return
    if not is_online:
        yield ok(topic, "download: use --online to check whether the publishers answer")
        return
    yield from _check_publishers(topic, name, archive=place.archive)


def hub_folder() -> Path:
    """Return what `torch.hub.get_dir()` returns, without the two seconds that importing torch takes."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", Path(cache, "torch")), "hub").expanduser()


def _sample_text(name: str, folder: str | None) -> str:
    if name != "inception":
        return "sample: comes with a package" if name == "mnist" else "sample: drawn by the project itself"
    from ganscribe.sources.publishers import INCEPTION_FILE

    cached = Path(folder) if folder else hub_folder() / "checkpoints" / INCEPTION_FILE
    if cached.is_file():
        return f"sample: ImageNet weights at {cached}"
    return "sample: no ImageNet weights are on this machine, so the feature network will be random-init"


def _check_publishers(topic: str, name: str, *, archive: bool) -> Iterator[Finding]:
    """Check whether one of the addresses of each published file answers."""
    import requests

    from ganscribe.sources.publishers import publications

    for publication in publications(name, archive=archive):
        reasons = []
        for url in publication.urls:
            try:
                answer = requests.head(url, timeout=10, allow_redirects=True)
            except requests.RequestException as error:
                reasons.append(f"{url}: {type(error).__name__}")
                continue
            if answer.ok:
                break
            reasons.append(f"{url}: {answer.status_code}")
        else:
            remedy = f"check the network, or set sources.{name} to local or GANSCRIBE_MIRROR"
            text = f"download: {publication.path} cannot be reached: {'; '.join(reasons)}"
            yield fault(topic, text, remedy)
            return
    yield ok(topic, "download: the publishers answer")


def check_disk(params: Params, scale: Scale) -> Iterator[Finding]:
    """Check that enough space is free for the scale."""
    source = params.sources.coco.source
    needed = FREE_GIGABYTES[scale.sources.coco if source == "scale" else source]
    if params.sources.coco.archive:
        needed += ARCHIVE_GIGABYTES
    free = shutil.disk_usage(project_root()).free / GIGABYTE
    text = f"{free:.0f} GB are free, and the scale {params.scale} takes up to {needed} GB"
    remedy = "free some space (`dvc gc --workspace`)"
    yield ok("disk", text) if free >= needed else fault("disk", text, remedy)
