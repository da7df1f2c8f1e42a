"""Parameters: params.yaml and params/<scale>.yaml, checked as a whole, handed out stage by stage.

`load(section, name)` returns the frozen dataclass (see stages.py) of one stage. An unknown, missing or
mistyped key anywhere in the two files fails, all problems in one message. The files are parsed by the library
that DVC uses, so that `1e-3` is the same number to both.
"""

from __future__ import annotations

import difflib
import functools
import json
import reprlib
import sys
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ganscribe.config import files, stages
from ganscribe.core.files import project_root

MAX_CHARACTERS = 1_000_000  # of a YAML file, aliases written out; params.yaml has 11,000, dvc.lock 180,000


def parse_yaml(text: str) -> Any:
    """What the YAML `text` holds. Raises ValueError where it is none, or where it is too large."""
    try:
        _characters_left(text, MAX_CHARACTERS)
        value = YAML(typ="safe", pure=True).load(text)
        _characters_left(value, MAX_CHARACTERS)
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"no valid YAML: {error}") from None
    return value


def _characters_left(value: Any, left: int) -> int:
    """`left` less what `value` has, with what an alias repeats each time. Raises ValueError below zero."""
    if isinstance(value, (dict, list, tuple, set)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            left = _characters_left(part, left - 1)
    else:
        left -= len(str(value))
    if left < 0:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters, aliases written out")
    return left


def read_yaml(path: Path) -> Any:
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: run this from the project's top folder") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no valid YAML: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from None


def _keys_at(shape: Any, location: tuple[str | int, ...]) -> list[str]:
    """The keys that `shape` has at `location`, for a hint at what a mistyped key was meant to be."""
    for part in location:
        if is_dataclass(shape):
            shape = get_type_hints(shape).get(str(part))
        else:
            shape = next((a for a in reversed(get_args(shape)) if is_dataclass(a)), None)
    return [field.name for field in fields(shape)] if is_dataclass(shape) else []


def _problems(path: Path, shape: type, error: ValidationError) -> list[str]:
    lines = []
    for entry in error.errors():
        location = entry["loc"]
        where = f"{path}: {'.'.join(map(str, location)) or 'the whole file'}"
        if entry["type"] == "unexpected_keyword_argument":
            near = difflib.get_close_matches(str(location[-1]), _keys_at(shape, location[:-1]), n=1)
            lines.append(
                f"{where}: unknown key" + (f", did you mean {near[0]!r}?" if near else ": remove it")
            )
        elif entry["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
            lines.append(f"{where}: missing, add it")
        else:
            lines.append(f"{where}: {reprlib.repr(entry['input'])} is wrong: {entry['msg']}")
    return lines


@functools.cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _parse(path: Path, shape: Any) -> tuple[Any, list[str]]:
    try:
        # As JSON, whose strict mode takes a mapping for a dataclass and a list for a tuple, and nothing else.
        return _adapter(shape).validate_json(json.dumps(read_yaml(path), default=str)), []
    except ValidationError as error:
        return None, _problems(path, shape, error)
    except TypeError as error:  # a date, say, as a key
        return None, [f"{path}: {error}"]


def _cross_check(params: files.Params, scale: files.Scale, path: Path) -> list[str]:
    """What no single key shows: splits that do not add up, runs without a cap, an untrained judge."""
    problems = []
    if abs(sum(params.captions.split) - 1) > 1e-9:
        problems.append(f"params.yaml: captions.split: {params.captions.split} must add up to 1")
    for family, runs, caps in (
        ("gan", params.gan.runs, scale.max_updates.gan),
        ("classifier", params.classifier.runs, scale.max_updates.classifier),
        ("captioner", params.captioner.runs, scale.max_updates.captioner),
    ):
        for name in sorted(set(runs) - set(caps)):
            problems.append(f"{path}: max_updates.{family}.{name}: missing, add it (null: no cap)")
        for name in sorted(set(caps) - set(runs)):
            problems.append(f"{path}: max_updates.{family}.{name}: params.yaml has no such run, remove it")
    for name in sorted(set(params.classifier.runs) & set(params.classifier.zoo)):
        problems.append(
            f"params.yaml: classifier.zoo.{name}: classifier.runs has this name too, take another"
        )
    classifiers = [*params.classifier.runs.values(), *params.classifier.zoo.values()]
    trained = {(run.dataset, run.network) for run in classifiers}
    for judge in params.judges:
        if ("mnist", judge) not in trained:
            problems.append(
                f"params.yaml: judges: {judge!r} is not trained on mnist: add it to classifier.runs, or take"
                " another"
            )
    for name, run in params.gan.runs.items():
        if (run.dataset, params.judge) not in trained:
            problems.append(
                f"params.yaml: judge: {params.judge!r} is not trained on {run.dataset}, which gan.runs.{name}"
                " uses: add it to classifier.runs or choose another judge"
            )
    return problems


def read(folder: Path = Path()) -> tuple[files.Params, files.Scale]:
    """Read and check params.yaml and the file of its scale in `folder`.

    Raises ValueError with every problem of both files, FileNotFoundError where one is missing.
    """
    params_path = folder / "params.yaml"
    params, problems = _parse(params_path, files.Params)
    found = None if params else read_yaml(params_path)
    name = params.scale if params else found.get("scale") if isinstance(found, dict) else None
    scales = sorted(path.stem for path in (folder / "params").glob("*.yaml"))
    if name not in scales:
        known = f"is unknown, choose one of {', '.join(scales)}"
        problems.append(f"{params_path}: scale: {reprlib.repr(name)} {known}")
        raise ValueError("\n".join(problems))
    scale_path = folder / "params" / f"{name}.yaml"
    scale, more = _parse(scale_path, files.Scale)
    problems += more
    if params and scale:
        problems += _cross_check(params, scale, scale_path)
    if problems:
        raise ValueError("\n".join(problems))
    return params, scale


def _absolute(path: str | None) -> str | None:
    return path and str((project_root() / Path(path).expanduser()).resolve())


def _place(params: files.Params, scale: files.Scale, name: str) -> stages.Place:
    entry: files.SourceEntry = getattr(params.sources, name)
    kind = getattr(scale.sources, name) if entry.source == "scale" else entry.source
    if kind == "local" and entry.folder is None:
        raise ValueError(
            f"params.yaml: sources.{name}.source is local, but sources.{name}.folder is null: name it"
        )
    return stages.Place(source=kind, folder=_absolute(entry.folder), archive=entry.archive)


def _captions(params: files.Params, scale: files.Scale) -> stages.Captions:
    recipe = params.captions
    return stages.Captions(
        count=scale.amounts.captions, split=recipe.split, split_by=recipe.split_by, seed=params.data.seed
    )


def _run(runs: dict[str, Any], name: str | None, family: str) -> Any:
    if name not in runs:
        raise ValueError(
            f"params.yaml: {family}.runs has no {name!r}: choose one of {', '.join(sorted(runs))}"
        )
    return runs[name]


def _diagnostic(params: files.Params, scale: files.Scale, section: str) -> Any:
    settings, caps = params.diagnostics, scale.max_updates.diagnostics
    recipe = _run(params.gan.runs, "dcgan", "gan")
    if section == "gradients":
        return stages.Gradients(
            **asdict(settings.gradients),
            recipe=recipe,
            seed=settings.seed,
            precision=params.gan.precision,
            max_gan_updates=caps.gan,
            max_critic_updates=caps.critic,
        )
    if section == "parallel_lines":
        lines = asdict(settings.parallel_lines)
        return stages.ParallelLines(**lines, seed=settings.seed, max_updates=caps.lines)
    return stages.SnapshotScoring(
        dataset=recipe.dataset,
        judge=params.judge,
        num_samples=scale.amounts.snapshot_samples,
        seed=settings.seed,
    )


def load(section: str, name: str | None = None, folder: Path = Path()) -> Any:
    """The parameters of one stage, from the checked files in `folder`; sections as in `select`."""
    return select(*read(folder), section, name)


def select(params: files.Params, scale: files.Scale, section: str, name: str | None = None) -> Any:
    """The part of the parameters that one stage works with.

    `section` is scale (its name), source or place (name: a data set), captions, vocabulary_size, features,
    max_bad_images, classifier or classifier_evaluation (name: a run), gan or gan_evaluation (name: a run),
    judges, judging, captioner (name: a run), captioner_evaluation. A stage asks for what it uses, and DVC
    tracks what it asks for (tests). Raises ValueError for a bad file or an unknown name.
    """
    caps = scale.max_updates
    if section == "scale":
        return params.scale
    if section == "place":
        return _place(params, scale, str(name))
    if section == "source":
        place = asdict(_place(params, scale, str(name)))
        drawn = scale.amounts.pictures if name == "cifar10" else scale.amounts.scenes
        return stages.Source(**place, scenes=drawn, seed=params.data.seed)
    if section == "captions":
        return _captions(params, scale)
    if section == "vocabulary_size":
        return min(params.captions.vocabulary_size, scale.amounts.vocabulary or sys.maxsize)
    if section == "features":
        return stages.Features(**asdict(params.features), seed=params.data.seed)
    if section == "max_bad_images":
        return params.features.max_bad_images
    if section == "classifier_evaluation":
        run = _run(params.classifier.runs | params.classifier.zoo, name, "classifier")
        return stages.ClassifierEvaluation(network=run.network, dataset=run.dataset)
    if section == "classifier":
        family = params.classifier
        recipe = asdict(_run(family.runs | family.zoo, name, section))
        max_updates = caps.classifier.get(str(name), caps.zoo)  # runs and caps have the same names
        return stages.ClassifierRun(
            **recipe, seed=family.seed, precision=family.precision, max_updates=max_updates
        )
    if section == "gan":
        recipe = asdict(_run(params.gan.runs, name, section))
        recipe["snapshots"] = recipe["snapshots"] or params.gan.snapshots
        shared = {key: getattr(params.gan, key) for key in ("seed", "precision", "log_every")}
        return stages.GanRun(**recipe, **shared, max_updates=caps.gan[str(name)])
    if section == "gan_evaluation":
        run = _run(params.gan.runs, name, "gan")
        return stages.GanEvaluation(
            dataset=run.dataset,
            classes=run.classes,
            splits=run.splits,
            judge=params.judge,
            fid_inception=_absolute(params.gan.fid_inception),
            num_samples=scale.amounts.gan_samples,
            seed=params.gan.seed,
        )
    if section == "judges":
        return params.judges
    if section == "judging":
        return stages.Judging(num_samples=scale.amounts.snapshot_samples, seed=params.gan.seed)
    if section in ("gradients", "parallel_lines", "snapshot_scoring"):
        return _diagnostic(params, scale, section)
    if section == "captioner":
        recipe = asdict(_run(params.captioner.runs, name, section))
        shared = {key: getattr(params.captioner, key) for key in ("seed", "precision", "log_every")}
        return stages.CaptionerRun(**recipe, **shared, max_updates=caps.captioner[str(name)])
    if section == "captioner_evaluation":
        captioner = params.captioner
        return replace(captioner.evaluation, seed=captioner.seed, precision=captioner.precision)
    raise ValueError(f"config has no section {section!r}")
