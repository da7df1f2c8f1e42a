"""What the doctor says of one thing."""

from __future__ import annotations

from dataclasses import dataclass

INSTALL = "pip install --require-hashes -r requirements.lock"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: `is_ok`, what was looked at, what was found, and what to do (`remedy`) where that helps."""

    is_ok: bool
    topic: str
    text: str
    remedy: str = ""


def ok(topic: str, text: str, remedy: str = "") -> Finding:
    """What is well, with a hint where one helps."""
    return Finding(is_ok=True, topic=topic, text=text, remedy=remedy)


def fault(topic: str, text: str, remedy: str) -> Finding:
    """What is not well, and what to do about it."""
    return Finding(is_ok=False, topic=topic, text=text, remedy=remedy)
