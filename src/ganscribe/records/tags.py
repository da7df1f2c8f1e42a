"""How the scores and facts of a run are divided between MLflow's metrics and tags."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ganscribe.core.length import Length
from ganscribe.records.lineage.dvc_lock import flatten
from ganscribe.records.rows import FACTS

MAX_TAG = 8000  # MLflow's own limit on the characters of a tag; the scores of five decodings of a captioner exceed it
FILTERED = ("judge", "dataset")  # the facts by which people filter runs
# MLflow's charts of these would be useless.
COUNTS = ("trained_steps", "recipe_steps", "parameters", "flops")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_count(key: str) -> bool:
    name = key.rpartition(".")[2]
    return name.startswith("num_") or name in COUNTS


def score_tags(scores: dict[str, Any], pipeline: str) -> dict[str, str]:
    """Return all of the `scores` as one tag, or as one tag for each decoding if that would be too long.

    The name of a tag has a digest of its texts and counts.
    """
    if not scores:
        return {}
    name, text = _score_tag(flatten(scores), pipeline)
    if len(text) <= MAX_TAG:
        return {name: text}
    parts = [flatten({way: each}) for way, each in scores.items() if isinstance(each, dict)]
    found = dict(_score_tag(part, pipeline) for part in parts)
    return {name: text for name, text in found.items() if len(text) <= MAX_TAG}


def _score_tag(scores: dict[str, Any], pipeline: str) -> tuple[str, str]:
    facts = {key: value for key, value in scores.items() if isinstance(value, str) or "num_" in key}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    short = {
        key: value if isinstance(value, int) or not _is_number(value) else float(f"{value:.8g}")
        for key, value in scores.items()
    }
    return f"scores.{digest}", json.dumps({"pipeline": pipeline, **short}, default=str)


def _length_tags(scores: dict[str, Any]) -> dict[str, str]:
    """Return how far the run was trained, in words, and whether it was only exercised; `scores` may be by decoding."""
    found = (Length.find(each) for each in (scores, *scores.values()) if isinstance(each, dict))
    length = next(filter(None, found), None)
    return {"budget": str(length), "exercised": str(length.is_exercised).lower()} if length else {}


def with_facts(known: dict[str, str], facts: dict[str, Any]) -> dict[str, str]:
    """Return `facts` as tags of a run that has the tags `known`: all in one tag, or one tag each if that is too long.

    `store.as_record` divides the one tag again.
    """
    if not facts:
        return {}
    text = json.dumps(json.loads(known.get(FACTS, "{}")) | facts)
    return {FACTS: text} if len(text) <= MAX_TAG else {key: str(value) for key, value in facts.items()}


def split_scores(scores: dict[str, Any], known: dict[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the metrics and the tags of `scores` (nested dicts of numbers and text), for a run with the tags `known`.

    Counts, and text that nobody filters by, are facts, which share one tag.
    """
    flat = flatten(scores)
    numbers = {key: value for key, value in flat.items() if _is_number(value)}
    words = {key: str(value) for key, value in flat.items() if key not in numbers}
    counts = {key: value for key, value in numbers.items() if _is_count(key)}
    tags = {key: value for key, value in words.items() if key in FILTERED}
    tags |= with_facts(known, counts | {key: value for key, value in words.items() if key not in tags})
    kept = counts if FACTS in tags else {}
    metrics = {key: float(value) for key, value in numbers.items() if key not in kept}
    return metrics, _length_tags(scores) | {key: tag for key, tag in tags.items() if key not in metrics}
