"""`ganscribe sample`: the same bytes as the library's own functions give, and every user's mistake."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import Tensor

import gans
from ganscribe import __version__, cli, records
from ganscribe.cli import sampling
from ganscribe.core.weights import load_weights, save_weights
from ganscribe.drawing.plots import save_grid
from ganscribe.gan.common.sampling import load_generator, sample_images
from ganscribe.records import store
from parameters import copy_params


@pytest.fixture
def folder(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose run `gan` has a model."""
    copy_params(project, tmp_path)
    gans.save_generator(tmp_path / "models/gan/gan/generator.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cpu")
    return tmp_path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.main, [str(word) for word in words])


def sample(*words: str | Path) -> None:
    result = run("sample", *words)
    assert result.exit_code == 0, result.output


def expected(path: Path, count: int, seed: int) -> Tensor:
    saved = load_generator(path)
    facts = {"noise_dim": saved.noise_dim, "noise": saved.noise}
    return sample_images(saved.network, count, seed=seed, device=torch.device("cpu"), **facts)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_grid_is_what_the_library_draws(folder: Path) -> None:
    sample("gan", "--count", "10", "--seed", "3", "--out", "deep/grid.png")
    save_grid(expected(Path("models/gan/gan/generator.safetensors"), 10, 3), "expected.png", columns=4)
    assert Path("deep/grid.png").read_bytes() == Path("expected.png").read_bytes()


def test_the_folder_of_a_model_stands_for_the_model(folder: Path) -> None:
    for name in ("models/gan/gan", "models/gan/gan/generator.safetensors"):
        sample(name, "--count", "4", "--out", f"{len(name)}.png")
    assert Path("14.png").read_bytes() == Path("36.png").read_bytes()


def test_a_model_of_an_earlier_version_is_found(folder: Path) -> None:
    present = Path("models/gan/gan/generator.safetensors")
    weights, facts = load_weights(present)
    torch.save(facts | {"state_dict": weights}, present.with_suffix(".pt"))
    sample("gan", "--count", "4", "--out", "expected.png")
    present.unlink()
    for name in ("gan", "models/gan/gan"):
        sample(name, "--count", "4", "--out", "grid.png")
        assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes()


def test_the_default_is_64_images_of_seed_0(folder: Path) -> None:
    sample("gan", "--out", "grid.png")
    save_grid(expected(Path("models/gan/gan/generator.safetensors"), 64, 0), "expected.png", columns=8)
    assert Path("grid.png").read_bytes() == Path("expected.png").read_bytes()


def test_other_formats_hold_the_same_grid(folder: Path) -> None:
    for name in ("grid.png", "grid.webp", "grid.JPG"):
        sample("gan", "--count", "4", "--out", name)
    assert np.array_equal(pixels(Path("grid.webp")), pixels(Path("grid.png")))
    difference = pixels(Path("grid.JPG")).astype(int) - pixels(Path("grid.png"))
    assert np.abs(difference).mean() < 8
    for name, kind in (("grid.webp", "WEBP"), ("grid.JPG", "JPEG")):
        assert Image.open(name).format == kind


def test_a_folder_gets_single_images(folder: Path) -> None:
    sample("gan", "--count", "3", "--seed", "5", "--out", "new/singles")
    images = expected(Path("models/gan/gan/generator.safetensors"), 3, 5)
    names = ["0000.png", "0001.png", "0002.png"]
    assert sorted(path.name for path in Path("new/singles").iterdir()) == names
    assert [path.name for path in Path("new").iterdir()] == ["singles"]
    for name, image in zip(names, images, strict=True):
        assert np.array_equal(pixels(Path("new/singles", name)), image[0].numpy())


