from pathlib import Path

import pytest
import torch

from captioners import OPTIONS, VOCABULARY, images, saved_captioner
from ganscribe.captioning.decoding import Decoded, beam, image_uniforms, sample
from ganscribe.captioning.inference import begin, decode, load_captioner
from ganscribe.core.weights import load_weights, save_weights


def test_a_captioner_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = saved_captioner(tmp_path)
    assert saved.vocabulary == VOCABULARY and saved.options == OPTIONS and not saved.model.training
    assert saved.features == {"weights": "random-init"}
    with pytest.raises(FileNotFoundError, match=f"`dvc repro train_captioner@{tmp_path.name}`"):
        load_captioner(tmp_path / "other.safetensors")
    save_weights(tmp_path / "other.safetensors", {}, {"networks": "mlp"})
    with pytest.raises(ValueError, match="not a saved captioner"):
        load_captioner(tmp_path / "other.safetensors")


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_a_batch_of_images_is_captioned_as_its_images_one_by_one(tmp_path: Path, method: str) -> None:
    saved, features, image_ids = saved_captioner(tmp_path), images(7), [9, 3, 5, 7, 1, 8, 2]
    options = {
        "vocabulary": saved.vocabulary,
        "method": method,
        "max_length": 8,
        "width": 3,
        "length_penalty": 0.7,
        "temperature": 1.5,
        "top_k": 4,
        "seed": 1,
    }
    found = decode(saved.model, features, image_ids=image_ids, **options)
    assert len({tuple(one.tokens) for one in found}) > 1
    for index, one in enumerate(found):
        (alone,) = decode(saved.model, features[index : index + 1], image_ids=[image_ids[index]], **options)
        assert alone.tokens == one.tokens and not {0, 1, 3, 5} & set(one.tokens)
        torch.testing.assert_close(alone.attention, one.attention)
        assert one.attention.shape == (len(one.tokens), 64)
        torch.testing.assert_close(one.attention.sum(1), torch.ones(len(one.tokens)))


@pytest.mark.parametrize("is_given", [True, False])
def test_options_and_their_defaults_are_those_of_the_searches(tmp_path: Path, is_given: bool) -> None:
    saved, features, image_ids = saved_captioner(tmp_path), images(40), list(range(40))
    step, state = begin(saved.model, features, forbidden=[0, 1, 3])
    words = {"start": 3, "end": 5, "max_length": 8}
    narrow = {"width": 6, "length_penalty": -3.0} if is_given else {"width": 1}
    drawn = {"temperature": 2.0, "top_k": 3} if is_given else {}
    uniforms = image_uniforms(6 if is_given else 0, image_ids, 8)

    def said(found: list[Decoded]) -> list[list[int]]:
        return [one.tokens for one in found]

    shared = {"vocabulary": VOCABULARY, "image_ids": image_ids, "max_length": 8}
    options = {"beam": narrow, "sample": drawn | {"seed": 6}} if is_given else {"beam": {}, "sample": {}}
    with torch.inference_mode():
        expected = {
            "beam": said(beam(step, state, batch_size=40, **words, **narrow)),
            "sample": said(sample(step, state, **words, uniforms=uniforms, **drawn)),
        }
    for method, tokens in expected.items():
        assert said(decode(saved.model, features, method=method, **shared, **options[method])) == tokens


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_neither_order_nor_slices_of_a_batch_change_a_caption(tmp_path: Path, method: str) -> None:
    saved, features, image_ids = saved_captioner(tmp_path), images(13), list(range(100, 113))
    options = {
        "vocabulary": saved.vocabulary,
        "method": method,
        "max_length": 8,
        "width": 20,  # wider than the vocabulary
        "length_penalty": 0.7,
        "temperature": 1.5,
        "seed": 3,
    }

    def caption(order: list[int], size: int) -> dict[int, tuple[list[int], bool]]:
        found = {}
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = [image_ids[row] for row in rows]
            decoded = decode(saved.model, features[rows], image_ids=batch, **options)
            found |= {row: (one.tokens, one.is_finished) for row, one in zip(rows, decoded, strict=True)}
        return found

    whole = caption(list(range(13)), 13)
    assert len({tuple(tokens) for tokens, _ in whole.values()}) > 1
    shuffled = torch.randperm(13, generator=torch.Generator().manual_seed(0)).tolist()
    for order, size in ((list(range(13)), 4), (shuffled, 13), (shuffled, 5), (shuffled, 1)):
        assert caption(order, size) == whole


def test_a_damaged_captioner_is_named(tmp_path: Path) -> None:
    saved_captioner(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    weights, facts = load_weights(tmp_path / "model.safetensors")
    for content in (b"", b"text", whole[: len(whole) // 2]):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="is damaged, or not a saved captioner"):
            load_captioner(tmp_path / "model.safetensors")
    changed = facts | {"options": facts["options"] | {"units": 9}}
    save_weights(tmp_path / "model.safetensors", weights, changed)
    with pytest.raises(ValueError, match="is damaged, or not a saved captioner"):
        load_captioner(tmp_path / "model.safetensors")


def test_attention_maps_are_those_of_teacher_forcing_on_the_words_found(tmp_path: Path) -> None:
    saved, features = saved_captioner(tmp_path), images(3)
    found = decode(
        saved.model,
        features,
        vocabulary=VOCABULARY,
        image_ids=[0, 1, 2],
        method="beam",
        width=4,
        max_length=6,
    )
    for index, one in enumerate(found):
        step, state = begin(saved.model, features[index : index + 1], forbidden=[0, 1, 3])
        total, words = 0.0, [3, *one.tokens] + [5] * one.is_finished
        for position in range(len(words) - 1):
            log_probs, state = step(torch.tensor(words[position : position + 1]), state)
            total += log_probs[0, words[position + 1]].item()
            if position < len(one.tokens):
                torch.testing.assert_close(state["attention"][0], one.attention[position])
        assert one.log_prob == pytest.approx(total, abs=1e-4)


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    saved = saved_captioner(tmp_path)
    with pytest.raises(ValueError, match="'best' is unknown: use greedy, beam, sample"):
        decode(saved.model, images(1), vocabulary=VOCABULARY, image_ids=[0], method="best", max_length=3)


def test_how_captions_are_split_is_kept(tmp_path: Path) -> None:
    """A captioner of an earlier version, which does not say, has the tutorial's way."""
    path, saved = tmp_path / "model.safetensors", saved_captioner(tmp_path)
    assert saved.vocabulary.tokeniser == "tutorial"
    weights, facts = load_weights(path)
    save_weights(path, weights, facts | {"tokeniser": "unicode"})
    assert load_captioner(path).vocabulary.tokeniser == "unicode"
    del facts["tokeniser"]
    save_weights(path, weights, facts)
    assert load_captioner(path).vocabulary == VOCABULARY
