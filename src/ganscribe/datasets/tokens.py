"""Caption text to word ids and back: as TensorFlow's tutorial "Image captioning with attention" has it, or Unicode."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ganscribe.core.files import write_json, write_parquet
from ganscribe.datasets.words import unicode_words

PAD, UNK, START, END = "<pad>", "<unk>", "<start>", "<end>"
RESERVED = frozenset((PAD, UNK, START, END))

# Each becomes a blank, so that `t-shirt` is two words; apostrophes, `<` and `>` stay.
_BLANKS = str.maketrans(dict.fromkeys('!"#$%&()*+.,-/:;=?@[\\]^_`{|}~', " "))


TUTORIAL = "tutorial"
TOKENISERS: dict[str, Callable[[str], list[str]]] = {
    TUTORIAL: lambda caption: caption.lower().translate(_BLANKS).split(),
    "unicode": unicode_words,
}


def split_words(caption: str, tokeniser: str = TUTORIAL) -> list[str]:
    """The words of a caption, lower case, without the markers; `tokeniser` is one of `TOKENISERS`.

    A marker that a caption spells out (`<end>`) becomes `<unk>`: text must not end or pad a sentence.
    """
    return [UNK if word in RESERVED else word for word in TOKENISERS[tokeniser](caption)]


@dataclass(frozen=True)
class Vocabulary:
    """Words by id: `<pad>` 0, `<unk>` 1, then by falling frequency in the training captions.

    `tokeniser`, one of `TOKENISERS`, is how captions are split into them.
    """

    words: tuple[str, ...]
    tokeniser: str = TUTORIAL

    def __post_init__(self) -> None:
        if self.tokeniser not in TOKENISERS:
            raise ValueError(f"tokeniser {self.tokeniser!r} is unknown: use {' or '.join(TOKENISERS)}")
        if self.words[:2] != (PAD, UNK) or not {START, END} <= set(self.words):
            raise ValueError(f"a vocabulary begins with {PAD}, {UNK} and has {START} and {END}")
        if len(set(self.words)) != len(self.words):
            twice = [word for word, count in Counter(self.words).items() if count > 1]
            raise ValueError(f"the vocabulary has a word twice: {twice[:5]}")

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id by word."""
        return {word: index for index, word in enumerate(self.words)}

    @property
    def scoring_split(self) -> Callable[[str], list[str]] | None:
        """How captions are split in scoring: None is the COCO evaluation's own way, which the tutorial's go by."""
        return None if self.tokeniser == TUTORIAL else TOKENISERS[self.tokeniser]

    def encode(self, caption: str) -> list[int]:
        """Ids of a caption with `<start>` and `<end>` around it; unknown words are `<unk>`."""
        unknown = self.ids[UNK]
        words = (self.ids.get(word, unknown) for word in split_words(caption, self.tokeniser))
        return [self.ids[START], *words, self.ids[END]]

    def decode(self, tokens: Iterable[int]) -> str:
        """The words of `tokens` up to the first `<end>`, joined by blanks, without `<start>` and `<pad>`."""
        words = []
        for token in tokens:
            word = self.words[token]
            if word == END:
                break
            if word not in (START, PAD):
                words.append(word)
        return " ".join(words)


def build_vocabulary(captions: Iterable[str], *, size: int, tokeniser: str = TUTORIAL) -> Vocabulary:
    """The `size` most frequent words of `captions`, ties in alphabetical order.

    `<start>` and `<end>` are counted like words, once a caption; `<pad>` and `<unk>` come on top, so that
    the vocabulary has `size` + 2 entries. Raises ValueError where the captions have fewer words than that,
    or `size` has no room for both markers and a word.
    """
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(split_words(caption, tokeniser))
        counts.update((START, END))
    del counts[UNK]
    if len(counts) <= 2:
        raise ValueError("the training captions hold no words: is the training split empty?")
    if size > len(counts):
        raise ValueError(
            f"the vocabulary is larger than the text: vocabulary_size is {size:,}, but the training captions"
            f" have {len(counts):,} different words ({START} and {END} included). Lower"
            " captions.vocabulary_size in params.yaml or amounts.vocabulary in the scale's file to that"
        )
    kept = sorted(counts, key=lambda word: (-counts[word], word))[:size]
    if size < 3 or not {START, END} <= set(kept):
        raise ValueError(f"vocabulary_size {size} has no room for {START}, {END} and the words: raise it")
    return Vocabulary((PAD, UNK, *kept), tokeniser)


def caption_doubts(captions: Sequence[str], vocabulary: Vocabulary) -> list[str]:
    """Say what makes it likely that the training `captions` were split wrongly: nothing in the usual case."""
    counts = Counter(word for caption in captions for word in split_words(caption, vocabulary.tokeniser))
    words = [word for word in vocabulary.words if word not in RESERVED]
    once = [word for word in words if counts[word] == 1]
    doubts = []
    if 2 * len(once) > len(words):
        doubts.append(
            f"most words of the vocabulary ({len(once):,} of {len(words):,}) are seen once in the training captions,"
            f" such as {once[0]!r}: a captioner cannot learn them. Give it more captions, or lower"
            " captions.vocabulary_size, unless they are no words at all"
        )
    if vocabulary.tokeniser != TUTORIAL:
        return doubts
    single = [caption for caption in captions if len(caption.split()) < 2]
    marked = [word for word in words if _is_marked(word)]
    if found := single or marked:
        what = "captions have no blank and are one word" if single else "words keep marks"
        doubts.append(
            f"{len(found):,} {what}, such as {found[0][:60]!r}: captions.tokeniser: unicode splits scripts without"
            " blanks and leaves typographic marks out"
        )
    return doubts


def _is_marked(word: str) -> bool:
    """Whether a word begins or ends with punctuation that the tutorial's rule does not know."""
    return any(unicodedata.category(end)[0] == "P" and end != "'" for end in (word[0], word[-1]))


def write_vocabulary(path: str | Path, vocabulary: Vocabulary) -> None:
    """Write the words as a JSON list, in which a word's position is its id; with another tokeniser, as its `words`."""
    words = list(vocabulary.words)
    is_plain = vocabulary.tokeniser == TUTORIAL
    write_json(path, words if is_plain else {"tokeniser": vocabulary.tokeniser, "words": words})


def read_vocabulary(path: str | Path) -> Vocabulary:
    """Read what `write_vocabulary` wrote. Raises ValueError for any other content."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    is_plain = not isinstance(found, dict) or set(found) != {"tokeniser", "words"}
    words, tokeniser = (found, TUTORIAL) if is_plain else (found["words"], found["tokeniser"])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"{path} is not a list of words: run `dvc repro tokenize_captions`")
    return Vocabulary(tuple(words), tokeniser)


def write_tokens(
    path: str | Path,
    *,
    image_ids: Sequence[int],
    caption_ids: Sequence[int],
    splits: Sequence[str],
    kept: Sequence[bool],
    tokens: Sequence[Sequence[int]],
) -> None:
    """Write one row per caption: image_id, caption_id, split, kept, tokens (list of int32)."""
    import pyarrow as pa

    columns = {
        "image_id": pa.array(image_ids, pa.int64()),
        "caption_id": pa.array(caption_ids, pa.int64()),
        "split": pa.array(splits, pa.string()),
        "kept": pa.array(kept, pa.bool_()),
        "tokens": pa.array(tokens, pa.list_(pa.int32())),
    }
    write_parquet(path, pa.table(columns))
