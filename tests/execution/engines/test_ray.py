"""Extraction and training on a Ray cluster of this machine: the same files, whoever is killed on the way."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
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
from ganscribe.execution.engines.cluster import connected, engine, num_workers
from ganscribe.execution.engines.extraction import extract
from ganscribe.execution.engines.training import train
from ganscribe.features.extraction import Extraction, extract_features, plan_extraction
from ganscribe.features.inception import Inception, load_inception, prepare
from ganscribe.gan.common.training import train_gan
from loopback import free_port
from together import CPU, SMALL_GAN

RECIPE, BUDGET = gans.recipe_and_budget(**SMALL_GAN | {"steps": 40, "sample_every": 20})


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster of two CPUs for all these tests; our engine finds it and leaves it running."""
    import ray

    source = str(Path(__file__).resolve().parents[3] / "src")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSCRIBE_ENGINE", "ray")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # Ray's 15 lets a busy machine's other tests starve it
        environment = {"PYTHONPATH": source, "RAY_CHDIR_TO_TRIAL_DIR": "0"}
        ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, runtime_env={"env_vars": environment})
        yield
        ray.shutdown()


def kill_one(title: str, ready: Callable[[], bool], killed: list[int]) -> threading.Thread:
    """A thread that kills a Ray process with `title` in its name as soon as `ready()`."""

    def wait() -> None:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            time.sleep(0.05)
            found = [
                one
                for one in psutil.process_iter(["cmdline"])
                if title in " ".join(one.info["cmdline"] or [])
            ]
            mine = [
                one for one in found if one.is_running() and os.getpid() in {p.pid for p in one.parents()}
            ]
            if mine and ready():
                os.kill(mine[0].pid, signal.SIGKILL)
                killed.append(mine[0].pid)
                return

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_the_engine_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANSCRIBE_ENGINE", raising=False)
    assert engine() == "local"
    monkeypatch.setenv("GANSCRIBE_ENGINE", "spark")
    with pytest.raises(ValueError, match="GANSCRIBE_ENGINE=spark is unknown: use local or ray"):
        engine()
    monkeypatch.delenv("GANSCRIBE_WORKERS", raising=False)
    assert num_workers(3) == 3
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    assert num_workers(3) == 2
    for name in ("none", "0", "-1", "1.5"):
        monkeypatch.setenv("GANSCRIBE_WORKERS", name)
        with pytest.raises(ValueError, match=f"GANSCRIBE_WORKERS={name} is not a number of workers"):
            num_workers(3)


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(ValueError, match=r"RAY_ADDRESS=127.0.0.1:\d+ cannot be joined"), connected():
        pass


@pytest.mark.faults  # a minute and a half
def test_a_training_whose_worker_is_killed_ends_as_an_unbroken_one(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    rows: dict[str, list[tuple[int, dict[str, float]]]] = {"whole": [], "killed": []}
    ended: dict[str, list[torch.Tensor]] = {}
    killed: list[int] = []
    for name, results in rows.items():
        folder = tmp_path / name
        folder.mkdir()
        if name == "killed":
            thread = kill_one("ray::RayTrainWorker", (folder / "state.pt").exists, killed)
        checkpoint = Checkpoint(folder, every_seconds=0)
        trained = train(
            train_gan,
            gans.pictures(),
            RECIPE,
            budget=BUDGET,
            device=CPU,
            checkpoint=checkpoint,
            log=lambda step, row, results=results: results.append((step, row)),  # type: ignore[misc]
        )
        ended[name] = gans.weights(trained)
        assert trained.step == 40
    thread.join()
    assert killed
    assert [step for step, _ in rows["whole"]] == list(range(5, 45, 5))
    assert rows["killed"] == rows["whole"]
    assert all(map(torch.equal, ended["whole"], ended["killed"]))

    alone = train_gan(gans.pictures(), RECIPE, budget=BUDGET, device=CPU)
    for (_, row), expected in zip(rows["whole"], alone.history, strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_what_a_worker_refuses_is_the_message(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    monkeypatch.setattr("ganscribe.execution.engines.training.MAX_FAILURES", 0)
    odd, checkpoint = replace(RECIPE, batch_size=15), Checkpoint(tmp_path, every_seconds=30)
    settings: dict[str, Any] = {"budget": BUDGET, "device": CPU, "checkpoint": checkpoint, "log": print}
    with pytest.raises(ValueError, match="a batch of 15 cannot be shared evenly by 2 workers"):
        train(train_gan, gans.pictures(), odd, **settings)


def plan(folder: Path, working: Path, inception: Inception) -> Extraction:
    files = [
        ImageFile(number, path.name, 1, file_sha256(path))
        for number, path in enumerate(sorted(folder.iterdir()))
    ]
    working.mkdir()
    return plan_extraction(
        files, folder=folder, inception=inception, precision="fp32", crop="none", batch_size=2,
        images_per_shard=3, working=working,
    )  # fmt: skip


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Use two threads: a worker of Ray has one by default, which rounds differently in fp32."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_an_extraction_whose_actor_is_killed_has_the_bytes_of_the_local_one(
    cluster: None, two_threads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_WORKERS", "2")
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(11):
        pixels = rng.integers(0, 256, (64 + number, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.jpg")
    (folder / "03.jpg").write_bytes(b"no picture")
    noise = torch.randint(
        0, 256, (2, 3, 299, 299), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    inception = prepare(load_inception(None, calibration_images=noise), precision="fp32", device=CPU)

    local = plan(folder, tmp_path / "w1", inception)
    settings: dict[str, Any] = {"inception": inception, "device": CPU, "max_bad_images": 0.1}
    rejected = extract_features(local, out=tmp_path / "local", **settings)
    spread = plan(folder, tmp_path / "w2", inception)
    killed: list[int] = []
    thread = kill_one("ray::MapWorker", spread.path(0).exists, killed)
    again = extract(extract_features, spread, out=tmp_path / "ray", is_stopping=lambda: False, **settings)
    thread.join()
    assert killed and again == rejected and [image.file_name for image in again] == ["03.jpg"]
    names = sorted(path.name for path in (tmp_path / "local").iterdir())
    assert "shard-00003.parquet" in names and "inception.safetensors" in names
    assert names == sorted(path.name for path in (tmp_path / "ray").iterdir())
    for name in names:
        assert (tmp_path / "local" / name).read_bytes() == (tmp_path / "ray" / name).read_bytes(), name
