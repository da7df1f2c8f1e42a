"""The tokenizer against regular expressions and a Counter."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from ganscribe.datasets.tokens import (
    END,
    PAD,
    START,
    UNK,
    Vocabulary,
    build_vocabulary,
    caption_doubts,
    read_vocabulary,
    split_words,
    write_tokens,
    write_vocabulary,
)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A man in a T-shirt.", ["a", "man", "in", "a", "t", "shirt"]),
        ("The dog's  ball, isn't it?", ["the", "dog's", "ball", "isn't", "it"]),
        ("2 dogs & 13.5 cats", ["2", "dogs", "13", "5", "cats"]),
        ("tab\there\rreturn\u2028line\u00a0hard\x85nel", ["tab", "here", "return", "line", "hard", "nel"]),
        ("Café ÉCLAIR 犬 🐕!", ["café", "éclair", "犬", "🐕"]),
        ("a <b> c", ["a", "<b>", "c"]),
        ("stop <end> now <PAD>", ["stop", UNK, "now", UNK]),
        ("...", []),
    ],
)
def test_split_words_on_awkward_text(caption: str, words: list[str]) -> None:
    assert split_words(caption) == words


def test_every_blank_of_the_recipe_splits_and_nothing_else_does() -> None:
    blanks = r"""!"#$%&()*+.,-/:;=?@[\]^_`{|}~"""
    for code in range(33, 127):
        expected = ["x", "y"] if chr(code) in blanks else [f"x{chr(code).lower()}y"]
        assert split_words(f"x{chr(code)}y") == expected


def random_captions() -> list[str]:
    rng = random.Random(0)
    words = [f"w{index}" for index in range(40)] + ["it's", "é", "10"]
    weights = [1 / (1 + index // 4) for index in range(len(words))]  # with ties
    return [" ".join(rng.choices(words, weights, k=rng.randint(1, 9))) + "." for _ in range(200)]


def test_vocabulary_order_by_brute_force() -> None:
    captions = random_captions()
    counts = Counter()
    for caption in captions:
        counts.update(["<start>", *re.sub(r"\.", " ", caption).split(), "<end>"])
    ranked = [word for count in sorted(set(counts.values()), reverse=True)
              for word in sorted(word for word in counts if counts[word] == count)]  # fmt: skip
    for size in (10, 30, len(counts)):
        vocabulary = build_vocabulary(captions, size=size)
        assert list(vocabulary.words) == [PAD, UNK, *ranked[:size]]


def test_identical_captions_count_each_time() -> None:
    vocabulary = build_vocabulary(["b b", "b b", "a a a"], size=4)
    assert vocabulary.words == (PAD, UNK, "b", END, START, "a")


def test_encode_and_decode() -> None:
    vocabulary = Vocabulary((PAD, UNK, START, END, "a", "dog's"))
    tokens = vocabulary.encode("A dog's cat!")
    assert tokens == [2, 4, 5, 1, 3]
    assert vocabulary.decode([*tokens, 0, 0]) == "a dog's <unk>"
    assert vocabulary.encode("...") == [2, 3]


def test_a_spelled_out_marker_is_not_counted() -> None:
    assert UNK not in build_vocabulary(["a <unk> <start> b"], size=4).words[2:]


@pytest.mark.parametrize(
    ("captions", "size", "message"),
    [
        (["a dog"], 5000, r"vocabulary_size is 5,000, but the training captions have 4 different"),
        ([], 10, "no words"),
        (["...", "?"], 3, "no words"),
        (["a b c"], 2, "no room"),
        (["b b b c c c d d d"] * 3, 3, "no room"),
    ],
)
def test_bad_sizes_are_named(captions: list[str], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_vocabulary(captions, size=size)


def test_files(tmp_path: Path) -> None:
    vocabulary = build_vocabulary(["a \u00e9 dog"], size=5)
    write_vocabulary(tmp_path / "vocabulary.json", vocabulary)
    assert json.loads((tmp_path / "vocabulary.json").read_text())[0] == PAD
    assert read_vocabulary(tmp_path / "vocabulary.json") == vocabulary
    write_tokens(
        tmp_path / "tokens.parquet",
        image_ids=[5, 5],
        caption_ids=[1, 2],
        splits=["train", "val"],
        kept=[True, False],
        tokens=[[2, 3], [2, 4, 3]],
    )
    table = pd.read_parquet(tmp_path / "tokens.parquet")
    assert [list(row) for row in table["tokens"]] == [[2, 3], [2, 4, 3]]
    assert list(table["kept"]) == [True, False]


@pytest.mark.parametrize("words", [["a"], [PAD, UNK, START], [PAD, UNK, START, END, "a", "a"], {"a": 1}])
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, words: object) -> None:
    (tmp_path / "vocabulary.json").write_text(json.dumps(words))
    with pytest.raises(ValueError):
        read_vocabulary(tmp_path / "vocabulary.json")


CHINESE = ["一只猫坐在桌子上。", "一只狗在草地上", "猫和狗在草地上"]
GERMAN = ["„ein Hund“ läuft …", "Ein Hund – er läuft", "ein hund, ein Ball"]


def test_the_unicode_tokeniser(tmp_path: Path) -> None:
    vocabulary = build_vocabulary(CHINESE, size=10, tokeniser="unicode")
    assert set(vocabulary.words[2:]) == {START, END, *"上在一只草地猫狗"}
    assert vocabulary.decode(vocabulary.encode("草地上。在一只")) == "草 地 上 在 一 只"
    german = build_vocabulary(GERMAN, size=7, tokeniser="unicode")
    assert german.words == (PAD, UNK, "ein", END, START, "hund", "läuft", "ball", "er")
    write_vocabulary(tmp_path / "vocabulary.json", vocabulary)
    assert read_vocabulary(tmp_path / "vocabulary.json") == vocabulary
    with pytest.raises(ValueError, match="tokeniser 'words' is unknown: use tutorial or unicode"):
        Vocabulary(vocabulary.words, "words")


def test_it_is_said_where_captions_were_split_wrongly() -> None:
    def doubts(captions: list[str], size: int, tokeniser: str = "tutorial") -> list[str]:
        return caption_doubts(captions, build_vocabulary(captions, size=size, tokeniser=tokeniser))

    once, blank = doubts(CHINESE, 5)
    assert once.startswith("most words of the vocabulary (3 of 3) are seen once")
    assert blank.startswith("3 captions have no blank and are one word, such as '一只猫坐在桌子上。'")
    assert "captions.tokeniser: unicode" in blank
    assert doubts(CHINESE, 10, "unicode") == []
    (marks,) = doubts(GERMAN * 2, 11)
    assert re.match(r"4 words keep marks, such as '(…|„ein|hund“|–)': captions.tokeniser: unicode", marks)
    assert doubts(GERMAN * 2, 7, "unicode") == []
    assert doubts(["a dog's ball, isn't it?", "the dogs' <b> ball (2) isn't a dog's"] * 2, 8) == []
