"""params.yaml and params/<scale>.yaml, read and checked as a whole.

An unknown, missing or mistyped key anywhere in the two files fails, all problems in one message. The files are
parsed by the library that DVC uses, so that `1e-3` is the same number to both.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import functools
import json
import re
import reprlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from ganscribe.config import files
from ganscribe.config.stages import Decoding
from ganscribe.core.registry import Registry
from ganscribe.gan.common.recipe import GanRecipe

# By the names of their files alone: a stage that needs no torch does not import it to read its parameters.
OBJECTIVES = Registry("ganscribe.gan.objectives", "objective")
GAN_NETWORKS = Registry("ganscribe.gan.networks", "GAN network")
CONVNETS = Registry("ganscribe.convnets.networks", "convnet")

# A run's name stands in commands, in paths, in the keys that DVC tracks (which a dot parts), and in names in MLflow.
RUN_NAME = re.compile(r"\w[\w-]*")
# What each method of decoding uses.
DECODING_OPTIONS = {
    "greedy": (),
    "beam": ("width", "length_penalty"),
    "sample": ("temperature", "top_k", "seed"),
}
MAX_CHARACTERS = 1_000_000  # of a YAML file, aliases written out; params.yaml has 11,000, dvc.lock 180,000


def parse_yaml(text: str) -> Any:
    """Return what the YAML `text` contains. Raises ValueError if it is not YAML, or if it is too large."""
    return copy.deepcopy(_parse_once(text))


@functools.lru_cache(maxsize=8)  # a stage asks for several parts of params.yaml, which takes 0.1 s to parse
def _parse_once(text: str) -> Any:
    try:
        _characters_left(text, MAX_CHARACTERS)
        value = YAML(typ="safe", pure=True).load(text)
        _characters_left(value, MAX_CHARACTERS)
    except DuplicateKeyError as error:
        line, said = error.problem_mark.line + 1, str(error.problem).partition(" with value")[0]
        raise ValueError(f"not valid YAML: line {line}: {said}: remove one of the two") from None
    except (YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"not valid YAML: {error}") from None
    return value


def _characters_left(value: Any, left: int) -> int:
    """Return `left` minus the characters of `value`, aliases written out. Raises ValueError below zero."""
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
        raise ValueError(f"{path} is not valid YAML: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from None


def _keys_at(shape: Any, location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that `shape` has at `location`, for a hint at what a mistyped key was meant to be."""
    for part in location:
        if is_dataclass(shape):
            shape = get_type_hints(shape).get(str(part))
        else:
            shape = next((a for a in reversed(get_args(shape)) if is_dataclass(a)), None)
    return [field.name for field in fields(shape)] if is_dataclass(shape) else []


def _put_under(location: tuple[str | int, ...]) -> str:
    """Return where a key of a GAN's block belongs that is an option of objectives or networks; empty if it is none."""
    if location[:2] != ("gan", "runs"):
        return ""
    for key, registry, functions in (
        ("objective_options", OBJECTIVES, ("build",)),
        ("network_options", GAN_NETWORKS, ("build_generator", "build_discriminator")),
    ):
        with contextlib.suppress(SyntaxError):  # of a file that some run may name
            if any(location[-1] in registry.option_names(name, *functions) for name in registry.names()):
                return f": put it under {key}"
    return ""


def _problems(place: Path | str, shape: type, error: ValidationError) -> list[str]:
    lines = []
    for entry in error.errors():
        location = entry["loc"]
        where = f"{place}: {'.'.join(map(str, location)) or 'the whole file'}"
        if entry["type"] == "unexpected_keyword_argument":
            near = difflib.get_close_matches(str(location[-1]), _keys_at(shape, location[:-1]), n=1)
            hint = f", did you mean {near[0]!r}?" if near else ": remove it"
            lines.append(f"{where}: unknown key{_put_under(location) or hint}")
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


def _check_choice(
    where: str, registry: Registry, name: str, options: dict[str, Any], *functions: str
) -> list[str]:
    """Return what is wrong with the name of an objective or a network, and with the names of its options."""
    try:
        registry.check_options(name, options, *functions)
    except ValueError as error:
        return [f"params.yaml: {where}: {error}"]
    except SyntaxError as error:  # which names no file
        file = f"{registry.package.replace('.', '/')}/{name}.py"
        return [f"params.yaml: {where}: {file}, line {error.lineno}, is not valid Python: {error.msg}"]
    return []


def _check_schedule(where: str, schedule: str, options: dict[str, Any]) -> list[str]:
    """Return what is wrong with a run's `schedule_options`."""
    shape = files.StepOptions if schedule == "step" else files.ScheduleOptions
    try:
        _adapter(shape).validate_json(json.dumps(options))
    except ValidationError as error:
        return _problems(f"params.yaml: {where}.schedule_options", shape, error)
    return []


def _check_decodings(decodings: dict[str, Decoding]) -> list[str]:
    """Return the options of decodings that their methods do not use."""
    problems = []
    for name, decoding in decodings.items():
        for each in fields(Decoding):
            is_given = each.name != "method" and getattr(decoding, each.name) != each.default
            if is_given and each.name not in DECODING_OPTIONS[decoding.method]:
                where = f"captioner.evaluation.decodings.{name}.{each.name}"
                problems.append(f"params.yaml: {where}: {decoding.method} does not use it: remove it")
    return problems


