import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.model import Captioner
from ganscribe.core.devices import autocast


def small(vocabulary_size: int = 11, *, gate: bool = False, dropout: float = 0.0) -> Captioner:
    torch.manual_seed(0)
    return Captioner(
        vocabulary_size,
        embedding_dim=6,
        units=8,
        feature_dim=10,
        encoder_dim=7,
        gate=gate,
        dropout=dropout,
    )


def batch(lengths: list[int], vocabulary_size: int = 11) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    for row, length in enumerate(lengths):
        tokens[row, :length] = torch.randint(1, vocabulary_size, (length,), generator=generator)
    return tokens


def slow_scores(model: Captioner, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The equations of the paper, step by step, the GRU's gates spelled out; the gate of section 4.2.1."""
    values = F.relu(features @ model.encoder.weight.T + model.encoder.bias)
    w1, w2, v = model.attention_key, model.attention_query, model.attention_score
    hidden = torch.zeros(len(tokens), model.units, dtype=features.dtype)
    scores, following, maps = [], [], []
    for t in range(tokens.shape[1] - 1):
        energy = v(torch.tanh(w1(values) + w2(hidden).unsqueeze(1)))
        alpha = torch.exp(energy) / torch.exp(energy).sum(1, keepdim=True)
        context = (alpha * values).sum(1)
        if model.context_gate is not None:
            w, b = model.context_gate.weight[0], model.context_gate.bias
            context = context / (1 + torch.exp(-(hidden @ w + b)))[:, None]
        x = torch.cat([context, model.embedding.weight[tokens[:, t]]], 1)
        ri, zi, ni = (x @ model.gru.weight_ih.T + model.gru.bias_ih).chunk(3, 1)
        rh, zh, nh = (hidden @ model.gru.weight_hh.T + model.gru.bias_hh).chunk(3, 1)
        r, z = torch.sigmoid(ri + rh), torch.sigmoid(zi + zh)
        hidden = z * hidden + (1 - z) * torch.tanh(ni + r * nh)
        real = tokens[:, t + 1] != 0
        scores.append(model.output(model.hidden(hidden))[real])
        following.append(tokens[real, t + 1])
        maps.append(alpha[real].squeeze(-1))
    return torch.cat(scores), torch.cat(following), torch.cat(maps)


@pytest.mark.parametrize("lengths", [[7, 5, 5, 2], [4], [3, 3], [6, 2, 2, 2, 2]])
@pytest.mark.parametrize(
    ("gate", "with_attention"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_teacher_forcing_equals_the_equations_with_gradients(
    lengths: list[int], gate: bool, with_attention: bool
) -> None:
    model = small(gate=gate).double()
    if model.context_gate is not None:
        torch.nn.init.uniform_(model.context_gate.bias)
    features = torch.rand(len(lengths), 9, 10, dtype=torch.float64, requires_grad=True)
    tokens = F.pad(batch(lengths), (0, 2))  # pads beyond the longest change nothing
    results = []
    for scores, following, maps in (
        model(features, tokens, with_attention=with_attention),
        slow_scores(model, features, tokens),
    ):
        loss = F.cross_entropy(scores, following) + scores.square().mean()
        if with_attention:
            torch.testing.assert_close(maps.sum(1), torch.ones(len(maps), dtype=torch.float64))
            loss = loss + (maps * torch.linspace(0, 9, maps.numel()).view_as(maps)).square().sum()
        gradients = torch.autograd.grad(loss, [features, *model.parameters()])
        results.append((scores, following, gradients))
    (fast, fast_words, fast_gradients), (slow, slow_words, slow_gradients) = results
    assert torch.equal(fast_words, slow_words)
    torch.testing.assert_close(fast, slow)
    assert all(gradient.any() for gradient in fast_gradients)
    for one, other in zip(fast_gradients, slow_gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("gate", [False, True])
def test_bfloat16_stays_near_float32_in_scores_and_gradients(gate: bool) -> None:
    torch.manual_seed(0)
    model = Captioner(50, embedding_dim=32, units=64, feature_dim=40, encoder_dim=32, gate=gate)
    features, tokens = torch.rand(8, 64, 40), batch([12, 11, 9, 9, 8, 7, 6, 5], 50)
    gradients = {}
    for precision in ("fp32", "bf16"):
        with autocast(precision, torch.device("cpu")):
            scores, following, maps = model(features, tokens, with_attention=gate)
        loss = F.cross_entropy(scores.float(), following) + (0 if maps is None else maps.square().sum())
        gradients[precision] = torch.cat(
            [gradient.flatten() for gradient in torch.autograd.grad(loss, list(model.parameters()))]
        )
        assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert gradients["bf16"].dtype == torch.float32
    assert F.cosine_similarity(gradients["fp32"], gradients["bf16"], dim=0) > 0.999


@pytest.mark.parametrize("gate", [False, True])
def test_step_follows_teacher_forcing_also_with_several_rows_an_image(gate: bool) -> None:
    model = small(gate=gate).eval()
    features, tokens = torch.rand(2, 9, 10), batch([6, 6])
    expected, _, _ = model(features, tokens)  # all captions' first words, then all second ones
    beams = torch.repeat_interleave(tokens, 3, dim=0)
    memory, hidden = model.encode(features), torch.zeros(6, model.units)
    for t in range(5):
        scores, hidden, attention = model.step(beams[:, t], hidden, memory)
        torch.testing.assert_close(scores[::3], expected[2 * t : 2 * t + 2])
        torch.testing.assert_close(scores[2::3], expected[2 * t : 2 * t + 2])
        torch.testing.assert_close(attention.sum(1), torch.ones(6))


def test_parameter_count_of_the_recipe_follows_from_the_layers() -> None:
    units, embedding, encoder, vocabulary = 512, 256, 256, 5002
    layers = [
        2048 * encoder + encoder,
        encoder * units + units,  # W1
        units * units + units,  # W2
        units,  # V
        vocabulary * embedding,
        3 * units * (encoder + embedding) + 3 * units * units + 2 * 3 * units,
        units * units + units,
        units * vocabulary + vocabulary,
    ]
    for gate, more in ((False, 0), (True, units + 1)):
        model = Captioner(vocabulary, gate=gate)
        assert sum(parameter.numel() for parameter in model.parameters()) == sum(layers) + more


def test_dropout_falls_on_what_is_not_recurrent_and_on_training_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, tokens = torch.rand(2, 9, 10), batch([5, 3])
    plain, dropping = small(), small(dropout=0.25)
    torch.testing.assert_close(
        dropping.eval()(features, tokens)[0], plain(features, tokens)[0], rtol=0, atol=0
    )
    shapes = []

    def spy(values: Tensor, p: float, training: bool) -> Tensor:
        shapes.append(tuple(values.shape))
        assert (p, training) == (0.25, True)
        return values

    monkeypatch.setattr(F, "dropout", spy)
    dropping.train()(features, tokens)
    assert shapes == [(2, 9, 7), (6, 6), (6, 8), (6, 8)]  # features; 4 + 2 words; twice the state after each
    shapes.clear()
    dropping.step(tokens[:, 0], torch.zeros(2, 8), dropping.encode(features))
    assert shapes == [(2, 9, 7), (2, 6), (2, 8), (2, 8)]


def test_initialisation_is_keras() -> None:
    torch.manual_seed(0)
    model = Captioner(1000)
    recurrent = model.gru.weight_hh.detach()  # (3 units, units): Keras's kernel transposed
    torch.testing.assert_close(recurrent.T @ recurrent, torch.eye(512), atol=1e-5, rtol=0)
    for weight in (model.encoder.weight, model.gru.weight_ih, model.output.weight):
        limit = math.sqrt(6 / sum(weight.shape))
        assert 0.99 * limit < weight.abs().max() <= limit
        assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.01)
    assert 0.0499 < model.embedding.weight.abs().max() <= 0.05
    biases = [p for name, p in model.named_parameters() if "bias" in name]
    assert len(biases) == 7 and all(not bias.any() for bias in biases)


def test_float16_features_are_taken_and_unsorted_captions_refused() -> None:
    model = small()
    features = torch.rand(2, 9, 10)
    scores, _, _ = model(features.half(), batch([5, 3]))
    torch.testing.assert_close(scores, model(features.half().float(), batch([5, 3]))[0])
    with pytest.raises(ValueError, match="sorted"):
        model(features, batch([4, 5]))
