"""A trained captioner on disk, and captions from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor

from ganscribe.captioning.decoding import Decoded, State, Step, beam, greedy, image_uniforms, sample
from ganscribe.captioning.model import Captioner
from ganscribe.core.devices import autocast
from ganscribe.core.weights import load_weights, save_weights
from ganscribe.datasets.tokens import END, PAD, START, TUTORIAL, UNK, Vocabulary

METHODS = ("greedy", "beam", "sample")


class DecodingOptions(TypedDict, total=False):
    """What `decode` takes beside the method: `beam` has the first two, `sample` the last three."""

    width: int  # captions kept at each word; 1 if not said
    length_penalty: float  # 0 if not said
    temperature: float  # 1 if not said
    top_k: int  # 0, if not said: all words
    seed: int  # 0 if not said


@dataclass(frozen=True)
class SavedCaptioner:
    """What a captioner's file holds: the network in evaluation mode, its words, and where its features came from."""

    model: Captioner
    vocabulary: Vocabulary
    options: dict[str, Any]
    features: dict[str, str]  # the shards' metadata: weights, weights_sha256, preprocessing ...


def save_captioner(
    path: str | Path,
    *,
    options: dict[str, int],
    vocabulary: Vocabulary,
    features: dict[str, str],
    state_dict: dict[str, Tensor],
) -> None:
    """Write the captioner. `options` are the arguments of `Captioner`, `features` the shards' metadata."""
    facts = {
        "options": options,
        "vocabulary": list(vocabulary.words),
        "tokeniser": vocabulary.tokeniser,
        "features": dict(sorted(features.items())),
    }
    save_weights(path, state_dict, facts)


def load_captioner(path: str | Path, *, device: torch.device | str = "cpu") -> SavedCaptioner:
    """Read what `save_captioner` wrote. Raises FileNotFoundError without it, ValueError for another file."""
    path = Path(path)
    if not path.is_file():
        run = path.parent.name or "best"
        raise FileNotFoundError(
            f"{path} is missing: `dvc repro train_captioner@{run}` trains such a captioner"
        )
    problem = f"{path} is damaged, or not a saved captioner"
    try:
        weights, saved = load_weights(path)
        vocabulary = Vocabulary(tuple(saved["vocabulary"]), saved.get("tokeniser", TUTORIAL))
        model = Captioner(**saved["options"])
        model.load_state_dict(weights)
        found = SavedCaptioner(model.eval(), vocabulary, saved["options"], saved["features"])
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(problem) from error
    model.to(device)  # no fault of the file, if the device has no room
    return found


def begin(model: Captioner, features: Tensor, *, forbidden: Sequence[int]) -> tuple[Step, State]:
    """Return the step function and first state of a search for captions of `features` (B, 64, 2048).

    A word's attention map is (64,). `forbidden` words are never chosen.
    """
    memory = model.encode(features)
    num_images, positions = memory.values.shape[:2]
    hidden = torch.zeros(num_images, model.units, device=features.device)
    banned = torch.tensor(list(forbidden), dtype=torch.long, device=features.device)

    def step(words: Tensor, state: State) -> tuple[Tensor, State]:
        scores, hidden, attention = model.step(words, state["hidden"], memory)
        log_probs = scores.float().index_fill(1, banned, -torch.inf).log_softmax(1)
        return log_probs, {"hidden": hidden.float(), "attention": attention}

    return step, {"hidden": hidden, "attention": torch.zeros(num_images, positions, device=features.device)}


@torch.inference_mode()
def decode(
    model: Captioner,
    features: Tensor,
    *,
    vocabulary: Vocabulary,
    image_ids: Sequence[int | str],
    method: str,
    max_length: int,
    precision: str = "fp32",
    **options: Unpack[DecodingOptions],
) -> list[Decoded]:
    """Return one caption each for features (B, 64, 2048) by `method`: greedy, beam or sample.

    `<pad>` and `<start>`, which no training caption ever asks for, and `<unk>`, which tells a reader nothing,
    are never chosen. `sample` draws from streams of `seed` and the image's id, whatever batch it is in.
    """
    if method not in METHODS:
        raise ValueError(f"decoding method {method!r} is unknown: use {', '.join(METHODS)}")
    ids = vocabulary.ids
    forbidden = [ids[PAD], ids[START], ids[UNK]]
    start, end = ids[START], ids[END]
    with autocast(precision, features.device):
        step, state = begin(model, features, forbidden=forbidden)
        if method == "greedy":
            return greedy(step, state, batch_size=len(features), start=start, end=end, max_length=max_length)
        if method == "beam":
            return beam(
                step,
                state,
                batch_size=len(features),
                start=start,
                end=end,
                max_length=max_length,
                width=options.get("width", 1),
                length_penalty=options.get("length_penalty", 0.0),
            )
        return sample(
            step,
            state,
            start=start,
            end=end,
            max_length=max_length,
            uniforms=image_uniforms(options.get("seed", 0), image_ids, max_length),
            temperature=options.get("temperature", 1.0),
            top_k=options.get("top_k", 0),
        )