def test_colour_images_keep_their_channels(folder: Path) -> None:
    rgb = torch.randint(0, 256, (2, 3, 8, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sampling._save_singles(rgb, Path("colour"))
    for name, image in zip(("0000.png", "0001.png"), rgb, strict=True):
        assert np.array_equal(pixels(Path("colour", name)), image.permute(1, 2, 0).numpy())


def test_an_existing_folder_keeps_what_else_lies_there(folder: Path) -> None:
    Path("mine.v2").mkdir()
    Path("mine.v2/notes.txt").write_text("kept")
    for _ in range(2):
        sample("gan", "--count", "2", "--out", "mine.v2")
    assert sorted(path.name for path in Path("mine.v2").iterdir()) == ["0000.png", "0001.png", "notes.txt"]


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_an_image_depends_on_the_seed_and_not_on_the_count(folder: Path, noise: str) -> None:
    gans.save_generator(folder / "own.safetensors", noise=noise)
    for count in (1, 3, 7, 300):
        sample("own.safetensors", "--count", count, "--seed", "1", "--out", f"of-{count}")
    sample("own.safetensors", "--count", "7", "--seed", "1", "--out", "again")
    sample("own.safetensors", "--count", "1", "--seed", "2", "--out", "other")
    whole = {path.name: path.read_bytes() for path in Path("of-300").iterdir()}
    assert len(whole) == 300
    for name in ("of-1", "of-3", "of-7", "again"):
        for path in Path(name).iterdir():
            assert path.read_bytes() == whole[path.name], path
    assert Path("other/0000.png").read_bytes() != whole["0000.png"]


@pytest.mark.parametrize(
    "command",
    [(str(Path(sys.executable).with_name("ganscribe")),), (sys.executable, "-m", "ganscribe")],
    ids=["ganscribe", "python -m ganscribe"],
)
def test_the_command_outside_this_process(folder: Path, command: tuple[str, ...]) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], capture_output=True, text=True)

    assert run("--version").stdout == f"ganscribe, version {__version__}\n"
    assert run("--help").stdout.startswith("Usage: ganscribe [OPTIONS] COMMAND")
    if command[0] != sys.executable:  # both call the same function, and importing torch takes seconds
        assert run("sample", "gan", "--count", "2", "--out", "process.png").returncode == 0
        sample("gan", "--count", "2", "--out", "here.png")
        assert Path("process.png").read_bytes() == Path("here.png").read_bytes()
    failed = run("sample", "nothing", "--out", "process.png")
    assert failed.returncode == 1 and "Traceback" not in failed.stderr and failed.stderr.count("\n") == 1


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from ganscribe.cli import main; main(['--help'], standalone_mode=False);"
        "sys.exit(any(name in sys.modules for name in ('torch', 'mlflow', 'numpy', 'PIL', 'pandas')))"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def refused(folder: Path, *words: str | Path) -> str:
    """The one line that `ganscribe sample` ends with; nothing has changed in the folder."""
    before = sorted(folder.rglob("*"))
    result = run("sample", *words)
    assert result.exit_code == 1, result.output
    message = result.output
    assert message.startswith("Error: ") and message.count("\n") == 1, message
    assert sorted(folder.rglob("*")) == before
    return message


def test_an_unknown_run(folder: Path) -> None:
    message = refused(folder, "dcgam", "--out", "grid.png")
    assert "'dcgam'" in message and "choose one of best, dcgan, " in message


def test_a_run_without_a_model(folder: Path) -> None:
    assert "dvc repro train_gan@dcgan`" in refused(folder, "dcgan", "--out", "grid.png")


def test_outside_a_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert "top folder" in refused(folder, "dcgan", "--out", "grid.png")


@pytest.mark.parametrize("count", ["0", "-3"])
def test_too_few_images(folder: Path, count: str) -> None:
    assert "at least one" in refused(folder, "gan", "--count", count, "--out", "grid.png")


def test_too_many_images_for_one_picture(folder: Path) -> None:
    assert "at most 4096" in refused(folder, "gan", "--count", "4097", "--out", "grid.png")