def _check_names(params: files.Params) -> list[str]:
    """Return the names of runs and of decodings that commands or files cannot have, and judges listed twice."""
    problems = []
    named: dict[str, dict[str, Any]] = {
        "classifier.runs": params.classifier.runs,
        "classifier.zoo": params.classifier.zoo,
        "gan.runs": params.gan.runs,
        "diagnostics.gradients.runs": params.diagnostics.gradients.runs,
        "captioner.runs": params.captioner.runs,
    }
    for where, runs in named.items():
        for name in runs:
            if not RUN_NAME.fullmatch(name):
                problems.append(
                    f"params.yaml: {where}: {name!r} cannot be the name of a run: use letters, digits, _ and -"
                )
    for name in params.captioner.evaluation.decodings:
        if "/" in name:
            problems.append(
                f"params.yaml: captioner.evaluation.decodings: {name!r} names files: take a name without /"
            )
    for judge in sorted({judge for judge in params.judges if params.judges.count(judge) > 1}):
        problems.append(f"params.yaml: judges: {judge!r} is listed twice: remove one")
    return problems


def _check_runs(params: files.Params) -> list[str]:
    """Return the runs' objectives, networks and options that do not exist or fit, and runs without a judge."""
    problems = []
    recipes: dict[str, GanRecipe] = {f"gan.runs.{name}": run for name, run in params.gan.runs.items()}
    gradients = params.diagnostics.gradients.runs
    recipes |= {f"diagnostics.gradients.runs.{name}": run for name, run in gradients.items()}
    for where, run in recipes.items():
        problems += _check_choice(where, OBJECTIVES, run.objective, run.objective_options, "build")
        problems += _check_choice(
            where, GAN_NETWORKS, run.networks, run.network_options, "build_generator", "build_discriminator"
        )
        problems += _check_schedule(where, run.schedule, run.schedule_options)
        if run.dataset is None:
            problems.append(f"params.yaml: {where}.dataset: missing, add it")
        if run.snapshot_steps and max(run.snapshot_steps) > run.steps:
            problems.append(
                f"params.yaml: {where}.snapshot_steps: {max(run.snapshot_steps)} is more than the"
                f" {run.steps} steps of the run: lower it"
            )
    classifiers = params.classifier.runs | params.classifier.zoo
    for name, classifier in classifiers.items():
        part = "runs" if name in params.classifier.runs else "zoo"
        where = f"classifier.{part}.{name}"
        problems += _check_choice(where, CONVNETS, classifier.network, classifier.options, "build")
        problems += _check_schedule(where, classifier.schedule, classifier.schedule_options)
    for name, captioner in params.captioner.runs.items():
        problems += _check_schedule(f"captioner.runs.{name}", captioner.schedule, captioner.schedule_options)
    for judge in params.judges:
        if judge not in classifiers:
            known = ", ".join(sorted(classifiers))
            problems.append(f"params.yaml: judges: there is no classifier {judge!r}: choose from {known}")
    judged = {classifiers[judge].dataset for judge in params.judges if judge in classifiers}
    for name, block in params.gan.runs.items():
        if block.dataset and block.dataset not in judged:
            problems.append(
                f"params.yaml: judges: none of {', '.join(params.judges)} is trained on {block.dataset}, which"
                f" gan.runs.{name} uses: add a classifier of that data set"
            )
    return problems


def _check_caps(params: files.Params, scales: list[str]) -> list[str]:
    """Return the families that have no cap for a scale, and caps for scales that do not exist."""
    problems = []
    for family in ("gan", "classifier", "captioner"):
        settings = getattr(params, family)
        for scale in scales:
            if scale not in settings.cap:
                problems.append(f"params.yaml: {family}.cap.{scale}: missing, add it (null: no cap)")
        blocks = {f"{family}.runs.{name}": run.cap for name, run in settings.runs.items()}
        if family == "classifier":
            blocks |= {f"classifier.zoo.{name}": run.cap for name, run in settings.zoo.items()}
        for where, caps in {family: settings.cap, **blocks}.items():
            for scale in sorted(set(caps) - set(scales)):
                problems.append(
                    f"params.yaml: {where}.cap.{scale}: there is no such scale, choose from {', '.join(scales)}"
                )
    return problems


def _cross_check(params: files.Params, scales: list[str]) -> list[str]:
    """Return what no single key shows: splits that do not add up, names and caps that do not exist."""
    problems = []
    if abs(sum(params.captions.split) - 1) > 1e-9:
        problems.append(f"params.yaml: captions.split: {params.captions.split} must add up to 1")
    for name in sorted(set(params.classifier.runs) & set(params.classifier.zoo)):
        problems.append(
            f"params.yaml: classifier.zoo.{name}: classifier.runs has this name too, take another"
        )
    problems += _check_decodings(params.captioner.evaluation.decodings)
    return problems + _check_names(params) + _check_runs(params) + _check_caps(params, scales)


def read(folder: Path = Path()) -> tuple[files.Params, files.Scale]:
    """Read and check params.yaml and the file of its scale in `folder`.

    Raises ValueError with every problem of both files, FileNotFoundError where one is missing.
    """
    params_path = folder / "params.yaml"
    params, problems = _parse(params_path, files.Params)
    found = None if params else read_yaml(params_path)
    name = params.scale if params else found.get("scale") if isinstance(found, dict) else None
    scales = sorted(path.stem for path in (folder / "params").glob("[!.]*.yaml"))
    if name not in scales:
        known = f"is unknown, choose one of {', '.join(scales)}"
        problems.append(f"{params_path}: scale: {reprlib.repr(name)} {known}")
        raise ValueError("\n".join(problems))
    scale_path = folder / "params" / f"{name}.yaml"
    scale, more = _parse(scale_path, files.Scale)
    problems += more
    if params and scale:
        problems += _cross_check(params, scales)
    if problems:
        raise ValueError("\n".join(problems))
    return params, scale
