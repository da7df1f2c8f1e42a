import itertools
import math

import pytest
import torch
from torch import Tensor

from ganscribe.captioning.decoding import Decoded, State, Step, beam, greedy, image_uniforms, sample

START, END, WORDS = 0, 1, 5


def tree(num_images: int, seed: int = 0, end_bias: float = 0.0) -> tuple[Step, State]:
    """One tiny language model per image, whose next word depends on all words so far.

    In the place of attention: (position, the word before).
    """
    generator = torch.Generator().manual_seed(seed)
    tables = torch.randn(num_images, 997, WORDS, generator=generator) * 1.5
    tables[..., START] = -torch.inf
    tables[..., END] += end_bias
    tables = tables.log_softmax(-1)

    def step(words: Tensor, state: State) -> tuple[Tensor, State]:
        history = (state["history"] * 7 + words + 3) % 997
        position = state["attention"][:, 0] + 1
        new_state = {
            "history": history,
            "attention": torch.stack([position, words], 1),
            "image": state["image"],
        }
        return tables[state["image"], history], new_state

    zeros = torch.zeros(num_images, dtype=torch.long)
    attention = torch.zeros(num_images, 2, dtype=torch.long)
    return step, {"history": zeros, "attention": attention, "image": torch.arange(num_images)}


def pick(state: State, image: int) -> State:
    return {name: tensor[image : image + 1] for name, tensor in state.items()}


def log_prob_of(step: Step, state: State, words: list[int]) -> float:
    total, last = 0.0, START
    for word in words:
        log_probs, state = step(torch.tensor([last]), state)
        total, last = total + float(log_probs[0, word]), word
    return total


def brute_force(step: Step, state: State, max_length: int, length_penalty: float) -> tuple[list[int], float]:
    """The best of every sequence that ends within `max_length` steps."""
    found = []
    for length in range(max_length):
        for words in itertools.product(range(2, WORDS), repeat=length):
            total = log_prob_of(step, state, [*words, END])
            found.append((total / (length + 1) ** length_penalty, list(words), total))
    _, words, total = max(found)
    return words, total


@pytest.mark.parametrize("length_penalty", [0.0, 0.7, 1.5])
def test_beam_as_wide_as_the_tree_finds_the_best_sequence(length_penalty: float) -> None:
    step, state = tree(4)
    options = {"start": START, "end": END, "max_length": 4}
    found = beam(step, state, batch_size=4, width=150, length_penalty=length_penalty, **options)
    for image, one in enumerate(found):
        words, total = brute_force(step, pick(state, image), 4, length_penalty)
        assert one.tokens == words and one.is_finished
        assert one.log_prob == pytest.approx(total, abs=1e-5)


def same(one: Decoded, other: Decoded) -> bool:
    return (
        one.tokens == other.tokens
        and torch.equal(one.attention, other.attention)
        and math.isclose(one.log_prob, other.log_prob)
        and one.is_finished == other.is_finished
    )


@pytest.mark.parametrize("length_penalty", [0.0, 2.0])
def test_beam_of_width_one_is_greedy(length_penalty: float) -> None:
    step, state = tree(20, seed=3)
    options = {"batch_size": 20, "start": START, "end": END, "max_length": 12}
    narrow = beam(step, state, width=1, length_penalty=length_penalty, **options)
    assert all(map(same, narrow, greedy(step, state, **options)))


