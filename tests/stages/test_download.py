"""download and prepare_images as a user meets them: what they write, and what they say to a mistake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parameters import TINY, copy_params, use_local


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A project folder of the test's own, at the tiny scale."""
    copy_params(project, tmp_path, TINY)
    return tmp_path


def run(project: Path, folder: Path, stage: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(project / "stages" / f"{stage}.py"), name],
        cwd=folder,
        env={**os.environ, "DVC_ROOT": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_cifar10_to_parquet(project: Path, folder: Path) -> None:
    import pyarrow.parquet as pq

    for stage in ("download", "prepare_images"):
        finished = run(project, folder, stage, "cifar10")
        assert finished.returncode == 0, finished.stderr
    rows = {
        path.stem: pq.read_metadata(path).num_rows for path in (folder / "data" / "cifar10").glob("*.parquet")
    }
    assert rows == {"train": 810, "val": 90, "test": 100}


def test_missing_folder_is_one_message(project: Path, folder: Path) -> None:
    use_local(folder, "mnist", "nowhere/at/all")
    finished = run(project, folder, "download", "mnist")
    assert finished.returncode == 1
    (message,) = [line for line in finished.stderr.splitlines() if line]
    assert message.startswith("Error: sources.mnist.folder: there is no folder ")
    assert not (folder / "data" / "raw" / "mnist").exists()


def test_truncated_file_is_one_message_and_leaves_nothing(
    project: Path, folder: Path, test_data: Path
) -> None:
    shutil.copytree(test_data / "mnist", folder / "mine", copy_function=shutil.copyfile)
    use_local(folder, "mnist", "mine")
    path = folder / "mine/MNIST/raw/t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100_000])
    finished = run(project, folder, "download", "mnist")
    assert finished.returncode == 1
    assert "t10k-images-idx3-ubyte.gz is truncated or damaged" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not list((folder / "data").rglob("*.*"))


def test_prepare_before_download(project: Path, folder: Path) -> None:
    finished = run(project, folder, "prepare_images", "mnist")
    assert finished.returncode == 1
    assert "manifest.json is missing: run `dvc repro download@mnist`" in finished.stderr
