"""Extraction and training on a cluster of two nodes that is up already, at RAY_ADDRESS."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

import gans
from ganscribe.core.files import file_sha256
from ganscribe.datasets.image_files import ImageFile
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.engines.extraction import extract
from ganscribe.execution.engines.training import train
from ganscribe.features.extraction import Extraction, extract_features, plan_extraction
from ganscribe.features.inception import Inception, load_inception, prepare
from ganscribe.gan.common.training import train_gan
from loopback import free_port
from together import CPU, SMALL_GAN

pytestmark = pytest.mark.faults  # two nodes take their time to start


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes of one CPU each on this machine, started in a folder that is not the project's."""
    elsewhere = Path(tempfile.mkdtemp(prefix="ray"))  # a short path: sockets lie in it
    ray = [str(Path(sys.executable).with_name("ray"))]
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0",
        "RAY_raylet_start_wait_time_s": "180",
    }  # fmt: skip
    port = free_port()
    places = (
        ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={elsewhere}"],
        [f"--address=127.0.0.1:{port}"],
    )
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for place in places:
            command = [
                *ray,
                "start",
                "--block",
                "--num-cpus=1",
                "--num-gpus=0",
                "--node-ip-address=127.0.0.1",
                *place,
            ]
            with (elsewhere / f"node{len(nodes)}.log").open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        command,
                        cwd=elsewhere,
                        env=environment,
                        stdout=log,
                        stderr=log,
                        start_new_session=True,
                    )
                )
            deadline = time.monotonic() + 200
            while "Ray runtime started" not in (elsewhere / f"node{len(nodes) - 1}.log").read_text():
                assert nodes[-1].poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        for node in nodes:  # a SIGTERM is answered after thirty seconds
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in psutil.Process(node.pid).children(recursive=True):
                    process.kill()
            node.kill()
        for node in nodes:
            node.wait()
        shutil.rmtree(elsewhere)


@pytest.fixture
def on_ray(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a stage whose environment names that cluster."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANSCRIBE_ENGINE", "ray")
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return tmp_path


def plan(working: str, inception: Inception) -> Extraction:
    files = [
        ImageFile(number, path.name, 1, file_sha256(path))
        for number, path in enumerate(sorted(Path("images").iterdir()))
    ]
    Path(working).mkdir()
    return plan_extraction(
        files, folder=Path("images"), inception=inception, precision="fp32", crop="none", batch_size=2,
        images_per_shard=2, working=Path(working),
    )  # fmt: skip


def test_features_are_those_of_the_local_engine(on_ray: Path) -> None:
    Path("images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (64, 70, 3), dtype=np.uint8)).save(f"images/{number}.png")
    noise = torch.randint(
        0, 256, (2, 3, 299, 299), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    inception = prepare(load_inception(None, calibration_images=noise), precision="fp32", device=CPU)
    settings: dict[str, Any] = {"inception": inception, "device": CPU, "max_bad_images": 0.0}
    extract_features(plan("w1", inception), out=Path("local"), **settings)
    extract(extract_features, plan("w2", inception), out=Path("ray"), is_stopping=lambda: False, **settings)
    names = sorted(path.name for path in Path("local").iterdir())
    assert "shard-00003.parquet" in names
    assert names == sorted(path.name for path in Path("ray").iterdir())
    for name in names:
        assert Path("local", name).read_bytes() == Path("ray", name).read_bytes(), name


def test_the_loss_curve_is_that_of_one_worker(on_ray: Path) -> None:
    Path("state").mkdir()
    checkpoint = Checkpoint(Path("state"), every_seconds=0)
    recipe, budget = gans.recipe_and_budget(**SMALL_GAN)
    settings: dict[str, Any] = {"budget": budget, "device": CPU}
    train(train_gan, gans.pictures(), recipe, checkpoint=checkpoint, log=lambda step, row: None, **settings)
    state = checkpoint.load()
    assert state is not None and state["step"] == 10, "made on the cluster"
    alone = train_gan(gans.pictures(), recipe, **settings)
    for row, expected in zip(state["history"], alone.history, strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-3)
