"""Where the network of a captioner's features is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

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
