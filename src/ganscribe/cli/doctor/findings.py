"""What the doctor says about one thing."""

from __future__ import annotations

from dataclasses import dataclass

INSTALL = "pip install --require-hashes -r requirements.lock"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line: whether it is well, what was checked (`topic`), what was found (`text`), and what to do (`remedy`)."""

    is_ok: bool
    topic: str
    text: str
    remedy: str = ""


def ok(topic: str, text: str, remedy: str = "") -> Finding:
    """Return a finding that all is well, with a hint where one helps."""
    return Finding(is_ok=True, topic=topic, text=text, remedy=remedy)


def fault(topic: str, text: str, remedy: str) -> Finding:
    """Return a finding of a fault, and what to do about it."""
    return Finding(is_ok=False, topic=topic, text=text, remedy=remedy)