def test_a_batch_is_decoded_as_its_images_one_by_one() -> None:
    step, state = tree(6, seed=5)
    options = {"start": START, "end": END, "max_length": 9}
    uniforms = image_uniforms(0, [30, 10, 20, 50, 40, 60], 9)
    batches = (
        greedy(step, state, batch_size=6, **options),
        beam(step, state, batch_size=6, width=3, **options),
        sample(step, state, uniforms=uniforms, **options),
    )
    for image in range(6):
        one = pick(state, image)
        alone = (
            greedy(step, one, batch_size=1, **options),
            beam(step, one, batch_size=1, width=3, **options),
            sample(step, one, uniforms=uniforms[image : image + 1], **options),
        )
        assert all(same(whole[image], single[0]) for whole, single in zip(batches, alone, strict=True))
    assert torch.equal(image_uniforms(0, [10], 9)[0], uniforms[1]) and len(uniforms.unique()) == 6 * 9


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_attention_and_log_prob_belong_to_the_words(method: str) -> None:
    step, state = tree(8, seed=7)
    options = {"start": START, "end": END, "max_length": 10}
    found = {
        "greedy": lambda: greedy(step, state, batch_size=8, **options),
        "beam": lambda: beam(step, state, batch_size=8, width=4, **options),
        "sample": lambda: sample(step, state, uniforms=image_uniforms(1, range(8), 10), **options),
    }[method]()
    for image, one in enumerate(found):
        before = [START, *one.tokens[:-1]][: len(one.tokens)]
        assert one.attention.tolist() == [[position + 1, word] for position, word in enumerate(before)]
        words = one.tokens + [END] * one.is_finished
        assert one.log_prob == pytest.approx(log_prob_of(step, pick(state, image), words), abs=1e-5)


def test_without_an_end_the_likeliest_open_sequence_is_returned() -> None:
    step, state = tree(3, end_bias=-torch.inf)
    options = {"batch_size": 3, "start": START, "end": END, "max_length": 5}
    for found in (greedy(step, state, **options), beam(step, state, width=4, **options)):
        assert all(len(one.tokens) == 5 and not one.is_finished for one in found)
        assert all(one.attention.shape == (5, 2) for one in found)
    wide = beam(step, state, width=3**5, **options)
    totals = [
        max(
            log_prob_of(step, pick(state, image), list(words))
            for words in itertools.product(range(2, WORDS), repeat=5)
        )
        for image in range(3)
    ]
    assert [one.log_prob for one in wide] == pytest.approx(totals, abs=1e-5)


def test_a_caption_may_be_empty() -> None:
    step, state = tree(2, end_bias=50.0)
    options = {"batch_size": 2, "start": START, "end": END, "max_length": 5}
    for found in (greedy(step, state, **options), beam(step, state, width=3, **options)):
        assert all(one.tokens == [] and one.is_finished and one.attention.shape == (0, 2) for one in found)


