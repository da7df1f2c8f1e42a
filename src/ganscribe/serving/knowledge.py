"""What a captioner was trained on, as a warning for whoever shows it a photograph. No served model needs this."""

from __future__ import annotations

import re

from ganscribe.datasets.tokens import END, PAD, START, UNK
from ganscribe.features.inception import RANDOM_INIT
from ganscribe.serving.photographs import PhotographCaptioner
from ganscribe.sources.drawn.composition import COLOURS, GROUNDS, SCENE_SHAPES
from ganscribe.sources.drawn.wording import GROUND_WORDS, PLACE_WORDS, TEMPLATES

_PLACES = [phrase for phrases in PLACE_WORDS.values() for phrase in phrases]
_PHRASES = [*TEMPLATES, *GROUND_WORDS, *_PLACES, *SCENE_SHAPES, *COLOURS, *GROUNDS]
# All words that can occur in captions of drawn scenes.
DRAWN_WORDS = set(re.sub(r"{\w*}", "", " ".join(_PHRASES)).split())

DRAWN = (
    "this model knows only drawn scenes of coloured shapes, and describes every picture as one. To caption photographs,"
    " train it on photographs, which takes a GPU: `dvc exp run -S scale=full train_captioner`"
)
RANDOM = (
    "this model sees pictures through a network with random weights, so its captions of photographs mean little. Train"
    " it with ImageNet's weights: `dvc exp run -S sources.inception.source=download train_captioner`"
)


def doubt(captioner: PhotographCaptioner) -> str:
    """Return why its captions of photographs may be wrong; empty if nothing speaks against them."""
    # At the sample scale, a captioner has only the words of the scenes that the project draws.
    if set(captioner.saved.vocabulary.words) <= DRAWN_WORDS | {PAD, UNK, START, END}:
        return DRAWN
    return RANDOM if captioner.inception.label == RANDOM_INIT else ""
