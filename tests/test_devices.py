"""Trainings on a device apart from the CPU (`apart`): nothing is mixed up, and no step waits for it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch

import apart
import publications
import together
from ganscribe.captioning import training
from ganscribe.captioning.inference import METHODS, decode
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.updates import PaddedUpdates
from ganscribe.convnets import build
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary
from ganscribe.features.inception import compute_features, load_inception, prepare
from ganscribe.gan.common.sampling import generate
from ganscribe.gan.networks import build_generator
from ganscribe.metrics.gan.images import inception_extractor, judge_features, judge_images
from ganscribe.training.steps import Step

CASES: dict[str, together.Case] = {
    "gan": ("gan", {}),
    "gan with noise, smoothing, average": (
        "gan",
        {
            "objective_options": {"instance_noise": 0.1, "label_smoothing": 0.1},
            "ema_decay": 0.9,
            "networks": "dcgan",
            "steps": 4,
        },
    ),
    "gradient penalty": ("gan", {"objective": "wgan_gp", "optimiser": "adam", "betas": (0.5, 0.9)}),
    "penalty on real images": ("gan", {"objective_options": {"r1_penalty": 1.0}}),
    "clamped critic": ("gan", {"objective": "wgan", "optimiser": "rmsprop", "max_updates": 12}),
    "lenet5": ("classifier", {}),
    "resnet20": ("classifier", {"network": "resnet20", "optimiser": "adam"}),
    "captioner": ("captioner", {}),
    "captioner with options": (
        "captioner",
        {"gate": True, "dropout": 0.3, "clip_norm": 0.1, "doubly_stochastic": 1.0, "scheduled_sampling": 0.5},
    ),
}
# The same number of rows, and of what they take, twice the steps.
TWICE: dict[str, list[dict[str, Any]]] = {
    "gan": [{"steps": steps, "log_every": steps, "sample_every": steps} for steps in (3, 6)],
    "classifier": [{"batch_size": size} for size in (16, 8)],
    "captioner": [{"batch_size": size, "log_every": 100} for size in (8, 4)],
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_is_the_cpu_s_to_the_bit(case: str) -> None:
    kind, changes = CASES[case]
    expected = together.KINDS[kind](**changes)
    with apart.available() as device:
        found = together.KINDS[kind](**changes, device=device)
        assert apart.waits.total() > 0
        assert all(each.device == device for each in found["weights"])
        weights = [each.cpu() for each in found["weights"]]
    assert found["history"] == expected["history"] and len(found["history"]) > 1
    assert all(torch.equal(one, two) for one, two in zip(weights, expected["weights"], strict=True))


@pytest.mark.parametrize("kind", TWICE)
def test_no_step_waits_for_the_device(kind: str) -> None:
    """Only rows of the curve wait: with twice as many steps between rows, there are as many waits."""
    counted = []
    for changes in TWICE[kind]:
        with apart.available() as device:
            together.KINDS[kind](**changes, device=device)
            counted.append(dict(apart.waits))
    assert counted[0] == counted[1]


@pytest.mark.parametrize("case", CASES)
def test_no_step_copies_anything_from_the_host(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA graph holds no such copy. The first run of a step is free to make its optimiser's state."""
    has_run = set()

    def call(self: Step, *inputs: torch.Tensor, **flags: bool) -> None:
        moved = [value.to(self.device) for value in inputs]
        with apart.capturing() if id(self) in has_run else contextlib.nullcontext():
            self.function(*moved, **flags)
        has_run.add(id(self))

    monkeypatch.setattr(Step, "__call__", call)
    monkeypatch.setattr(training, "choose_updates", PaddedUpdates)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10**12, 10**12))
    kind, changes = CASES[case]
    with apart.available() as device:
        together.KINDS[kind](**changes, device=device)
    assert has_run


@pytest.mark.parametrize("method", METHODS)
def test_captions_are_the_cpu_s(method: str) -> None:
    torch.manual_seed(0)
    model = Captioner(vocabulary_size=7, embedding_dim=6, units=8, feature_dim=10, encoder_dim=7, gate=True)
    features = torch.rand(5, 64, 10)
    options: dict[str, Any] = {
        "vocabulary": Vocabulary((PAD, UNK, START, END, "a", "dog", "runs")), "image_ids": range(5),
        "method": method, "max_length": 6, "width": 3, "length_penalty": 0.7,
        "temperature": 1.5, "top_k": 4, "seed": 1,
    }  # fmt: skip
    expected = decode(model.eval(), features, **options)
    with apart.available() as device:
        found = decode(model.to(device), features.to(device), **options)
    assert [one.tokens for one in found] == [one.tokens for one in expected]
    for one, two in zip(found, expected, strict=True):
        assert torch.equal(one.attention.cpu(), two.attention)


