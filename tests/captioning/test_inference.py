from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ganscribe.captioning.evaluation import caption_images, write_decoded
from ganscribe.captioning.inference import SavedCaptioner, begin, decode, load_captioner, save_captioner
from ganscribe.captioning.model import Captioner
from ganscribe.core.files import load_torch, save_torch
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary

OPTIONS = {"vocabulary_size": 9, "embedding_dim": 6, "units": 8, "feature_dim": 10, "encoder_dim": 7}
VOCABULARY = Vocabulary((PAD, UNK, "a", START, "dog", END, "red", "ball", "runs"))


def saved_captioner(folder: Path) -> SavedCaptioner:
    torch.manual_seed(0)
    model = Captioner(**OPTIONS)
    with torch.no_grad():  # so that words differ, and sentences end now and then
        for parameter in model.parameters():
            parameter.mul_(3)
        model.output.bias[[0, 1, 3]] = 50.0  # what is forbidden would win
        model.output.bias[5] = 1.0
    save_captioner(
        folder / "model.pt",
        options=OPTIONS,
        vocabulary=VOCABULARY,
        features={"weights": "random-init"},
        state_dict=model.state_dict(),
    )
    return load_captioner(folder / "model.pt")


def images(count: int) -> Tensor:
    return torch.rand(count, 64, 10, generator=torch.Generator().manual_seed(0))


def test_a_captioner_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved = saved_captioner(tmp_path)
    assert saved.vocabulary == VOCABULARY and saved.options == OPTIONS and not saved.model.training
    assert saved.features == {"weights": "random-init"}
    with pytest.raises(FileNotFoundError, match="train_captioner"):
        load_captioner(tmp_path / "other.pt")
    save_torch(tmp_path / "other.pt", {"networks": "mlp"})
    with pytest.raises(ValueError, match="no saved captioner"):
        load_captioner(tmp_path / "other.pt")


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
        torch.testing.assert_close(alone.traces, one.traces)
        assert one.traces.shape == (len(one.tokens), 64)
        torch.testing.assert_close(one.traces.sum(1), torch.ones(len(one.tokens)))


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
    whole = (tmp_path / "model.pt").read_bytes()
    saved = load_torch(tmp_path / "model.pt")
    for content in (b"", b"text", whole[: len(whole) // 2]):
        (tmp_path / "model.pt").write_bytes(content)
        with pytest.raises(ValueError, match="no saved captioner, or a damaged one"):
            load_captioner(tmp_path / "model.pt")
    save_torch(tmp_path / "model.pt", saved | {"options": saved["options"] | {"units": 9}})
    with pytest.raises(ValueError, match="no saved captioner, or a damaged one"):
        load_captioner(tmp_path / "model.pt")


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
                torch.testing.assert_close(state["trace"][0], one.traces[position])
        assert one.log_prob == pytest.approx(total, abs=1e-4)


def test_captions_become_a_table_that_pandas_reads(tmp_path: Path) -> None:
    saved, features = saved_captioner(tmp_path), images(5)
    found = caption_images(
        saved,
        lambda image_ids: features[list(image_ids)].half(),
        [4, 0, 2],
        method="greedy",
        width=1,
        length_penalty=0.0,
        temperature=1.0,
        top_k=0,
        seed=0,
        max_length=6,
        batch_size=2,
        precision="fp32",
        device=torch.device("cpu"),
    )
    path = tmp_path / "greedy.parquet"
    write_decoded(
        path,
        found,
        image_ids=[4, 0, 2],
        file_names=["e.jpg", "a.jpg", "c.jpg"],
        vocabulary=VOCABULARY,
        per_image={"CIDEr": np.array([0.5, 1.5, 0.0]), "BLEU": np.arange(30.0).reshape(3, 10)},
    )
    table = pd.read_parquet(path)
    assert table["CIDEr"].tolist() == [0.5, 1.5, 0.0] and list(table["BLEU"][1]) == list(range(10, 20))
    assert table["image_id"].tolist() == [4, 0, 2]
    for row, one in zip(table.itertuples(), found, strict=True):
        assert row.caption == VOCABULARY.decode(one.tokens) and len(row.attention) == len(one.tokens)
        assert all(float(sum(attention)) == pytest.approx(1, abs=1e-4) for attention in row.attention)


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    saved = saved_captioner(tmp_path)
    with pytest.raises(ValueError, match="'best' is unknown: use greedy, beam, sample"):
        decode(saved.model, images(1), vocabulary=VOCABULARY, image_ids=[0], method="best", max_length=3)
