"""Inception-v3: its weights, its input, folding, and images of every kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from ganscribe.core.files import file_sha256, save_torch
from ganscribe.features.inception import (
    fold_batch_norm,
    load_inception,
    prepare,
    read_inception,
    write_inception,
)
from ganscribe.features.pictures import load_image

DATA = Path(os.environ.get("GANSCRIBE_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))
WEIGHTS = DATA / "weights/inception_v3_transfer.pth"
PHOTOS = DATA / "coco/train2014"
needs_data = pytest.mark.skipif(
    not (WEIGHTS.exists() and PHOTOS.exists()), reason="no weights or photographs here"
)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(
        0, 256, (2, 3, 299, 299), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.fixture(scope="module")
def random_state(images: torch.Tensor) -> dict[str, torch.Tensor]:
    network = load_inception(None, calibration_images=images, seed=0).network
    return {key: value.clone() for key, value in network.inception.state_dict().items()}


def test_random_init_is_seeded_calibrated_and_labelled(
    images: torch.Tensor, random_state: dict[str, torch.Tensor]
) -> None:
    inception = load_inception(None, calibration_images=images, seed=0)
    state = inception.network.inception.state_dict()
    assert inception.label == "random-init" and len(inception.sha256) == 64
    assert load_inception(None, calibration_images=images, seed=1).sha256 != inception.sha256
    assert all(torch.equal(state[key], random_state[key]) for key in state)
    with torch.no_grad():
        maps = inception.network(images)
        first = inception.network.inception.Conv2d_1a_3x3
        before = first.conv(inception.network.normalise(images))
    assert maps.shape == (2, 64, 2048) and maps.isfinite().all()
    torch.testing.assert_close(first.bn.running_mean, before.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(first.bn.running_var, before.var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    # Calibrated to the last block: most units fire, as shifts of 1 have it, and none explodes.
    assert 0.7 < (maps > 0).float().mean() < 0.95 and maps.max() < 100
    with pytest.raises(ValueError, match="images to calibrate"):
        load_inception(None)


def test_a_random_network_sees_a_spot_most_in_the_cells_around_it(
    images: torch.Tensor, random_state: dict[str, torch.Tensor]
) -> None:
    """Attention needs this. Kernels with taps of one size would show a spot in nearly every cell."""
    network = load_inception(None, calibration_images=images, seed=0).network
    plain = torch.full((1, 3, 299, 299), 120, dtype=torch.uint8)
    for row, column in ((2, 5), (5, 1)):
        spotted = plain.clone()
        y, x = 37 + 32 * row, 37 + 32 * column
        spotted[:, 0, y - 20 : y + 21, x - 20 : x + 21] = 250
        with torch.no_grad():
            change = (network(spotted) - network(plain)).square().mean(2).view(8, 8)
        assert divmod(int(change.argmax()), 8) == (row, column)
        near = change[row - 1 : row + 2, max(column - 1, 0) : column + 2]
        assert near.mean() > 4 * change.mean()
    kernel = random_state["Mixed_6b.branch7x7_2.conv.weight"]  # 1 x 7
    taps = kernel.square().mean((0, 1, 2)).sqrt()
    steps = torch.arange(7) - 3
    torch.testing.assert_close(taps / taps[3], torch.exp(-(steps**2) / (2 * 0.5**2)), rtol=0.05, atol=0)
    assert float(kernel.square().mean()) == pytest.approx(2 / kernel[0].numel(), rel=0.05)


def test_positions_are_row_by_row_and_folding_changes_nothing(
    images: torch.Tensor, random_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    from torchvision.models import inception_v3

    reference = inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=False).eval()
    reference.load_state_dict(random_state, strict=False)
    stream = torch.Generator().manual_seed(0)
    for norm in reference.modules():  # of another gain each, so that folding has something to do
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.weight.data.uniform_(0.9, 1.1, generator=stream)
    captured = []
    reference.Mixed_7c.register_forward_hook(lambda layer, inputs, output: captured.append(output))
    save_torch(tmp_path / "weights.pth", reference.state_dict())
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inception = load_inception(tmp_path / "weights.pth")
    assert (inception.label, inception.sha256) == ("weights.pth", file_sha256(tmp_path / "weights.pth"))
    with torch.no_grad():
        reference((images[:1] / 255 - mean[:, None, None]) / std[:, None, None])
        folded = fold_batch_norm(inception.network)(images[:1])
    expected = captured[0]
    for row, column in ((0, 0), (0, 7), (3, 5), (7, 7)):
        position, wanted = folded[:, 8 * row + column], expected[:, :, row, column]
        assert (position - wanted).norm() < 1e-3 * wanted.norm()
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in inception.network.modules())


def test_the_kept_network_gives_the_same_features(
    images: torch.Tensor, random_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    save_torch(tmp_path / "weights.pth", random_state)
    cpu = torch.device("cpu")
    images = images[:1]
    with torch.no_grad():
        plain = load_inception(tmp_path / "weights.pth").network(images)
        prepared = prepare(load_inception(tmp_path / "weights.pth"), precision="bf16", device=cpu)
        write_inception(tmp_path / "kept.safetensors", prepared)
        kept = read_inception(tmp_path / "kept.safetensors", device=cpu)
        maps = prepared.network(images)
        assert maps.dtype == torch.bfloat16 and torch.equal(maps, kept.network(images))
        again = read_inception(tmp_path / "kept.safetensors", device=cpu, precision="fp32").network(images)
        assert again.dtype == torch.float32
    assert (kept.label, kept.sha256) == (prepared.label, prepared.sha256)
    assert (maps - plain).norm() < 0.2 * plain.norm()  # bfloat16's 8 bits, through 48 layers; measured: 0.15


def test_float16_weights_and_heads_of_other_sizes_load(
    random_state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    extra = {"fc.weight": torch.zeros(5, 2048), "AuxLogits.fc.bias": torch.zeros(5)}
    half = {key: value.half() for key, value in random_state.items() if "num_batches" not in key}
    save_torch(tmp_path / "half.pth", half | extra)
    state = load_inception(tmp_path / "half.pth").network.inception.state_dict()
    key = "Mixed_7c.branch1x1.conv.weight"
    assert state[key].dtype == torch.float32 and torch.equal(state[key], half[key].float())


def test_bad_weights_are_named(random_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    key = "Mixed_7c.branch1x1.conv.weight"
    cases = {
        "is missing": {name: value for name, value in random_state.items() if name != key},
        r"is \(3,\), not \(320, 2048, 1, 1\)": random_state | {key: torch.zeros(3)},
        "not finite": random_state
        | {key: random_state[key].clone().index_fill_(0, torch.tensor(7), torch.inf)},
    }
    for message, state in cases.items():
        save_torch(tmp_path / "weights.pth", state)
        with pytest.raises(ValueError, match=f"Inception-v3 layout: {key} .*{message}"):
            load_inception(tmp_path / "weights.pth")
    others = [name for name in random_state if name.startswith("Mixed_7c") and "num_batches" not in name]
    save_torch(
        tmp_path / "weights.pth", {name: random_state[name] for name in random_state if name not in others}
    )
    with pytest.raises(ValueError, match=rf"\(and {len(others) - 3} more\)$"):
        load_inception(tmp_path / "weights.pth")
    content = (tmp_path / "weights.pth").read_bytes()
    for bad in (content[: len(content) // 2], b"", b"no weights"):
        (tmp_path / "weights.pth").write_bytes(bad)
        with pytest.raises(ValueError, match="damaged, or not a PyTorch file"):
            load_inception(tmp_path / "weights.pth")
    save_torch(tmp_path / "weights.pth", [1, 2])
    with pytest.raises(ValueError, match="holds a list"):
        load_inception(tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="download@inception"):
        load_inception(tmp_path / "none.pth")


@needs_data
def test_first_layer_statistics_fit_the_batch_norm() -> None:
    """Photographs must reach the first batch norm with the statistics it was trained on, and without
    `transform_input` they must not: then the distance shows what the check is worth."""
    paths = sorted(PHOTOS.iterdir())[:12]
    images = torch.stack([load_image(path) for path in paths])
    network = load_inception(WEIGHTS).network
    first = network.inception.Conv2d_1a_3x3

    def distance() -> float:
        with torch.no_grad():
            values = first.conv(network.normalise(images))
        shift = (values.mean((0, 2, 3)) - first.bn.running_mean) / first.bn.running_var.sqrt()
        scale = values.var((0, 2, 3)).log() - first.bn.running_var.log()
        return float(shift.abs().mean() + scale.abs().mean() / 2)

    right = distance()
    network.inception.transform_input = False
    wrong = distance()
    assert right < 0.3 < wrong, (right, wrong)
