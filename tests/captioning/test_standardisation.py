"""Features that are centred and scaled: by the right numbers, once, and wherever the model goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from captioners import CPU, OPTIONS, SIZES, VOCABULARY, images, tiny_captions, tiny_data, train
from ganscribe.captioning.dataset import CaptionSet
from ganscribe.captioning.inference import decode, load_captioner, save_captioner
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.standardisation import AT_ONCE, feature_statistics
from ganscribe.core.devices import autocast

PICTURES = 2 * AT_ONCE + 5


def offset_features(image_ids: Sequence[int]) -> Tensor:
    """(B, 64, 12) float16: means are large beside deviations, as a random network's; some channels are dead."""
    rows = [torch.rand(64, 12, generator=torch.Generator().manual_seed(image)) for image in image_ids]
    scales = torch.tensor([0.05, 0.5, 2.0, 0.0] * 3)
    offsets = torch.linspace(1, 1.5, 64)[:, None]  # by position
    return (torch.stack(rows) * scales + offsets).half()


def test_statistics_are_those_of_all_features_at_once() -> None:
    ids = list(range(PICTURES))
    mean, std = feature_statistics(offset_features, ids)
    every = offset_features(ids).numpy().astype(np.float64)
    np.testing.assert_allclose(mean, every.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(every.var(0).mean(0) + 1e-5), rtol=1e-6)
    assert mean.dtype == std.dtype == torch.float32 and float(std[3]) == pytest.approx(1e-5**0.5)


def test_never_more_than_a_few_images_are_in_memory_and_each_is_read_once() -> None:
    seen: list[int] = []

    def read(image_ids: Sequence[int]) -> Tensor:
        assert len(image_ids) <= AT_ONCE
        seen.extend(image_ids)
        return offset_features(image_ids)

    feature_statistics(read, range(PICTURES))
    assert seen == list(range(PICTURES))


def test_a_large_mean_costs_no_digits() -> None:
    """Sums of squares would lose all digits of a deviation of 1e-3 around a mean of 1,000."""
    values = 1000 + 1e-3 * torch.randn(
        40, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    _, std = feature_statistics(lambda ids: values[list(ids)], range(40))
    expected = np.sqrt(values.numpy().var(0).mean(0) + 1e-5)
    np.testing.assert_allclose(std, expected, rtol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_model_is_the_plain_one_on_standardised_features(precision: str) -> None:
    torch.manual_seed(0)
    plain, ours = Captioner(**SIZES), Captioner(**SIZES, standardise=True, positions=9)
    ours.load_state_dict(plain.state_dict(), strict=False)
    features = torch.rand(4, 9, 10) * 0.1 + 1.1
    ours.feature_mean.copy_(features.mean(0))
    ours.feature_std.copy_(features.std((0, 1)))
    tokens = torch.tensor([[2, 5, 6, 7, 3]] * 4)
    with autocast(precision, CPU):
        found, expected = (
            model(given, tokens)[0].float()
            for model, given in (
                (ours, features),
                (plain, (features - features.mean(0)) / features.std((0, 1))),
            )
        )
        assert not torch.allclose(plain(features, tokens)[0].float(), expected, atol=0.01)
    torch.testing.assert_close(found, expected, atol=1e-5 if precision == "fp32" else 0.02, rtol=1e-4)


def test_training_takes_the_statistics_of_the_training_images_and_leaves_them() -> None:
    captions, val = tiny_captions(), tiny_captions(9)
    doubled = CaptionSet(captions.image_ids * 2, captions.tokens.repeat(2, 1))  # an image counts once
    read: list[int] = []

    def features(image_ids: Sequence[int]) -> Tensor:
        read.extend(image_ids)
        return offset_features(image_ids)

    data = tiny_data(
        train=doubled, val=CaptionSet([i + 500 for i in val.image_ids], val.tokens), features=features
    )
    model = train(data, standardise=True, epochs=2).model
    mean, std = feature_statistics(offset_features, sorted(captions.image_ids))
    assert torch.equal(model.feature_mean, mean) and torch.equal(model.feature_std, std)
    read.remove(captions.image_ids[0])  # by which the number of positions is told
    assert all(read.count(image_id) == 1 + 2 * 2 for image_id in captions.image_ids)  # twice in each epoch
    assert not any(name.startswith("feature_") for name, _ in model.named_parameters())


def test_statistics_are_saved_with_the_model_and_files_without_them_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    options = OPTIONS | {"standardise": True}
    model = Captioner(**options).eval()
    model.feature_mean.uniform_(1, 2)
    model.feature_std.uniform_(0.1, 0.2)
    facts = {"vocabulary": VOCABULARY, "features": {"weights": "w"}}
    save_captioner(tmp_path / "new.safetensors", options=options, state_dict=model.state_dict(), **facts)
    loaded = load_captioner(tmp_path / "new.safetensors").model
    assert torch.equal(loaded.encode(images(2)).values, model.encode(images(2)).values)

    old = Captioner(**OPTIONS)
    assert not old.standardise and set(model.state_dict()) - set(old.state_dict()) == {
        "feature_mean",
        "feature_std",
    }
    save_captioner(tmp_path / "old.safetensors", options=OPTIONS, state_dict=old.state_dict(), **facts)
    loaded = load_captioner(tmp_path / "old.safetensors").model
    asked = {"vocabulary": VOCABULARY, "image_ids": [0, 1], "method": "greedy", "max_length": 5}
    assert [one.tokens for one in decode(loaded, images(2), **asked)] == [
        one.tokens for one in decode(old.eval(), images(2), **asked)
    ]
