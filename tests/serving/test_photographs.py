"""Where the network of a captioner's features is looked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import apart
from ganscribe.captioning.model import Captioner
from ganscribe.features.inception import FeatureMaps
from ganscribe.serving import photographs

FOUND = {  # files, and of the folder that is opened: the model, its network
    "pipeline": (
        "models/captioner/mine",
        "models/captioner/mine/model.safetensors",
        "data/features/inception.safetensors",
    ),
    "mlflow": ("fetched", "fetched/data/x/model.safetensors", "fetched/data/x/inception.safetensors"),
    "both in one": (
        "models/captioner/mine",
        "models/captioner/mine/model.safetensors",
        "models/captioner/mine/inception.safetensors",
    ),
}


@pytest.mark.parametrize(("opened", "model", "inception"), FOUND.values(), ids=FOUND)
@pytest.mark.parametrize("is_file", [False, True])
def test_a_folder_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: str, model: str, inception: str, is_file: bool
) -> None:
    """What is loaded is noted, and the second file ends it."""
    loaded = []

    def load(path: Path, **_: object) -> None:
        loaded.append(Path(path).resolve().relative_to(tmp_path).as_posix())
        if len(loaded) == 2:
            raise StopIteration

    monkeypatch.setattr(photographs, "load_captioner", load)
    monkeypatch.setattr(photographs, "read_inception", load)
    monkeypatch.chdir(tmp_path)
    for name in (model, inception, "data/features/inception.safetensors"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    with pytest.raises(StopIteration):
        photographs.open_captioner(model if is_file else opened)
    assert loaded == [model, inception]


def test_a_run_without_a_model_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "models/captioner/mine"
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match=r"mine/model\.safetensors is missing: .*captioner@mine`"):
            photographs.open_captioner(folder)
        folder.mkdir(parents=True, exist_ok=True)


def test_a_model_near_the_root_of_the_file_system_has_its_network_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photographs, "load_captioner", lambda path, device: None)
    with pytest.raises(FileNotFoundError, match=r"^/inception\.safetensors, the network that makes"):
        photographs.open_captioner("/model.safetensors")


def test_a_network_that_did_not_make_the_captioner_s_features_is_refused(
    tmp_path: Path, captioner_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = photographs.read_inception(captioner_files / "inception.safetensors", device="cpu")
    monkeypatch.setattr(photographs, "read_inception", lambda path, device: replace(found, sha256="5" * 64))
    with pytest.raises(ValueError, match=r"was trained on features of .* use the network that belongs"):
        photographs.open_captioner(captioner_files / "model.safetensors")


@pytest.mark.parametrize("network", [Captioner, FeatureMaps])
def test_a_card_without_room_makes_no_file_a_damaged_one(
    captioner_files: Path, monkeypatch: pytest.MonkeyPatch, network: type[torch.nn.Module]
) -> None:
    def fill(self: torch.nn.Module, *args: Any, **options: Any) -> torch.nn.Module:
        if apart.DEVICE in args:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.nn.Module.to(self, *args, **options)

    monkeypatch.setattr(network, "to", fill)
    with apart.available() as device, pytest.raises(torch.OutOfMemoryError):
        photographs.open_captioner(captioner_files / "model.safetensors", device=device)


def test_a_captioner_is_on_the_device_that_was_asked_for(captioner_files: Path) -> None:
    with apart.available() as device:
        captioner = photographs.open_captioner(captioner_files / "model.safetensors", device=device)
        parts = [*captioner.saved.model.parameters(), *captioner.inception.network.parameters()]
        assert {part.device for part in parts} == {device}


def test_options_come_before_the_defaults_of_a_beam(
    captioner_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(photographs, "decode", lambda *args, **options: asked.append(options) or [])
    monkeypatch.setattr(photographs, "compute_features", lambda network, images: images)
    captioner = photographs.open_captioner(captioner_files / "model.safetensors")
    pictures = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2), torch.zeros(3, 2, 2)]).to(torch.uint8)
    photographs.caption_photographs(captioner, pictures)
    photographs.caption_photographs(captioner, pictures[1:], width=2, max_length=3)
    assert (asked[0]["width"], asked[0]["length_penalty"], asked[0]["max_length"]) == (5, 0.7, 40)
    assert (asked[1]["width"], asked[1]["length_penalty"], asked[1]["max_length"]) == (2, 0.7, 3)
    first, second = asked[0]["image_ids"], asked[1]["image_ids"]
    assert first[0] == first[2] != first[1] and second == first[1:]  # a picture's pixels are its name


def test_a_folder_without_a_model_and_a_model_without_its_network_are_named(
    tmp_path: Path, captioner_files: Path
) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing: `dvc repro"):
        photographs.open_captioner(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((captioner_files / "model.safetensors").read_bytes())
    with pytest.raises(
        FileNotFoundError, match=r"inception\.safetensors, the network that makes the captioner's features"
    ):
        photographs.open_captioner(tmp_path)
