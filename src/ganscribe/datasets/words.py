"""Words of captions in any script, after the default word boundaries of Unicode (UAX 29)."""

from __future__ import annotations

import functools
import re
import unicodedata

# Scripts that put no blanks between words: each of their characters is a word. A run of Katakana is one, as in UAX 29.
_WITHOUT_BLANKS = (
    "CJK ",
    "IDEOGRAPHIC ",
    "HIRAGANA ",
    "THAI ",
    "LAO ",
    "KHMER ",
    "MYANMAR ",
    "TAI ",
    "NEW TAI ",
)
# What UAX 29 lets stand within a word: between letters, between digits (MidNum), between either (MidNumLet).
_WITHIN = (
    dict.fromkeys(":\u00b7\u0387\u055f\u05f4\u2027", "l")
    | dict.fromkeys(",;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044", "n")
    | dict.fromkeys("'.\u2018\u2024", "b")
)
_PLAIN = str.maketrans({"\u2019": "'", "\u00ad": None})
# L letter, N digit, K Katakana, C a character that is a word, M what belongs to the one before (marks, joiners).
_WORD = re.compile("(?:LM*(?:[lb]M*(?=L))?|NM*(?:[nb]M*(?=N))?)+|(?:KM*)+|CM*")


@functools.cache
def _kind(character: str) -> str:
    """The letter that stands for a character in `_WORD`; a blank for what no word has."""
    category = unicodedata.category(character)
    if category[0] == "M" or (category == "Cf" and character != "\u200b"):  # U+200B parts words
        return "M"
    if category[0] == "L" or category == "Nl":
        name = unicodedata.name(character, "")
        if name.startswith("KATAKANA"):
            return "K"
        return "C" if name.startswith(_WITHOUT_BLANKS) else "L"
    return "N" if category[0] == "N" else _WITHIN.get(character, " ")


def unicode_words(text: str) -> list[str]:
    """The words of a text, lower case, in Unicode's form NFKC; marks between words are left out.

    These are the segments with letters or digits of UAX 29's rules WB4 to WB13, with two differences: `_` parts words,
    as in the tutorial, and Hebrew's final geresh is left out. `’` becomes `'`, and soft hyphens go.
    """
    lower = unicodedata.normalize("NFKC", text).lower().translate(_PLAIN)
    text = unicodedata.normalize("NFKC", lower)
    return [text[slice(*match.span())] for match in _WORD.finditer("".join(map(_kind, text)))]
