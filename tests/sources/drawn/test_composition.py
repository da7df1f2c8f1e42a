"""What is on a drawn picture can be told from its ground."""

from __future__ import annotations

from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, colours_on, contrast


def test_colours_stand_out() -> None:
    for ground, tones in GROUNDS.items():
        names = colours_on(ground)
        assert len(names) >= 3
        assert ground not in names
        assert all(contrast(COLOURS[name], tone) >= 130 for name in names for tone in tones)