@pytest.mark.parametrize("method", METHODS)
def test_captions_are_copied_once_a_batch(method: str) -> None:
    """For forty images there is one wait per word (are any captions unfinished?), and one for the results."""
    torch.manual_seed(0)
    model = Captioner(vocabulary_size=7, embedding_dim=6, units=8, feature_dim=10, encoder_dim=7)
    with apart.available() as device:
        model.to(device).eval()
        features, max_length = torch.rand(40, 64, 10).to(device), 6
        vocabulary = Vocabulary((PAD, UNK, START, END, "a", "dog", "runs"))
        apart.waits.clear()
        decode(
            model, features, vocabulary=vocabulary, image_ids=range(40), method=method, max_length=max_length,
            **({"width": 3} if method == "beam" else {}),
        )  # fmt: skip
    assert 0 < apart.waits.total() <= max_length + 5


def test_samples_and_verdicts_are_copied_once() -> None:
    networks = {"image_shape": (1, 28, 28)}
    images = torch.randint(0, 256, (600, 1, 28, 28), dtype=torch.uint8)
    with apart.available() as device:
        generator = build_generator("mlp", noise_dim=4, **networks).to(device)
        judge = build("lenet5", num_classes=10, **networks).to(device).eval()
        noise = torch.rand(600, 4)
        apart.waits.clear()
        generate(generator, noise)
        assert apart.waits.total() == 1
        judge_images(images, lambda batch: judge_features(judge, batch))
        assert apart.waits.total() == 3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_the_cpu_s(precision: str) -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 299, 299), generator=rng, dtype=torch.uint8)
    inception = load_inception(None, calibration_images=images, seed=0)
    expected = compute_features(prepare(inception, precision=precision, device=torch.device("cpu")), images)
    with apart.available() as device:
        prepare(inception, precision=precision, device=device)
        found = compute_features(inception, images.to(device))
    assert torch.equal(found, expected)


def test_the_feature_network_can_be_captured() -> None:
    images = torch.randint(0, 256, (2, 3, 75, 75), dtype=torch.uint8)  # the smallest that it takes
    inception = load_inception(None, calibration_images=images, seed=0)
    with apart.available() as device:
        prepare(inception, precision="fp32", device=device)
        there = images.to(device)
        with apart.capturing():
            inception.network(there)


def test_fid_s_own_network_sees_what_it_sees_on_the_cpu(tmp_path: Path) -> None:
    torch.save(publications.fid_weights(), tmp_path / "weights.pth")
    images = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    expected = inception_extractor(tmp_path / "weights.pth")(images)
    with apart.available() as device:
        found = inception_extractor(tmp_path / "weights.pth", device)(images)
        assert all(part.device == device for part in found)
        copies = [part.cpu() for part in found]
    assert all(torch.equal(one, other) for one, other in zip(copies, expected, strict=True))


def test_the_device_refuses_the_cpu_s_company() -> None:
    """Otherwise the tests above would show nothing."""
    with apart.available() as device:
        here, there = torch.ones(3), torch.ones(3).to(device)
        assert torch.tensor([1.0, 2.0], device=device).sum().item() == 3
        for mix in (
            lambda: here + there,
            lambda: torch.where(there > 0, there, here),
            lambda: here[there.long()],
            lambda: there.index_put((torch.arange(3),), here),
            lambda: torch.rand(3, device=device, generator=torch.Generator().manual_seed(4)),
            lambda: torch.rand(3, generator=torch.Generator(device).manual_seed(5)),
        ):
            with pytest.raises(RuntimeError, match="device"):
                mix()
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert torch.equal((there * 2 + torch.tensor(1.0)).cpu(), here * 3)
        assert apart.waits == {"_local_scalar_dense": 1, "_to_copy": 1}
        with apart.capturing():
            assert (there * 2 + torch.tensor(1.0)).add_(there).device == device
            for copy in (
                lambda: here.to(device),
                lambda: there.copy_(here),
                lambda: torch.tensor(1.0, device=device),
                lambda: there.cpu(),
                lambda: here.copy_(there),
                lambda: there.sum().item(),
            ):
                with pytest.raises(RuntimeError, match="no graph can hold"):
                    copy()
