"""CIDEr of greedy captions of the validation images: what early stopping goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ganscribe.captioning.dataset import FeatureReader
from ganscribe.captioning.inference import decode
from ganscribe.captioning.model import Captioner, evaluating
from ganscribe.datasets.tokens import Vocabulary
from ganscribe.metrics.captions import tokenise


def greedy_cider(
    references: Mapping[int, Sequence[str]],
    features: FeatureReader,
    *,
    vocabulary: Vocabulary,
    max_length: int,
    batch_size: int,
) -> Callable[[Captioner, str], float]:
    """Return a function (model, precision) -> CIDEr of one greedy caption per image, as `score_captions` has it.

    `references`: all captions of each image, by its id. Raises ValueError for a single image, on which CIDEr
    is 0 by definition, and where Java fails.
    """
    from pycocoevalcap.cider.cider import Cider

    if len(references) == 1:
        raise ValueError(
            "early_stopping goes by the CIDEr of validation captions, which is 0 on a single image: raise the"
            " second share of captions.split, or remove early_stopping"
        )
    split = vocabulary.scoring_split
    tokenised = tokenise({image_id: list(texts) for image_id, texts in references.items()}, split=split)
    image_ids = list(references)

    def score(model: Captioner, precision: str) -> float:
        found: dict[int, list[str]] = {}
        with evaluating(model):
            for start in range(0, len(image_ids), batch_size):
                batch = image_ids[start : start + batch_size]
                decoded = decode(
                    model,
                    features(batch).to(next(model.parameters()).device).float(),
                    vocabulary=vocabulary,
                    image_ids=batch,
                    method="greedy",
                    max_length=max_length,
                    precision=precision,
                )
                for image_id, one in zip(batch, decoded, strict=True):
                    found[image_id] = [vocabulary.decode(one.tokens)]
        return float(Cider().compute_score(tokenised, tokenise(found, split=split))[0])

    return score
