"""Trained networks on disk: the file format safetensors, in which no code can hide and which other tools read.

What it takes to build the network again (its name, options, classes, words) stands in the file's metadata, as JSON.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.core.files import atomic_write, load_torch

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX, EARLIER_SUFFIX = ".safetensors", ".pt"
FACTS = "ganscribe"  # the one key of the metadata: with several, safetensors writes them in any order


def save_weights(path: str | Path, state_dict: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the weights with what is to be known of them, atomically; the same values give the same bytes.

    `facts` are numbers, text, and lists and dicts of them. Weights that two layers share are written for both.
    """
    from safetensors.torch import save

    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state_dict.items()}
    with atomic_write(path) as handle:
        handle.write(save(weights, {FACTS: json.dumps(facts, ensure_ascii=False, allow_nan=False)}))


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights, on the CPU, and the facts that `save_weights` wrote, or an earlier version's `torch.save`.

    Raises ValueError for any other file.
    """
    if zipfile.is_zipfile(path):
        saved = load_torch(path)
        if not isinstance(saved, dict) or not isinstance(saved.get("state_dict"), dict):
            raise ValueError(
                f"{path} is not a network that ganscribe saved: it has no weights under `state_dict`"
            )
        return saved.pop("state_dict"), saved
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            # Copies: the tensors lie in the file, and a process that touches them after it was cut short is killed.
            weights = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return weights, _read_facts(path, file.metadata())
    except SafetensorError as error:
        raise _damaged(path, error) from error


def load_facts(path: str | Path) -> dict[str, Any]:
    """Return the facts alone: the weights of a safetensors file are not read. Raises as `load_weights` does."""
    if zipfile.is_zipfile(path):
        return load_weights(path)[1]
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return _read_facts(path, file.metadata())
    except SafetensorError as error:
        raise _damaged(path, error) from error


def find_weights(folder: Path, stem: str) -> Path:
    """Return the file `stem` of `folder`, in the earlier format where there is only that one. It may be missing."""
    earlier = folder / f"{stem}{EARLIER_SUFFIX}"
    present = earlier.with_suffix(SUFFIX)
    return earlier if earlier.is_file() and not present.is_file() else present


def _damaged(path: str | Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged, or not a safetensors file ({error}): get it or make it again")


def _read_facts(path: str | Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    if not metadata or FACTS not in metadata:
        raise ValueError(f"{path} is not a network that ganscribe saved: its metadata has no entry {FACTS!r}")
    try:
        return dict(json.loads(metadata[FACTS]))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path}: the entry {FACTS!r} of its metadata is not a JSON object ({error})"
        ) from None