def test_sampling_follows_the_softmax_with_temperature_and_top_k() -> None:
    num = 20_000
    logits = torch.tensor([-torch.inf, -torch.inf, 0.0, 1.0, 2.0])

    def step(words: Tensor, state: State) -> tuple[Tensor, State]:
        return logits.log_softmax(0).expand(len(words), -1), state

    state = {"attention": torch.zeros(num, 1)}
    uniforms = torch.rand(num, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    options = {"start": START, "end": END, "max_length": 1, "uniforms": uniforms}
    for temperature, top_k, weights in (
        (1.0, 0, [1, math.e, math.e**2]),
        (2.0, 0, [1, math.e**0.5, math.e]),
        (0.5, 2, [0, math.e**2, math.e**4]),
    ):
        found = sample(step, state, temperature=temperature, top_k=top_k, **options)
        counts = torch.bincount(torch.tensor([one.tokens[0] for one in found]), minlength=WORDS)
        expected = torch.tensor([0, 0, *weights]) / sum(weights)
        torch.testing.assert_close(counts / num, expected.float(), atol=0.012, rtol=0)
        assert counts[:2].sum() == 0
    edges = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    state = {"attention": torch.zeros(2, 1)}
    found = sample(step, state, top_k=WORDS + 1, **(options | {"uniforms": edges}))
    assert [one.tokens for one in found] == [[2], [4]]
    logits = torch.tensor([-torch.inf, -torch.inf, 0.0, 0.0, 0.0])  # a third each, in float64
    edges = torch.tensor([[1 / 3 - 1e-9], [1 / 3 + 1e-9]], dtype=torch.float64)
    found = sample(step, state, **(options | {"uniforms": edges}))
    assert [one.tokens for one in found] == [[2], [3]]
    logits = torch.tensor([-torch.inf, -torch.inf, 0.0, 0.1, 0.2])
    assert logits.log_softmax(0).double().softmax(0).cumsum(0)[-1] < 1
    edges = torch.tensor([[1 - 2**-53], [0.0]], dtype=torch.float64)
    found = sample(step, state, **(options | {"uniforms": edges}))
    assert [one.tokens for one in found] == [[4], [2]]


@pytest.mark.parametrize(("width", "num_images"), [(2, 24), (4, 24), (6, 3), (40, 3), (2000, 3)])
def test_a_beam_of_any_width_wider_than_the_vocabulary_too(width: int, num_images: int) -> None:
    """The reference is a beam search written with lists, one image at a time."""
    step, state = tree(num_images, seed=9)
    options = {"start": START, "end": END, "max_length": 5}
    found = beam(step, state, batch_size=num_images, width=width, length_penalty=0.6, **options)
    for image, one in enumerate(found):
        places, opened, ended = width, [(0.0, [])], []
        for _ in range(5):
            longer = [
                (total + log_prob_of_next(step, pick(state, image), words, word), [*words, word])
                for total, words in opened
                for word in range(1, WORDS)
            ]
            best = sorted(longer, reverse=True)[:places]
            ended += [(total / len(words) ** 0.6, words[:-1]) for total, words in best if words[-1] == END]
            opened = [(total, words) for total, words in best if words[-1] != END]
            places = width - len(ended)
            if not opened:
                break
        if not ended:  # the likeliest open one
            ended = [(total / len(words) ** 0.6, words) for total, words in opened[:1]]
        assert one.tokens == max(ended)[1] and one.is_finished == (len(one.tokens) < 5)
        assert one.score(0.6) == pytest.approx(max(ended)[0], abs=1e-5)


def log_prob_of_next(step: Step, state: State, words: list[int], word: int) -> float:
    last = START
    for each in words:
        _, state = step(torch.tensor([last]), state)
        last = each
    return float(step(torch.tensor([last]), state)[0][0, word])


def test_a_tree_with_fewer_sequences_than_places() -> None:
    """The only possible caption is one word and the end."""

    def step(words: Tensor, state: State) -> tuple[Tensor, State]:
        log_probs = torch.full((len(words), 3), -torch.inf)
        log_probs[torch.arange(len(words)), torch.where(words == START, 2, END)] = 0.0
        return log_probs, state

    for max_length, tokens in ((4, [2]), (1, [2])):
        (one,) = beam(
            step,
            {"attention": torch.zeros(1, 1)},
            batch_size=1,
            start=0,
            end=1,
            max_length=max_length,
            width=7,
        )
        assert one.tokens == tokens and one.log_prob == 0.0 and one.is_finished == (max_length > 1)


def test_the_smallest_temperature_is_greedy() -> None:
    step, state = tree(30, seed=11)
    options = {"start": START, "end": END, "max_length": 9}
    cold = sample(step, state, uniforms=image_uniforms(0, range(30), 9), temperature=1e-6, **options)
    assert all(map(same, cold, greedy(step, state, batch_size=30, **options)))


def test_no_images_no_captions() -> None:
    step, state = tree(0)
    options = {"start": START, "end": END, "max_length": 3}
    assert greedy(step, state, batch_size=0, **options) == []
    assert beam(step, state, batch_size=0, width=2, **options) == []
    assert sample(step, state, uniforms=torch.empty(0, 3), **options) == []


def test_bad_options_are_named() -> None:
    step, state = tree(1)
    options = {"start": START, "end": END, "max_length": 3}
    with pytest.raises(ValueError, match="temperature 0"):
        sample(step, state, uniforms=torch.rand(1, 3), temperature=0, **options)
    for temperature in (-1.0, 1e-320, 9e-7, math.inf, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            sample(step, state, uniforms=torch.rand(1, 3), temperature=temperature, **options)
    with pytest.raises(ValueError, match="top_k -1"):
        sample(step, state, uniforms=torch.rand(1, 3), top_k=-1, **options)
    with pytest.raises(ValueError, match="max_length 0"):
        greedy(step, state, batch_size=1, start=START, end=END, max_length=0)
    with pytest.raises(ValueError, match="max_length 0"):
        beam(step, state, batch_size=1, start=START, end=END, max_length=0, width=1)
    with pytest.raises(ValueError, match="width 0"):
        beam(step, state, batch_size=1, width=0, **options)
