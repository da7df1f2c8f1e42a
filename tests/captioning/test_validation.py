from typing import Any

import pytest
import torch
from pycocoevalcap.cider.cider import Cider

from captioners import SIZES, features_of
from ganscribe.captioning.decoding import Decoded
from ganscribe.captioning.inference import decode
from ganscribe.captioning.model import Captioner
from ganscribe.captioning.validation import greedy_cider
from ganscribe.datasets.tokens import END, PAD, START, UNK, Vocabulary
from ganscribe.metrics import captions


def test_validation_goes_by_the_cider_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
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
    # METEOR, which is not asked for here, takes seconds to start.
    monkeypatch.setattr(captions, "_meteor", lambda references, sets, seconds: dict.fromkeys(sets, [0.5] * 5))
    assert score(model, "fp32") == pytest.approx(captions.score_captions(references, found)["CIDEr"])
    assert model.training


def test_validation_splits_as_the_vocabulary_does(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = Vocabulary((PAD, UNK, START, END, *"一只猫坐在桌子"), "unicode")
    torch.manual_seed(0)
    model = Captioner(**(SIZES | {"vocabulary_size": len(vocabulary)}))
    model.output.bias.data[3] = -50
    model.output.bias.data[4:] = torch.linspace(2, 1, 7)
    found = decode(
        model, features_of([0, 1]), vocabulary=vocabulary, image_ids=[0, 1], method="greedy", max_length=5
    )
    said = [[vocabulary.words[token] for token in one.tokens] for one in found]
    references = {0: ["".join(said[0]) + "。"], 1: ["上"]}
    score = greedy_cider(references, features_of, vocabulary=vocabulary, max_length=5, batch_size=4)
    expected = Cider().compute_score(
        {0: [" ".join(said[0])], 1: ["上"]}, {image: [" ".join(words)] for image, words in enumerate(said)}
    )
    asked: list[str] = []

    def note(*arguments: Any, precision: str, **options: Any) -> list[Decoded]:
        asked.append(precision)
        return decode(*arguments, precision=precision, **options)

    monkeypatch.setattr("ganscribe.captioning.validation.decode", note)
    monkeypatch.setattr(captions, "_java", lambda: pytest.fail("the PTB tokenizer is asked"))
    assert score(model, "bf16") == pytest.approx(expected[0]) and expected[0] > 1
    assert asked == ["bf16"]
