"""Networks on disk: read back by safetensors itself, earlier files, and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from ganscribe.core.files import save_torch
from ganscribe.core.weights import find_weights, load_facts, load_weights, save_weights

FACTS: dict[str, Any] = {
    "networks": "dcgan",
    "classes": ["Käse", "“"],
    "options": {"dropout": 0.5},
    "crop": None,
}


def network() -> dict[str, torch.Tensor]:
    """Weights of each type that a network of ours has, one of them channels last, one a view."""
    torch.manual_seed(0)
    whole = torch.randn(4, 6)
    return {
        "conv.weight": torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last),
        "half": torch.randn(5).bfloat16(),
        "view": whole[:, 1:3],
        "counter": torch.tensor(7),
        "trained": torch.nn.Parameter(torch.randn(2)),
    }


def save_raw(path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file({"a": torch.ones(2)}, path, metadata)


def test_weights_that_two_layers_share_are_written_for_both(tmp_path: Path) -> None:
    first, second = torch.nn.Embedding(3, 2), torch.nn.Linear(2, 3)
    second.weight = first.weight
    tied = torch.nn.Sequential(first, second)
    save_weights(tmp_path / "a.safetensors", tied.state_dict(), FACTS)
    found, _ = load_weights(tmp_path / "a.safetensors")
    assert torch.equal(found["0.weight"], first.weight) and torch.equal(found["1.weight"], first.weight)


def test_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.safetensors", network()
    save_weights(path, weights, FACTS)
    found = safetensors.torch.load_file(path)
    assert found.keys() == weights.keys()
    for name, tensor in weights.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor)
    with safetensors.safe_open(path, framework="pt") as file:
        assert {name: json.loads(text) for name, text in file.metadata().items()} == {"ganscribe": FACTS}


def test_weights_and_facts_come_back(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.safetensors", network()
    save_weights(path, weights, FACTS)
    found, facts = load_weights(path)
    assert facts == FACTS == load_facts(path)
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)


def test_weights_outlive_their_file(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.safetensors", {"weight": torch.randn(1000, 1000)}
    save_weights(path, weights, FACTS)
    found, _ = load_weights(path)
    os.truncate(path, 0)  # of a mapped file, the next look would be a bus error
    assert torch.equal(found["weight"], weights["weight"])


def test_the_same_values_give_the_same_bytes(tmp_path: Path) -> None:
    for name, weights in (("a", network()), ("b", dict(reversed(network().items())))):
        save_weights(tmp_path / name, weights, FACTS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    path, weights = tmp_path / "a.pt", {"weight": torch.randn(3)}
    save_torch(path, FACTS | {"state_dict": weights})
    found, facts = load_weights(path)
    assert facts == FACTS == load_facts(path) and torch.equal(found["weight"], weights["weight"])


@pytest.mark.parametrize("load", [load_weights, load_facts])
def test_other_files_are_refused_by_name(tmp_path: Path, load: Any) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(path, network(), FACTS)
    whole = path.read_bytes()
    for content in (b"", b"text", bytes(range(256)), whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.safetensors is damaged, or not a safetensors file"):
            load(path)
    for metadata in (None, {"format": "pt"}):
        save_raw(path, metadata)
        with pytest.raises(ValueError, match=r"a\.safetensors is not a network that ganscribe saved"):
            load(path)
    for text in ("", "{", "5", '"text"', "[1]", "[" * 100_000):
        save_raw(path, {"ganscribe": text})
        with pytest.raises(
            ValueError, match=r"a\.safetensors: the entry 'ganscribe' of its metadata is not a JSON object"
        ):
            load(path)
    for value in ({"a": 1}, {"state_dict": 5}, [1], torch.ones(2)):
        save_torch(path, value)
        with pytest.raises(ValueError, match=r"a\.safetensors is not a network that ganscribe saved"):
            load(path)
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        load(tmp_path / "none.safetensors")


def test_what_json_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    for value in (float("nan"), Path("a")):
        with pytest.raises((ValueError, TypeError)):
            save_weights(tmp_path / "a.safetensors", network(), {"value": value})
    assert not list(tmp_path.iterdir())


def test_the_present_format_goes_before_the_earlier_one(tmp_path: Path) -> None:
    assert find_weights(tmp_path, "model") == tmp_path / "model.safetensors"
    (tmp_path / "model.pt").touch()
    assert find_weights(tmp_path, "model") == tmp_path / "model.pt"
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path, "model") == tmp_path / "model.safetensors"
