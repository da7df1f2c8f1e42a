import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from captioners import LENGTHS, SIZES, model_and_batch
from ganscribe.captioning.dataset import pad
from ganscribe.captioning.loss import token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.scheduled import mix_in_own_words


def own_words(model: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Return each caption as its first word, then as many of the model's likeliest words as it has, one by one."""
    fed = tokens.clone()
    for row, length in enumerate(LENGTHS):
        memory, hidden = model.encode(features[row : row + 1]), torch.zeros(1, 8, dtype=features.dtype)
        for t in range(length - 2):
            scores, hidden, _ = model.step(fed[row : row + 1, t], hidden, memory)
            fed[row, t + 1] = scores.argmax(1)
    return fed


def test_scheduled_sampling_at_1_feeds_the_models_own_words_and_at_0_is_teacher_forcing() -> None:
    model, features, tokens = model_and_batch()
    model.dropout = 0.5  # the words are chosen without it
    assert torch.equal(mix_in_own_words(model, features, tokens, probability=0.0), tokens)
    assert model.training
    found = mix_in_own_words(model, features, tokens, probability=1.0)
    model.eval()
    expected = own_words(model, features, tokens)
    assert not torch.equal(expected, tokens)
    assert torch.equal(found, expected)
    forced, none = (
        token_loss(model, features, tokens, precision="fp32", **options)
        for options in ({}, {"own_words": 0.0})
    )
    assert torch.equal(forced.objective, none.objective)


def test_the_loss_on_own_words_and_its_gradient_are_those_of_the_step_by_step_way() -> None:
    model, features, tokens = model_and_batch(torch.float64)
    found = token_loss(model, features, tokens, precision="fp32", own_words=1.0)
    hidden, expected = torch.zeros(4, 8, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    memory, words = model.encode(features), tokens[:, 0]
    for t in range(tokens.shape[1] - 1):
        scores, hidden, _ = model.step(words, hidden, memory)
        expected = expected + F.cross_entropy(scores, tokens[:, t + 1], ignore_index=0, reduction="sum")
        words = scores.argmax(1)
    torch.testing.assert_close(found.objective, expected.float())
    for parameter in model.parameters():
        gradients = [
            torch.autograd.grad(loss, parameter, retain_graph=True)[0] for loss in (found.objective, expected)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)  # log-softmax is float32


def test_coins_fall_as_often_as_asked_for() -> None:
    torch.manual_seed(1)
    model = Captioner(**SIZES)
    model.output.bias.data[9] = 50.0  # its own word is always 9
    tokens = pad([[2, *[5] * 40, 3]] * 50)
    fed = mix_in_own_words(model, torch.rand(50, 9, 10), tokens, probability=0.3)
    assert (fed == 9).float()[:, 1:-1].mean() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(fed[:, 0], tokens[:, 0]) and set(fed.unique().tolist()) == {2, 3, 5, 9}
