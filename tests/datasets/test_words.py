"""Unicode's word boundaries: the standard's own examples, sentences in many scripts, and Perl's opinion."""

from __future__ import annotations

import random
import shutil
import subprocess
import unicodedata

import pytest

from ganscribe.datasets.words import unicode_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # UAX 29, figure 1, and lines of its WordBreakTest.txt.
        ("The quick (\u201cbrown\u201d) fox can\u2019t jump", "the quick brown fox can't jump"),
        ("32.3 feet, right?", "32.3 feet right"),
        ("can't", "can't"),
        ("a$-34,567.14%b", "a 34,567.14 b"),
        ("3a", "3a"),
        ("a1a,1a.1", "a1a 1a 1"),
        ("a:a a:1 1:1 1.a a.1", "a:a a 1 1 1 1 a a 1"),
        # Typographic marks, and none where there are none.
        ("\u201eein\u201c Hund\u201c er\u2026 \u2013 \u00abja\u00bb \u203anein\u2039", "ein hund er ja nein"),
        ("gro\u00ad\u00dfe", "große"),
        ("L\u2019homme d'\u00c9tat \u2018so\u2019", "l'homme d'\u00e9tat so"),
        ("caf\u00e9 cafe\u0301 \ufb01ne \uff21\uff22", "café café fine ab"),
        ("\u2121 cafe\u00ad\u0301", "tel café"),  # a sign for TEL; a soft hyphen between a letter and its accent
        # Scripts without blanks: a character is a word, with its marks; Katakana is a word as a whole.
        ("一只猫坐在桌子上。", "一 只 猫 坐 在 桌 子 上"),
        ("猫がテーブルの上にいる、ｶﾒﾗ", "猫 が テーブル の 上 に い る カメラ"),
        ("แมวนั่ง", "แ ม ว นั่ ง"),
        ("2只dogs和3.5米", "2 只 dogs 和 3.5 米"),
        # Scripts with blanks whose vowels are marks, or which are joined.
        ("एक कुत्ता और हिन्दी", "एक कुत्ता और हिन्दी"),
        ("שָׁ״ל नी’न,", "שָׁ״ל नी'न"),
        ("한국어 문장입니다.", "한국어 문장입니다"),
        ("ЁЛКА, ΣΊΣΥΦΟΣ! שלום, كلبٌ؟", "ёлка σίσυφος שלום كلبٌ"),
        ("... _ \u2014 \U0001f415", ""),
    ],
)  # fmt: skip
def test_words(text: str, words: str) -> None:
    assert unicode_words(text) == [unicodedata.normalize("NFKC", word) for word in words.split()]


def texts(count: int) -> list[str]:
    """Return random strings of characters that the rules treat differently."""
    rng = random.Random(0)
    pool = "abßéλЖनक한Σ019٣一猫のカーッแมะ" + "\u0301\u094d\u0e34\ufe0f" + "'’.,:;·-–„“…!?  \u2014«»()/#"
    return ["".join(rng.choices(pool, k=rng.randint(1, 14))) for _ in range(count)]


def test_words_are_split_again_as_they_are() -> None:
    """A captioner's caption is its words joined by spaces, and scoring must split it into the same words."""
    for text in texts(2000):
        words = unicode_words(text)
        assert unicode_words(" ".join(words)) == words


@pytest.mark.skipif(shutil.which("perl") is None, reason="there is no Perl")
def test_perl_parts_words_at_the_same_places() -> None:
    r"""Perl has UAX 29's boundaries as `\b{wb}`."""
    plain = [unicodedata.normalize("NFKC", text).lower().replace("’", "'") for text in texts(2000)]
    program = r'while (<STDIN>) { chomp; print join("\x{1f}", split(/\b{wb}/, $_)), "\n" }'
    done = subprocess.run(
        ["perl", "-CSD", "-e", program],
        input="\n".join(plain),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    found = [line.split("\x1f") for line in done.stdout.splitlines()]
    segments = [[part for part in line if any(map(str.isalnum, part))] for line in found]
    assert segments == [unicode_words(text) for text in plain]
