"""CliqueNet: the published table, both stages unrolled by hand, what each stage sees, initialisation."""

from __future__ import annotations

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganscribe import convnets
from ganscribe.convnets.networks.cliquenet import CliqueBlock, build
from ganscribe.training.cost import count_flops, count_parameters
from layer_counts import Counts, check_counts, conv, linear, norm

CIFAR10 = {"num_classes": 10, "image_shape": (3, 32, 32)}

# Yang et al. 2018, tables 2 and 3: k, T, techniques -> parameters in millions, FLOPs in billions.
PUBLISHED = [
    (36, 12, "", "0.94", "0.91"),
    (64, 15, "", "4.49", "4.21"),
    (80, 15, "", "6.94", "6.45"),
    (80, 18, "", "10.14", "9.45"),
    (36, 12, "A", "0.98", "0.91"),
    (36, 12, "C", "1.04", "0.98"),
    (36, 12, "AC", "1.08", "0.98"),
    # The authors' page compares nets of one k and T with DenseNet; no FLOPs there.
    (12, 36, "", "1.05", None),
    (24, 18, "", "0.99", None),
]


def layers(channels: int, classes: int) -> list[Counts]:
    found, inputs, features = [conv(channels, 64, 3, 32)], 64, 0
    for side in (32, 16, 8):
        for j in range(4):
            first, second = inputs + 36 * j, 3 * 36
            filters = conv(inputs, 36, 3, side)[0] + 3 * conv(36, 36, 3, side)[0]
            uses = conv(first, 36, 3, side)[1] + conv(second, 36, 3, side)[1]
            found += [(filters, uses), norm(first), norm(second)]
        features += inputs + 144
        found += [norm(inputs + 144)]
        if side > 8:
            found += [norm(144), conv(144, 144, 1, side)]
        inputs = 144
    return [*found, linear(features, classes)]


def test_counts_follow_from_the_layer_table() -> None:
    check_counts("cliquenet", layers, features=64 + 144 + 2 * (144 + 144))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T": 14}, "multiple of 3"),
        ({"T": 15, "bottleneck": True}, "multiple of 6"),
        ({"T": 3}, "at least 6"),
    ],
)
def test_other_depths_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(**CIFAR10, **options)


@pytest.mark.parametrize(("k", "T", "techniques", "millions", "billions"), PUBLISHED)
def test_published_parameters_and_flops(
    k: int, T: int, techniques: str, millions: str, billions: str | None
) -> None:
    model = build(
        **CIFAR10, k=k, T=T, attentional_transition="A" in techniques, compression="C" in techniques
    )
    assert f"{count_parameters(model) / 1e6:.2f}" == millions
    if billions:
        assert f"{count_flops(model, (3, 32, 32)) / 1e9:.2f}" == billions


