"""The disk lets a stage down: full, read-only, bytes flipped, a state that does not fit. One message, nothing
overwritten, and the next run goes on."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.convnets.common.training import train_classifier
from ganscribe.datasets.images import Images
from ganscribe.execution.checkpoint import Checkpoint, open_checkpoint
from ganscribe.features.shards import KEYS, ShardWriter, open_shards
from ganscribe.training.budget import Budget
from parameters import TINY, copy_params
from scripts import run

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def small_files() -> None:
    """Let no file grow beyond 50,000 bytes, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


def obey_permissions() -> None:
    """Make root obey permission bits like any other user."""
    if os.geteuid() == 0:
        assert ctypes.CDLL(None, use_errno=True).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) == 0


@pytest.fixture(scope="module")
def prepared(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits downloaded and prepared, at the tiny scale."""
    folder = tmp_path_factory.mktemp("prepared")
    copy_params(project, folder, TINY)
    for command in ("download.py", "prepare_images.py"):
        done = run(project, folder, command, "mnist")
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "work"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("command", "out"),
    [("prepare_images.py mnist", "data/mnist"), ("train_classifier.py lenet5", "models/classifiers")],
)
def test_a_full_disk_is_named_and_what_was_there_stays(
    project: Path, folder: Path, command: str, out: str
) -> None:
    model = folder / "models/classifiers/lenet5/model.safetensors"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"the one before")
    before = content(folder / out)
    done = run(project, folder, *command.split(), before=small_files)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert message == (
        f"Error: nothing more could be written (File too large: {folder}): free some space and run it again; "
        "`dvc repro` continues from the complete files"
    )
    assert content(folder / out) == before
    assert list(folder.rglob(".*.tmp")) == []
    done = run(project, folder, *command.split())
    assert done.returncode == 0, done.stderr
    assert model.stat().st_size > 50_000 or "prepare" in command


def test_a_read_only_folder_is_named(project: Path, folder: Path) -> None:
    before = content(folder)
    (folder / "data").chmod(0o555)
    done = run(project, folder, "prepare_images.py", "mnist", before=obey_permissions)
    (folder / "data").chmod(0o755)
    assert done.returncode == 1, "the permissions were heeded"
    assert done.stderr.splitlines()[-1] == "Error: [Errno 13] Permission denied: 'data/.mnist.tmp'"
    assert content(folder) == before


def test_a_missing_input_is_named(project: Path, folder: Path) -> None:
    (folder / "data/mnist/val.parquet").unlink()
    done = run(project, folder, "train_classifier.py", "lenet5")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "data/mnist/val.parquet" in done.stderr.splitlines()[-1]
    assert not (folder / "models").exists()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path / ".checkpoints" / "key"


def test_a_checkpoint_on_a_full_disk_leaves_the_one_before(scratch: Path) -> None:
    """/dev/full takes nothing, and says so as a full disk does."""
    with pytest.raises(OSError, match="No space left on device"), open_checkpoint("key") as checkpoint:
        checkpoint.save({"step": 1})
        (scratch / f".state.pt.{os.getpid()}.tmp").symlink_to("/dev/full")
        checkpoint.save({"step": 2, "weights": torch.zeros(100_000)})
    with open_checkpoint("key") as checkpoint:
        assert checkpoint.load() == {"step": 1}
        checkpoint.save({"step": 2})


def train(num_classes: int, checkpoint: Checkpoint, max_updates: int) -> None:
    pixels, rows = torch.zeros(8, 1, 28, 28, dtype=torch.uint8), torch.arange(8)
    images = Images(pixels, rows % num_classes, rows, [str(k) for k in range(num_classes)], "mnist", "drawn")
    recipe = ClassifierRecipe(network="lenet5", dataset="mnist", batch_size=4, epochs=9)
    budget = Budget(seed=0, precision="fp32", max_updates=max_updates)
    train_classifier(images, images, recipe, budget=budget, device=torch.device("cpu"), checkpoint=checkpoint)


def test_a_state_of_other_shapes_is_named_and_kept(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSCRIBE_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt), open_checkpoint("key") as checkpoint:
        train(10, checkpoint, max_updates=2)
        raise KeyboardInterrupt
    before = content(scratch)
    assert set(map(os.path.basename, before)) == {"state.pt", "previous.pt"}
    message = r"could not go on from .*key/state\.pt .*size mismatch.*: delete .*key to start again$"
    with pytest.raises(ValueError, match=message), open_checkpoint("key") as checkpoint:
        train(5, checkpoint, max_updates=4)
    assert content(scratch) == before
    with open_checkpoint("key") as checkpoint:
        train(10, checkpoint, max_updates=4)


def test_a_state_from_a_card_is_named_and_kept_on_a_cpu(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSCRIBE_CHECKPOINT_SECONDS", "0")
    with pytest.raises(KeyboardInterrupt), open_checkpoint("key") as checkpoint:
        train(10, checkpoint, max_updates=2)
        state = checkpoint.load()
        assert state is not None
        for group in state["optimiser"]["param_groups"]:
            group["lr"] = torch.tensor(group["lr"])  # as build_optimiser makes it for CUDA
        checkpoint.save(state)
        raise KeyboardInterrupt
    before = content(scratch)
    told = r"it began on cuda, and this is cpu: set GANSCRIBE_DEVICE=cuda to go on"
    message = rf"could not go on from .*key/state\.pt \(RuntimeError: {told}\): delete .*key to start again$"
    with pytest.raises(ValueError, match=message), open_checkpoint("key") as checkpoint:
        train(10, checkpoint, max_updates=4)
    assert content(scratch) == before


def test_a_state_of_other_code_is_named_and_kept(scratch: Path) -> None:
    """A key digests parameters, code and inputs; this folder was renamed by hand."""
    with pytest.raises(KeyboardInterrupt), open_checkpoint("other") as checkpoint:
        checkpoint.save({"step": 1})
        raise KeyboardInterrupt
    scratch.with_name("other").rename(scratch)
    before = content(scratch)
    with (
        pytest.raises(
            ValueError,
            match=r"state\.pt: it belongs to another training, other, .*delete .*key to start again",
        ),
        open_checkpoint("key") as checkpoint,
    ):
        checkpoint.load()
    assert content(scratch) == before


MAKE = """\
import torch
from pathlib import Path
from ganscribe.features.shards import KEYS, ShardWriter

folder = Path("features")
folder.mkdir()
writer = ShardWriter(folder=folder, shape=(4,), metadata=dict.fromkeys(KEYS[2:], "x"))
writer.write(0, image_ids=[1], file_names=["a"], features=torch.ones(1, 4).half())
writer.write_index(1)
"""


def test_flipped_bytes_in_a_shard_are_noticed_and_put_right_by_dvc(project: Path, tmp_path: Path) -> None:
    def dvc(*command: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(project / "src")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *command],
            cwd=tmp_path,
            env=environment | {"PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc("init", "-q", "--no-scm")
    (tmp_path / "make.py").write_text(MAKE)
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  make:\n    cmd: python make.py\n    deps: [make.py]\n    outs: [features]\n"
    )
    dvc("repro")
    shard = tmp_path / "features/shard-00000.parquet"
    whole = shard.read_bytes()
    at = whole.index(torch.ones(4).half().numpy().tobytes())
    damaged = bytearray(whole)
    damaged[at + 1] ^= 0x40
    shard.unlink()  # it may share its bytes with DVC's cache
    shard.write_bytes(damaged)
    assert open_shards(tmp_path / "features")[0].tolist() != [1.0] * 4, "no reader can see it"
    assert "modified" in dvc("status")
    dvc("repro")
    assert shard.read_bytes() == whole


def test_shards_that_vanish_while_they_are_read(tmp_path: Path) -> None:
    """The map holds them; only a file that is cut while it is mapped kills the process (SIGBUS)."""
    writer = ShardWriter(folder=tmp_path, shape=(4,), metadata=dict.fromkeys(KEYS[2:], "x"))
    writer.write(0, image_ids=[1], file_names=["a"], features=torch.ones(1, 4).half())
    writer.write_index(1)
    shards = open_shards(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    assert shards.gather([0]).tolist() == [[1.0] * 4]
