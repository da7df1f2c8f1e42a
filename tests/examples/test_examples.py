"""The scripts of examples/ on small folders, in a process that has neither DVC nor MLflow nor pydantic."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from ganscribe import convnets
from ganscribe.core.weights import save_weights
from ganscribe.features.pictures import load_image
from ganscribe.gan.common.sampling import load_generator
from ganscribe.serving.photographs import caption_photographs, open_captioner

ABSENT = (
    "click",
    "dvc",
    "mlflow",
    "pydantic",
    "ruamel",
    "ganscribe.config",
    "ganscribe.records",
    "ganscribe.cli",
)
CODE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT}))
examples, *commands = sys.argv[1:]
for command in commands:
    name, *words = command.split()
    print("==", name)
    sys.argv = [name, *words]
    runpy.run_path(f"{{examples}}/{{name}}.py", run_name="__main__")
"""


def save_pictures(folder: Path, count: int, *, size: tuple[int, int], seed: int = 0) -> None:
    """Pictures of a few broad patches, of (width, height)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(count):
        patches = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
        patches.resize(size, Image.Resampling.NEAREST).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def ran(
    project: Path, captioner_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, str]]:
    """The folder in which all three have run, and what each of them has printed."""
    folder = tmp_path_factory.mktemp("library")
    save_pictures(folder / "pictures", 12, size=(40, 30))
    save_pictures(folder / "others", 8, size=(40, 30), seed=1)
    for name, place in (
        ("model.safetensors", "models/captioner/mine"),
        ("inception.safetensors", "data/features"),
    ):
        (folder / place).mkdir(parents=True)
        shutil.copy(captioner_files / name, folder / place)
    torch.manual_seed(0)
    network = convnets.build("lenet5", num_classes=10, image_shape=(1, 28, 28))
    saved = {"network": "lenet5", "options": {}, "num_classes": 10, "image_shape": [1, 28, 28]}
    (folder / "judge").mkdir()
    save_weights(folder / "judge/model.safetensors", network.state_dict(), saved)
    commands = (
        "train_on_folder pictures out --side 16 --steps 2 --batch-size 4",
        "caption_photographs models/captioner/mine pictures/0.png pictures/1.png",
        "score_folder others pictures --classifier judge",
    )
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(project / "examples"), *commands], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(project / "src"), "GANSCRIBE_DEVICE": "cpu", "DVC_ROOT": "nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    parts = [part.partition("\n") for part in done.stdout.split("== ")[1:]]
    return folder, {name: text for name, _, text in parts}


def test_a_trained_gan_is_left(ran: tuple[Path, dict[str, str]]) -> None:
    folder, said = ran
    assert said["train_on_folder"] == "trained on 12 pictures; see out/samples.png\n"
    generator = load_generator(folder / "out/generator.safetensors")
    assert generator.image_shape == (3, 16, 16)
    assert generator.sample(2, seed=0, device=torch.device("cpu")).shape == (2, 3, 16, 16)
    with Image.open(folder / "out/samples.png") as grid:
        assert grid.size == (4 * 84 - 4, 4 * 84 - 4), "sixteen samples of 80 pixels"


def test_captions_are_those_of_the_command_line(ran: tuple[Path, dict[str, str]]) -> None:
    folder, said = ran
    captioner = open_captioner(
        folder / "models/captioner/mine/model.safetensors", folder / "data/features/inception.safetensors"
    )
    images = torch.stack(
        [load_image(folder / f"pictures/{number}.png", crop=captioner.crop) for number in (0, 1)]
    )
    found = caption_photographs(captioner, images)
    assert said["caption_photographs"].splitlines() == [
        f"pictures/{number}.png: {one.text}" for number, one in enumerate(found)
    ]


def test_scores_are_those_of_the_features(ran: tuple[Path, dict[str, str]]) -> None:
    """FID by its formula with numpy; precision by the definition."""
    folder, said = ran
    scores = {line.split()[0]: float(line.split()[1]) for line in said["score_folder"].splitlines()}
    model = convnets.load_classifier(folder / "judge/model.safetensors")
    features = []
    for name, count in (("pictures", 12), ("others", 8)):
        paths = sorted((folder / name).glob("*.png"), key=str)
        assert len(paths) == count
        middles = [np.asarray(Image.open(path))[:, 5:35] for path in paths]  # 30 x 30 of 40 x 30
        colours = torch.from_numpy(np.stack(middles)).permute(0, 3, 1, 2).float()
        small = interpolate(colours, size=(28, 28), mode="bilinear", antialias=True)
        grey = small[:, :1] * 0.299 + small[:, 1:2] * 0.587 + small[:, 2:] * 0.114
        with torch.no_grad():
            features.append(model.features(grey / 127.5 - 1).double().numpy())  # type: ignore[operator]
    real, samples = features
    means, covariances = (
        [part.mean(0) for part in features],
        [np.cov(part, rowvar=False) for part in features],
    )
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(min=0)).sum()
    fid = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert scores["fid"] == pytest.approx(fid, rel=0.02)
    distances = np.linalg.norm(real[:, None] - real[None], axis=2)
    radii = np.sort(distances, axis=1)[:, 3]
    to_real = np.linalg.norm(samples[:, None] - real[None], axis=2)
    assert scores["precision"] == pytest.approx((to_real <= radii).any(1).mean(), abs=0.13)
    assert {"kid", "recall"} <= set(scores) and (scores["num_samples"], scores["num_real"]) == (8, 12)


def test_a_file_of_another_network_is_refused(
    project: Path, ran: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ran[0])
    monkeypatch.setattr(
        sys, "argv", ["score_folder", "others", "pictures", "--inception", "judge/model.safetensors"]
    )
    with pytest.raises(
        SystemExit,
        match=r"^Error: .*judge/model\.safetensors is not a state dict of the FID Inception network",
    ):
        runpy.run_path(str(project / "examples/score_folder.py"), run_name="__main__")


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["train_on_folder", "nowhere", "out"], "nowhere"),
        (["caption_photographs", "nowhere", "dog.jpg"], "nowhere"),
        (["score_folder", "nowhere", "nowhere", "--inception", "weights.pth"], "weights.pth"),
    ],
)
def test_what_is_missing_is_named_without_a_traceback(
    project: Path, words: list[str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=rf"^Error: .*{missing}"):
        runpy.run_path(str(project / f"examples/{words[0]}.py"), run_name="__main__")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--steps", "0"], ["--batch-size", "-4"], ["--side", "0"]])
def test_nothing_is_trained_by_numbers_below_one(
    project: Path,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_pictures(tmp_path / "pictures", 4, size=(16, 16))
    monkeypatch.setattr(sys, "argv", ["train_on_folder", "pictures", "out", "--batch-size", "4", *words])
    with pytest.raises(SystemExit):
        runpy.run_path(str(project / "examples/train_on_folder.py"), run_name="__main__")
    assert f"argument {words[0]}: {words[1]} is not a whole number from 1 up" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