def expected_parameters(k: int, T: int, *, attention: bool, compression: bool, bottleneck: bool) -> int:
    """Pair by pair: every filter, norm and linear layer."""
    layers, area = (T // 6, 1) if bottleneck else (T // 3, 9)
    total, inputs, features, width = 3 * 64 * 9, 64, 0, layers * k
    for block in range(3):
        for j in range(layers):
            total += inputs * k * area  # W_0j
            total += sum(k * k * area for i in range(layers) if i != j)
            total += 2 * (inputs + j * k) + 2 * (layers - 1) * k  # norms of stage I and II
            total += bottleneck * (k * k * 9 + 2 * 2 * k)
        read = inputs + width
        if compression:
            total, read = total + 2 * read + read * (read // 2), read // 2
        total, features = total + 2 * read, features + read
        if block < 2:
            total += 2 * width + width * width
            hidden = width // 2
            total += attention * (width * hidden + hidden + hidden * width + width)
        inputs = width
    return total + features * 10 + 10


@pytest.mark.parametrize(("attention", "compression", "bottleneck"), product([False, True], repeat=3))
@pytest.mark.parametrize(("k", "T"), [(36, 12), (64, 18)])
def test_parameters_of_every_combination(
    k: int, T: int, attention: bool, compression: bool, bottleneck: bool
) -> None:
    model = build(
        **CIFAR10,
        k=k,
        T=T,
        attentional_transition=attention,
        compression=compression,
        bottleneck=bottleneck,
    )
    expected = expected_parameters(k, T, attention=attention, compression=compression, bottleneck=bottleneck)
    assert count_parameters(model) == expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_gradient_for_every_parameter_with_all_techniques(shape: tuple[int, ...], bottleneck: bool) -> None:
    torch.manual_seed(0)
    options = {"attentional_transition": True, "compression": True, "bottleneck": bottleneck}
    model = convnets.build("cliquenet", num_classes=10, image_shape=shape, k=8, T=12, dropout=0.2, **options)
    model(torch.randn(8, *shape)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def make_block(*, bottleneck: bool = False, dropout: float = 0.0) -> CliqueBlock:
    """Three layers of two filters on a block input of five channels, norms with weights of their own."""
    torch.manual_seed(0)
    block = CliqueBlock(5, filters=2, layers=3, bottleneck=bottleneck, dropout=dropout).double()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
    return block


def normalise(maps: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """Training-mode batch norm and ReLU, written out."""
    mean, variance = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
    scale = norm.weight / (variance + norm.eps).sqrt()
    return ((maps - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).relu()


def split(block: CliqueBlock) -> dict[tuple[int, int], torch.Tensor]:
    """W_ij of the ordered pairs, layers 1 to L and the block's input 0."""
    k, pairs = block.filters, {}
    for j in range(1, block.layers + 1):
        pairs[0, j] = block.input_filters[j - 1]
        others = [i for i in range(1, block.layers + 1) if i != j]
        for place, i in enumerate(others):
            pairs[i, j] = block.pair_filters[j - 1][:, place * k : (place + 1) * k]
    return pairs


def unroll(block: CliqueBlock, block_input: torch.Tensor) -> dict[int, torch.Tensor]:
    """Both stages of three layers in the paper's notation: sums of one convolution for each pair."""
    W, k = split(block), block.filters

    def update(
        j: int, sources: dict[int, torch.Tensor], norm: nn.Module, last: nn.ModuleList
    ) -> torch.Tensor:
        ready = normalise(torch.cat(list(sources.values()), dim=1), norm)
        parts = ready.split([5 if i == 0 else k for i in sources], dim=1)
        size = W[1, 2].shape[-1] // 2
        out = sum(F.conv2d(part, W[i, j], padding=size) for i, part in zip(sources, parts, strict=True))
        if last:
            out = F.conv2d(normalise(out, last[j - 1]), block.last_filters[j - 1], padding=1)
        return out

    one, two, X0 = {}, {}, block_input
    one[1] = update(1, {0: X0}, block.norms_1[0], block.last_norms_1)
    one[2] = update(2, {0: X0, 1: one[1]}, block.norms_1[1], block.last_norms_1)
    one[3] = update(3, {0: X0, 1: one[1], 2: one[2]}, block.norms_1[2], block.last_norms_1)
    two[1] = update(1, {2: one[2], 3: one[3]}, block.norms_2[0], block.last_norms_2)
    two[2] = update(2, {1: two[1], 3: one[3]}, block.norms_2[1], block.last_norms_2)
    two[3] = update(3, {1: two[1], 2: two[2]}, block.norms_2[2], block.last_norms_2)
    return two


@pytest.mark.parametrize("bottleneck", [False, True])
def test_block_equals_both_stages_unrolled_by_hand(bottleneck: bool) -> None:
    block = make_block(bottleneck=bottleneck)
    block_input = torch.randn(4, 5, 6, 6, dtype=torch.float64)
    expected = unroll(block, block_input)
    torch.testing.assert_close(block(block_input), torch.cat([expected[1], expected[2], expected[3]], dim=1))


def test_stage_two_sees_the_input_only_through_stage_one() -> None:
    """With stage I held still, another X0 changes nothing: W_0j is used in stage I alone."""
    block = make_block().eval()
    first, second = (torch.randn(2, 5, 6, 6, dtype=torch.float64) for _ in range(2))
    assert not torch.allclose(block(first), block(second))
    for each in block.norms_1:  # stage I's every layer becomes a constant that X0 has no part in
        nn.init.zeros_(each.weight)
    assert torch.equal(block(first), block(second))
    assert block(first).abs().sum() > 0


def test_the_transition_gets_stage_two_only_and_the_features_x0_too() -> None:
    model = build(**CIFAR10, k=4, T=9).eval()
    seen: dict[str, torch.Tensor] = {}
    model.stem.register_forward_hook(lambda module, inputs, output: seen.update(x0=output))
    model.blocks[0].register_forward_hook(lambda module, inputs, output: seen.update(refined=output))
    model.transitions[0].register_forward_hook(lambda module, inputs, output: seen.update(moved=inputs[0]))
    model.readouts[0].register_forward_hook(lambda module, inputs, output: seen.update(read=inputs[0]))
    model(torch.randn(2, 3, 32, 32))
    assert seen["refined"].shape == (2, 12, 32, 32) and torch.equal(seen["moved"], seen["refined"])
    assert torch.equal(seen["read"], torch.cat([seen["x0"], seen["refined"]], dim=1))


def test_filters_start_with_the_fan_in_of_one_pair() -> None:
    """Not of all pairs side by side, whose standard deviation would be smaller by sqrt(L - 1) = 2."""
    torch.manual_seed(0)
    model = build(**CIFAR10, k=60, T=15)
    for block, channels in zip(model.blocks, (64, 300, 300), strict=True):
        for weight in block.pair_filters:
            assert weight.std().item() == pytest.approx((2 / (60 * 9)) ** 0.5, rel=0.02)
        for weight in block.input_filters:
            assert weight.std().item() == pytest.approx((2 / (channels * 9)) ** 0.5, rel=0.02)
    bound = (6 / (model.classifier.in_features + 10)) ** 0.5
    assert 0.95 * bound < model.classifier.weight.abs().max().item() <= bound
    assert model.classifier.bias.abs().sum() == 0


def test_biases_norms_and_dropout() -> None:
    model = build(**CIFAR10, k=4, T=9, attentional_transition=True, compression=True, bottleneck=False)
    assert all(module.bias is None for module in model.modules() if isinstance(module, nn.Conv2d))
    assert all(module.bias is not None for module in model.modules() if isinstance(module, nn.Linear))
    block = model.blocks[0]
    norms = [*block.norms_1, *block.norms_2]
    assert len({id(norm) for norm in norms}) == len(norms) == 2 * 3

    dropping = make_block(dropout=0.5)
    maps = torch.randn(2, 5, 6, 6, dtype=torch.float64)
    assert 0.3 < float((dropping(maps) == 0).double().mean()) < 0.7
    assert torch.equal(dropping.eval()(maps), dropping(maps))


def test_attention_scales_channels_by_their_pooled_values() -> None:
    model = build(**CIFAR10, k=4, T=9, attentional_transition=True)
    attention = model.transitions[0][-2]
    first, _, second, _ = attention.gate
    assert (first.in_features, first.out_features, second.out_features) == (12, 6, 12)
    maps = torch.randn(2, 12, 8, 8)
    gates = torch.sigmoid(second(F.relu(first(maps.mean((2, 3))))))
    torch.testing.assert_close(attention(maps), maps * gates[:, :, None, None])
