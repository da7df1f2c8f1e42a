from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from captioners import CPU, LENGTHS, features_of, model_and_batch, tiny_features
from ganscribe.captioning.dataset import CaptionSet, pad
from ganscribe.captioning.loss import (
    _SummedCrossEntropy,
    doubly_stochastic_penalty,
    mean_loss,
    staged,
    token_loss,
)
from ganscribe.captioning.scheduled import mix_in_own_words


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_summed_cross_entropy_is_torchs(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(300, 70, generator=generator) * 4).to(dtype).requires_grad_()
    words = torch.randint(0, 70, (300,), generator=generator)
    expected = F.cross_entropy(scores.float(), words, reduction="sum")
    found, plain = _SummedCrossEntropy.apply(scores, words)
    assert torch.equal(found, plain) and not plain.requires_grad
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(loss / 7, scores)[0] for loss in (found, expected)]
    assert gradients[0].dtype == dtype
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_label_smoothing_is_torchs(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = (torch.randn(300, 70, generator=generator) * 4).to(dtype).requires_grad_()
    words = torch.randint(0, 70, (300,), generator=generator)
    expected = F.cross_entropy(scores.float(), words, reduction="sum", label_smoothing=0.2)
    found, plain = _SummedCrossEntropy.apply(scores, words, 0.2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(plain, F.cross_entropy(scores.float(), words, reduction="sum"))
    # Not divided, so that a share of smoothing / 69 for each word is more than what counts as equal.
    torch.testing.assert_close(*(torch.autograd.grad(loss * 7, scores)[0] for loss in (found, expected)))


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


def test_staged_features_are_the_features() -> None:
    wide = staged(tiny_features, precision="fp32", device=CPU)
    narrow = staged(tiny_features, precision="bf16", device=CPU)
    for image_ids in ([100, 101, 102], [103], [104, 100, 101, 102]):
        assert torch.equal(wide(image_ids), tiny_features(image_ids).float())
        assert torch.equal(narrow(image_ids), tiny_features(image_ids).bfloat16())


@pytest.mark.parametrize(("doubly_stochastic", "own_words"), [(0.0, None), (0.7, None), (0.0, 1.0)])
def test_the_padded_form_gives_what_the_trimmed_one_gives(
    doubly_stochastic: float, own_words: float | None
) -> None:
    """Sums and gradients agree to 1e-12 in float64, in any order of the captions and with additional padding."""
    model, features, tokens = model_and_batch(torch.float64)
    options = {
        "precision": "fp32",
        "label_smoothing": 0.1,
        "doubly_stochastic": doubly_stochastic,
        "own_words": own_words,
    }
    weights = list(model.parameters())
    trimmed = token_loss(model, features, tokens, **options)
    order = torch.tensor([2, 0, 3, 1])
    padded = token_loss(model, features[order], F.pad(tokens[order], (0, 5)), is_padded=True, **options)
    assert int(padded.words) == trimmed.words == sum(LENGTHS) - len(LENGTHS)
    torch.testing.assert_close(padded.objective, trimmed.objective, rtol=1e-12, atol=0)
    torch.testing.assert_close(padded.cross_entropy, trimmed.cross_entropy, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss.objective, weights) for loss in (trimmed, padded)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_words_that_are_fed_in_the_padded_form_are_the_model_s_or_the_caption_s() -> None:
    """With the probability 1 each word but the first is the model's, as in the trimmed form; with 0 none is."""
    model, features, tokens = model_and_batch(torch.float64)
    own = mix_in_own_words(model, features, tokens, probability=1.0)
    padded = mix_in_own_words(model, features, tokens, probability=torch.tensor(1.0), is_padded=True)
    is_fed = torch.arange(tokens.shape[1]) < (tokens != 0).sum(1, keepdim=True) - 1
    assert torch.equal(own[is_fed], padded[is_fed]) and not torch.equal(own, tokens)
    none = mix_in_own_words(model, features, tokens, probability=torch.tensor(0.0), is_padded=True)
    assert torch.equal(none, tokens)


def test_the_loss_on_a_split_is_that_of_the_model_without_dropout() -> None:
    model, _, _ = model_and_batch()
    captions = CaptionSet([100, 101, 102, 103], pad([[2, 5, 3], [2, 4, 4, 4, 3], [2, 6, 3], [2, 5, 7, 3]]))
    image_ids, tokens = captions.batch(torch.arange(4))
    expected = token_loss(model, features_of(image_ids), tokens, precision="fp32")
    narrow = token_loss(model, features_of(image_ids).bfloat16(), tokens, precision="bf16")
    model.dropout = 0.5

    def read(image_ids: Sequence[int]) -> Tensor:
        assert not torch.is_grad_enabled()
        return features_of(image_ids)

    found, rounded = (
        mean_loss(model, captions, read, batch_size=batch_size, precision=precision, device=CPU)
        for precision, batch_size in (("fp32", 3), ("bf16", 4))
    )
    assert found == pytest.approx(float(expected.cross_entropy) / expected.words, rel=1e-5)
    assert rounded == pytest.approx(float(narrow.cross_entropy) / narrow.words, rel=1e-5) != found
    with pytest.raises(ValueError, match="no captions to compute a loss of"):
        mean_loss(model, CaptionSet([], pad([])), read, batch_size=3, precision="fp32", device=CPU)
    with pytest.raises(ZeroDivisionError):
        mean_loss(model, captions, lambda _: Tensor([1 // 0]), batch_size=3, precision="fp32", device=CPU)
    assert model.training
