"""MLflow's registry of models: the tags of a version, and which version is the champion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganscribe.metrics.comparable import UNKNOWN_DATA, is_known
from ganscribe.records.leaderboard import FAMILIES, Row, latest_rows, rows_of
from ganscribe.records.notes import describe_version
from ganscribe.records.store import RunRecord, VersionRecord, every, read_runs, read_versions

if TYPE_CHECKING:
    from ganscribe.records.store import MlflowClient

CANDIDATE, CHAMPION = "candidate", "champion"
REGISTERED = {name: (family.kind, family.file) for name, family in FAMILIES.items()}
COPIED = ("git.commit", "git.dirty", "pipeline", "run_key", "scale", "dvc.stage", "budget", "exercised")


def tag_versions(client: MlflowClient, run: RunRecord, *, folder: Path, md5: str | None) -> None:
    """Tag the versions of a run with its commit, the DVC hash of its model's `folder`, and its latest scores.

    Judge, counts and a digest of the scored data are tags as well.
    """
    tags = {key: run.tags[key] for key in COPIED if key in run.tags}
    tags |= {"dvc.path": folder.as_posix(), "dvc.md5": md5} if md5 else {}
    for facts, row in latest_rows(run, FAMILIES[run.family]):
        prefix = f"{row.decoding}." if row.decoding else ""
        if facts.get("judge") != run.tags.get("judge"):  # one of the other judges
            prefix = f"{facts['judge']}."
        scores = {FAMILIES[run.family].score: row.score} | row.values
        tags |= {f"{prefix}{key}": str(value) for key, value in facts.items() if value is not None}
        tags |= {f"{prefix}{key}": f"{value:.6g}" for key, value in scores.items()}
    for version in read_versions(client, f"run_id = '{run.run_id}'"):
        describe_version(client, version, run.tags)
        for key, value in tags.items():
            if version.tags.get(key) != value:
                client.set_model_version_tag(version.name, version.version, key, value)


def find_version(versions: Sequence[VersionRecord], name: str, wanted: str) -> VersionRecord:
    """Return the version with the number or alias `wanted`. Raises ValueError if there is none."""
    for version in versions:
        if wanted == version.version or wanted in version.aliases:
            return version
    known = [f"{each.version}" + "".join(f" ({alias})" for alias in each.aliases) for each in versions]
    raise ValueError(f"{name} has no version {wanted!r}: it has {', '.join(known) or 'none'}")


def promote(client: MlflowClient, name: str, wanted: str, *, is_forced: bool = False) -> str:
    """Make a version the champion, and return what was done as a sentence.

    Unless `is_forced`, raises ValueError if it scores worse than the champion, if the two cannot be compared (another
    judge, other counts, other data, no scores), or if it was only exercised and the champion was not. Also raises
    ValueError if there is no such model or version. If the champion was only exercised, a version that was not
    replaces it whatever its scores are.
    """
    versions = read_versions(client, f"name = '{name}'")
    if not versions:
        found = every(client.search_registered_models, filter_string="name LIKE 'ganscribe-%'")
        known = sorted(each.name for each in found)
        raise ValueError(f"no registered model is called {name!r}: there are {', '.join(known) or 'none'}")
    version = find_version(versions, name, wanted)
    champion = next((each for each in versions if CHAMPION in each.aliases), None)
    if champion == version:
        return f"{name} version {version.version} is already the champion"
    why_not, comparison = _compare(read_runs(client), version, champion)
    if why_not and not is_forced:
        raise ValueError(f"{name} version {version.version} is not promoted: {why_not} (--force overrides)")
    client.set_registered_model_alias(name, CHAMPION, version.version)
    before = f"in place of version {champion.version}" if champion else "the first"
    return f"{name} version {version.version} is the champion, {before}: {why_not or comparison}"


def _compare(
    runs: list[RunRecord], version: VersionRecord, champion: VersionRecord | None
) -> tuple[str, str]:
    """Return why the version must not become the champion (empty: it may), and how the two compare."""
    by_id = {run.run_id: run for run in runs}
    mine = _best(by_id.get(version.run_id))
    if not mine:
        return "it has no scores: score it first (`dvc repro`)", ""
    kind, exercised = FAMILIES[by_id[version.run_id].family], _exercised(mine)
    if champion is None:
        scores = ", ".join(f"{kind.score} {row.score:.4g}{_judge(facts)}" for facts, row in mine.values())
        return "", f"{scores}; but it {exercised}" if exercised else scores
    theirs = _best(by_id.get(champion.run_id))
    also = _exercised(theirs)
    if exercised and not also:
        return f"it {exercised}, and the champion, version {champion.version}, was not", ""
    if also and not exercised:
        return "", f"version {champion.version} {also}"
    shared = [key for key in mine if key in theirs]
    # If the scored data are known for some scores, those on unknown data decide nothing.
    shared = [key for key in shared if is_known(mine[key][0])] or shared
    if not shared:
        return f"it cannot be compared with the champion, version {champion.version}: " + _differences(
            [facts for facts, _ in mine.values()], [facts for facts, _ in theirs.values()]
        ), ""
    texts, worse = [], False
    for key in shared:
        own, other = mine[key][1].score, theirs[key][1].score
        worse = worse or (own > other if kind.less_is_better else own < other)
        texts.append(f"{kind.score} {own:.4g} against the champion's {other:.4g}{_judge(mine[key][0])}")
    text = "; ".join([*texts, *([f"but it {exercised}, and so was the champion"] if exercised else [])])
    return (f"it is worse than version {champion.version}: {text}", "") if worse else ("", text)


def _judge(facts: dict[str, Any]) -> str:
    """By whom a GAN was scored: two judges' scores are numbers of different scales."""
    return f" by {facts['judge']}" if facts.get("judge") else ""


def _best(run: RunRecord | None) -> dict[str, tuple[dict[str, Any], Row]]:
    """Return the best row of a run for each set of facts (of a captioner, that of its best decoding)."""
    best: dict[str, tuple[dict[str, Any], Row]] = {}
    if run is None or run.family not in FAMILIES:
        return best
    kind = FAMILIES[run.family]
    sign = 1 if kind.less_is_better else -1
    for facts, row in sorted(rows_of(run, kind), key=lambda entry: -sign * entry[1].score):
        best[json.dumps(facts)] = (facts, row)  # the best comes last
    return best


def _exercised(best: dict[str, tuple[dict[str, Any], Row]]) -> str:
    """Return what to say about a run that was only exercised; empty for any other run."""
    trained = [row.trained for _, row in best.values() if row.is_exercised]
    return f"was only exercised ({trained[0]}), so its scores mean nothing" if trained else ""


def _differences(mine: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """Return how those two sets of scores differ that have the most in common."""
    if not theirs:
        return "the champion has no scores, or its run is no longer in MLflow"
    pairs = [[(key, own[key], other[key]) for key in own] for own in mine for other in theirs]
    differing = [[each for each in pair if each[1] != each[2]] for pair in pairs]
    found = []
    for key, own, other in min(differing, key=len):
        if key == "data_sha256" and None in (own, other):
            found.append(f"of {'this version' if own is None else 'the champion'}, {UNKNOWN_DATA}")
        else:
            found.append(f"{key} {own} here, {other} there")
    return ", ".join(found)
