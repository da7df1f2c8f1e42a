"""Words of captions in any script, after the default word boundaries of Unicode (UAX 29)."""

from __future__ import annotations

import unicodedata

import regex

_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)
_PLAIN = str.maketrans({"\u2019": "'", "\u00ad": None, "_": " "})


def unicode_words(text: str) -> list[str]:
    """The words of a text, lower case, in Unicode's form NFKC; marks between words are left out.

    These are the segments of UAX 29 that have a letter or a digit: of scripts that put no blanks between words
    (Chinese, Thai, ...) each character is one. `_` parts words, as in the tutorial; `’` becomes `'`, and soft
    hyphens go.
    """
    lower = unicodedata.normalize("NFKC", text).lower().translate(_PLAIN)
    parts = _BOUNDARY.split(unicodedata.normalize("NFKC", lower))
    return [part for part in parts if any(map(str.isalnum, part))]
