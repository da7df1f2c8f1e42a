"""Each option of the captioner's training against something independent of it."""

import copy
from collections.abc import Iterator, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganscribe.captioning.dataset import CaptionSet, pad
from ganscribe.captioning.loss import _SummedCrossEntropy, doubly_stochastic_penalty, token_loss
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.scheduled import mix_in_own_words
from ganscribe.captioning.training import batches, train_captioner
from ganscribe.captioning.validation import greedy_cider
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary
from ganscribe.metrics.captions import score_captions
from ganscribe.training.schedules import SCHEDULES

CPU = torch.device("cpu")
SIZES = {"vocabulary_size": 11, "embedding_dim": 6, "units": 8, "feature_dim": 10, "encoder_dim": 7}
LENGTHS = [7, 6, 4, 2]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_and_batch(dtype: torch.dtype = torch.float32) -> tuple[Captioner, Tensor, Tensor]:
    """A captioner with opinions, features (4, 9, 10), captions of `LENGTHS` tokens."""
    torch.manual_seed(0)
    model = Captioner(**SIZES, gate=True).to(dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    tokens = pad([[2, *torch.randint(4, 11, (length - 2,)).tolist(), 3] for length in LENGTHS])
    return model, torch.rand(4, 9, 10, dtype=dtype), tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_label_smoothing_is_torchs(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(300, 70, generator=generator) * 4).to(dtype).requires_grad_()
    words = torch.randint(0, 70, (300,), generator=generator)
    expected = F.cross_entropy(scores.float(), words, reduction="sum", label_smoothing=0.2)
    found, plain = _SummedCrossEntropy.apply(scores, words, 0.2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, F.cross_entropy(scores.float(), words, reduction="sum"))
    torch.testing.assert_close(*(torch.autograd.grad(loss / 7, scores)[0] for loss in (found, expected)))


def test_the_doubly_stochastic_term_is_the_formulas_on_real_tokens_alone() -> None:
    model, features, tokens = model_and_batch(torch.float64)
    expected = torch.zeros((), dtype=torch.float64)
    memory = model.encode(features)
    for row, length in enumerate(LENGTHS):  # lambda * sum_i (1 - sum_t alpha_ti)^2, caption by caption
        hidden, seen = torch.zeros(4, 8, dtype=torch.float64), torch.zeros(9, dtype=torch.float64)
        for t in range(length - 1):
            _, hidden, attention = model.step(tokens[:, t], hidden, memory)
            seen = seen + attention[row]
        expected = expected + ((1 - seen) ** 2).sum()
    plain = token_loss(model, features, tokens, precision="fp32")
    found = token_loss(model, features, F.pad(tokens, (0, 3)), precision="fp32", doubly_stochastic=0.7)
    torch.testing.assert_close(found.objective - plain.objective, 0.7 * expected, rtol=1e-5, atol=0)
    assert torch.equal(found.cross_entropy, plain.cross_entropy) and found.words == sum(LENGTHS) - 4
    gradients = [
        torch.autograd.grad(loss, model.attention_key.weight)[0]
        for loss in (found.objective - plain.objective, 0.7 * expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)
    # Even attention over P positions: P (1 - T / P)^2 a caption of T steps.
    even = torch.full((sum(LENGTHS) - 4, 9), 1 / 9)
    by_hand = sum(9 * (1 - (length - 1) / 9) ** 2 for length in LENGTHS)
    assert float(doubly_stochastic_penalty(even, tokens)) == pytest.approx(by_hand)


def own_words(model: Captioner, features: Tensor, tokens: Tensor) -> Tensor:
    """Each caption alone: its first word, then the likeliest by the model, as many as it has."""
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
    model.eval()
    expected = own_words(model, features, tokens)
    assert not torch.equal(expected, tokens)
    assert torch.equal(mix_in_own_words(model, features, tokens, probability=1.0), expected)
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


def captions(count: int = 13) -> CaptionSet:
    rows = [[2, *[4 + image % 5] * (1 + image % 4), 3] for image in range(count)]
    return CaptionSet(list(range(count)), pad(rows))


def features_of(image_ids: Sequence[int]) -> Tensor:
    """(B, 9, 10) float16, different at every position."""
    return torch.stack(
        [torch.rand(9, 10, generator=torch.Generator().manual_seed(image)).half() for image in image_ids]
    )


def test_schedule_clipping_and_smoothing_are_those_of_a_plain_loop() -> None:
    """torch's own parts in a loop of eight lines, on batches in the order of the training."""
    trained = train_captioner(
        captions(), CaptionSet([], pad([])), features_of, **SIZES, longest=6, optimiser="adam",
        learning_rate=0.02, batch_size=5, epochs=2, log_every=50, seed=3, precision="fp32", device=CPU,
        schedule="cosine", clip_norm=0.1, label_smoothing=0.2,
    )  # fmt: skip
    start = train_captioner(
        captions(), CaptionSet([], pad([])), features_of, **SIZES, longest=6, optimiser="adam",
        learning_rate=1e-30, batch_size=5, epochs=1, log_every=50, seed=3, precision="fp32", device=CPU,
    )  # fmt: skip
    model, untrained = start.model, copy.deepcopy(start.model)
    stream = batches(captions(), batch_size=5, seed=3, first=0)
    optimiser = torch.optim.Adam(model.parameters())
    norms = []
    for step in range(6):
        image_ids, tokens = next(stream)
        scores, words, _ = model(features_of(image_ids), tokens)
        optimiser.zero_grad()
        F.cross_entropy(scores, words, label_smoothing=0.2).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)))
        optimiser.param_groups[0]["lr"] = 0.02 * SCHEDULES["cosine"](step / 6)
        optimiser.step()
    assert min(norms) > 0.1
    # Not the weights: Adam makes whole steps of gradients that are nothing but rounding.
    image_ids, tokens = captions().batch(torch.arange(13))
    before, found, expected = (
        one(features_of(image_ids), tokens)[0] for one in (untrained, trained.model, model)
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert (before - expected).abs().mean() > 0.1


def test_validation_goes_by_the_cider_of_the_evaluation() -> None:
    words = ("a", "red", "dog", "runs", "it's", "ball", "two")
    vocabulary = Vocabulary((PAD, UNK, START, END, *words))
    torch.manual_seed(0)
    model = Captioner(**SIZES)
    model.output.bias.data[4:] = torch.linspace(2, 1, 7)
    references = {image: ["A red dog runs.", f"It's a {words[image]} - ball!"] for image in range(4)}
    score = greedy_cider(references, features_of, vocabulary=vocabulary, max_length=5, batch_size=3)
    found: dict[int, str] = {}
    for image in range(4):  # greedily, an image at a time
        memory, hidden, said = model.encode(features_of([image])), torch.zeros(1, 8), [2]
        while len(said) < 6 and said[-1] != 3:
            scores, hidden, _ = model.step(torch.tensor(said[-1:]), hidden, memory)
            said.append(int(scores[0, 3:].argmax()) + 3)
        found[image] = vocabulary.decode(said[1:])
    model.dropout = 0.5
    assert any(found.values())
    with pytest.raises(ValueError, match="0 on a single image"):
        greedy_cider({0: ["a dog"]}, features_of, vocabulary=vocabulary, max_length=5, batch_size=3)
    assert score(model, "fp32") == pytest.approx(score_captions(references, found)["CIDEr"])
    assert model.training