def test_wrong_outs(folder: Path) -> None:
    Path("file").write_text("mine")
    Path("folder.png").mkdir()
    assert ".txt" in refused(folder, "gan", "--out", "grid.txt")
    assert "is a file" in refused(folder, "gan", "--out", "file")
    assert "is a folder" in refused(folder, "gan", "--out", "folder.png")
    refused(folder, "gan", "--count", "1", "--out", "file/grid.png")
    refused(folder, "gan", "--count", "1", "--out", "file/singles")


def test_images_of_a_larger_draw_are_not_mixed_in(folder: Path) -> None:
    sample("gan", "--count", "4", "--out", "singles")
    assert "0003.png" in refused(folder, "gan", "--count", "3", "--seed", "1", "--out", "singles")


def test_out_is_required(folder: Path) -> None:
    assert "--out" in run("sample", "gan").output


def test_a_damaged_generator(folder: Path) -> None:
    whole = Path("models/gan/gan/generator.safetensors").read_bytes()
    Path("half.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "not a saved generator" in refused(folder, "half.safetensors", "--out", "grid.png")
    weights, facts = load_weights("models/gan/gan/generator.safetensors")
    save_weights("shape.safetensors", weights, facts | {"noise_dim": 6})
    assert "not a saved generator" in refused(folder, "shape.safetensors", "--out", "grid.png")


def test_a_missing_file(folder: Path) -> None:
    assert "is missing" in refused(folder, "some/generator.safetensors", "--out", "grid.png")


def test_no_device(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSCRIBE_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "GANSCRIBE_DEVICE" in refused(folder, "gan", "--out", "grid.png")


def test_no_store_makes_none(folder: Path) -> None:
    assert "no MLflow store" in refused(folder, "models:/ganscribe-gan-gan/1", "--out", "grid.png")


def test_a_model_of_the_registry(folder: Path) -> None:
    with records.training_run(family="gan", name="gan", run_key="key", params={}, inputs=[]) as tracked:
        tracked.log_model("generator", "models/gan/gan/generator.safetensors")
    sample("gan", "--count", "2", "--out", "local.png")
    for name, uri in (("version", "ganscribe-gan-gan/1"), ("alias", "ganscribe-gan-gan@candidate")):
        sample(f"models:/{uri}", "--count", "2", "--out", f"{name}.png")
        assert Path(f"{name}.png").read_bytes() == Path("local.png").read_bytes()

    # Further models, registered by hand: another kind of ours, and one that something else has logged.
    save_weights("kind/data/model/model.safetensors", {}, {"num_classes": 10})
    Path("foreign").mkdir()
    for name in ("kind", "foreign"):
        Path(name, "MLmodel").write_text("flavors: {}\n")
    client = store.open_client()
    for name in ("kind", "foreign"):
        client.create_registered_model(name)
        client.create_model_version(name, source=str(Path(name).resolve()))
    assert "not a generator" in refused(folder, "models:/kind/1", "--out", "grid.png")
    assert "not a generator" in refused(folder, "models:/foreign/1", "--out", "grid.png")
    for uri in (
        "models:/nothing/1",
        "models:/ganscribe-gan-gan/7",
        "models:/ganscribe-gan-gan@best",
        "models:x",
    ):
        assert f"{uri} cannot be fetched" in refused(folder, uri, "--out", "grid.png")
    said = refused(folder, "models:/ganscribe-gan-gan", "--out", "grid.png")
    assert "it names no version: write models:/ganscribe-gan-gan/1 or models:/ganscribe-gan-gan@candi" in said
    Path("kind/MLmodel").unlink()
    assert "files are no longer" in refused(folder, "models:/kind/1", "--out", "grid.png")


def test_a_server_that_does_not_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Path("mlflow.db.lock").touch()
    assert "cannot be opened" in refused(folder, "models:/ganscribe-gan-gan/1", "--out", "grid.png")
