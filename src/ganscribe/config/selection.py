"""The part of the parameters that one stage works with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ganscribe.captioning.recipe import CaptionerRecipe
from ganscribe.config import stages
from ganscribe.config.files import OptionalEntry, Params, Scale, SourceEntry
from ganscribe.config.reading import read
from ganscribe.convnets.common.recipe import ClassifierRecipe
from ganscribe.core.files import project_root
from ganscribe.execution.position import check_scale
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.training.budget import Budget

Recipe = TypeVar("Recipe")
Training = stages.GanRun | stages.ClassifierRun | stages.CaptionerRun


def _absolute(path: str | None) -> str | None:
    return path and str((project_root() / Path(path).expanduser()).resolve())


def _place(params: Params, scale: Scale, name: str) -> stages.Place:
    entry: SourceEntry | OptionalEntry = getattr(params.sources, name)
    kind = getattr(scale.sources, name) if entry.source == "scale" else entry.source
    if kind == "local" and entry.folder is None:
        raise ValueError(
            f"params.yaml: sources.{name}.source is local, but sources.{name}.folder is null: name it"
        )
    return stages.Place(source=kind, folder=_absolute(entry.folder), archive=getattr(entry, "archive", False))


def _source(params: Params, scale: Scale, name: str) -> stages.Source:
    drawn = scale.amounts.pictures if name == "cifar10" else scale.amounts.scenes
    return stages.Source(**asdict(_place(params, scale, name)), scenes=drawn, seed=params.data.seed)


def _captions(params: Params, scale: Scale, name: str) -> stages.Captions:
    recipe = params.captions
    return stages.Captions(
        count=scale.amounts.captions, split=recipe.split, split_by=recipe.split_by, seed=params.data.seed
    )


def _vocabulary_size(params: Params, scale: Scale, name: str) -> int:
    return min(params.captions.vocabulary_size, scale.amounts.vocabulary or sys.maxsize)


def _features(params: Params, scale: Scale, name: str) -> stages.Features:
    return stages.Features(**asdict(params.features), seed=params.data.seed)


def _run(runs: Mapping[str, Any], name: str, family: str) -> Any:
    if name not in runs:
        raise ValueError(
            f"params.yaml: {family}.runs has no {name!r}: choose one of {', '.join(sorted(runs))}"
        )
    return runs[name]


def _recipe(shape: type[Recipe], block: Any) -> Recipe:
    """Return the recipe of a run's block, which has its caps too."""
    return shape(**{each.name: getattr(block, each.name) for each in fields(shape)})  # type: ignore[arg-type]


def _budget(family: Any, block: Any, scale: str) -> Budget:
    """Return the family's settings, and the run's own cap or else the family's."""
    caps = family.cap | block.cap
    log_every = getattr(family, "log_every", Budget.log_every)
    return Budget(seed=family.seed, precision=family.precision, log_every=log_every, max_updates=caps[scale])


def _classifier(params: Params, scale: Scale, name: str) -> stages.ClassifierRun:
    family = params.classifier
    block = _run(family.runs | family.zoo, name, "classifier")
    budget = _budget(family, block, params.scale)
    return stages.ClassifierRun(recipe=_recipe(ClassifierRecipe, block), budget=budget)


def _classifier_evaluation(params: Params, scale: Scale, name: str) -> stages.ClassifierEvaluation:
    block = _run(params.classifier.runs | params.classifier.zoo, name, "classifier")
    return stages.ClassifierEvaluation(dataset=block.dataset)


def _gan(params: Params, scale: Scale, name: str) -> stages.GanRun:
    block = _run(params.gan.runs, name, "gan")
    budget = _budget(params.gan, block, params.scale)
    return stages.GanRun(recipe=_recipe(GanRecipe, block), budget=budget)


def _gan_evaluation(params: Params, scale: Scale, name: str) -> stages.GanEvaluation:
    return stages.GanEvaluation(
        judges=params.judges,
        num_samples=scale.amounts.gan_samples,
        snapshot_samples=scale.amounts.snapshot_samples,
        seed=params.gan.seed,
    )


def _gradients(params: Params, scale: Scale, name: str) -> stages.Gradients:
    settings = params.diagnostics.gradients
    return stages.Gradients(
        recipe=_run(settings.runs, name, "diagnostics.gradients"),
        **{each.name: getattr(settings, each.name) for each in fields(stages.GradientsRecipe)},
        seed=params.diagnostics.seed,
        precision=params.gan.precision,
        max_gan_updates=scale.diagnostics.gan,
        max_critic_updates=scale.diagnostics.critic,
        max_num_batches=scale.diagnostics.noises,
    )


def _parallel_lines(params: Params, scale: Scale, name: str) -> stages.ParallelLines:
    lines = asdict(params.diagnostics.parallel_lines)
    return stages.ParallelLines(**lines, seed=params.diagnostics.seed, max_updates=scale.diagnostics.lines)


def _captioner(params: Params, scale: Scale, name: str) -> stages.CaptionerRun:
    block = _run(params.captioner.runs, name, "captioner")
    budget = _budget(params.captioner, block, params.scale)
    return stages.CaptionerRun(recipe=_recipe(CaptionerRecipe, block), budget=budget)


def _captioner_evaluation(params: Params, scale: Scale, name: str) -> stages.CaptionerEvaluation:
    family = params.captioner
    return replace(family.evaluation, seed=family.seed, precision=family.precision)


# Those with a name need one: that of a data set, or of a run.
SECTIONS: dict[str, Callable[[Params, Scale, str], Any]] = {
    "scale": lambda params, scale, name: params.scale,
    "place": _place,
    "source": _source,
    "captions": _captions,
    "vocabulary_size": _vocabulary_size,
    "tokeniser": lambda params, scale, name: params.captions.tokeniser,
    "features": _features,
    "max_bad_images": lambda params, scale, name: params.features.max_bad_images,
    "classifier": _classifier,
    "classifier_evaluation": _classifier_evaluation,
    "gan": _gan,
    "gan_evaluation": _gan_evaluation,
    "gradients": _gradients,
    "parallel_lines": _parallel_lines,
    "captioner": _captioner,
    "captioner_evaluation": _captioner_evaluation,
}


def select(params: Params, scale: Scale, section: str, name: str | None = None) -> Any:
    """Return the part of the parameters that one stage works with, by its `section`, a key of `SECTIONS`.

    A stage asks for what it uses, and DVC tracks what it asks for (tests). Raises ValueError for an unknown
    name.
    """
    if section not in SECTIONS:
        raise ValueError(f"config has no section {section!r}: it has {', '.join(SECTIONS)}")
    return SECTIONS[section](params, scale, str(name))


def cut_short(run: Training, scale: str) -> str:
    """Return how much of a run's recipe the `scale` trains; empty if that is all of it.

    Raises ValueError if the cap leaves a GAN no step, or if its objective refuses its options.
    """
    cap, recipe = run.budget.max_updates, run.recipe
    if cap is None:
        return ""
    if not isinstance(recipe, GanRecipe):  # how many steps its epochs have is up to the data
        return f"epochs {recipe.epochs:g}, of which the {scale} scale trains {cap:,} steps at most"
    # This imports torch, which the run needs anyway.
    from ganscribe.gan.common.objective import build_objective, plan_updates

    objective = build_objective(recipe.objective, **recipe.objective_options)
    updates = plan_updates(objective, steps=recipe.steps, critic_steps=recipe.critic_steps, max_updates=cap)
    if len(updates) >= recipe.steps:
        return ""
    return f"steps {recipe.steps:,}, of which the {scale} scale trains {len(updates):,}"


def load(section: str, name: str | None = None, folder: Path = Path()) -> Any:
    """Return the parameters of one stage, from the checked files in `folder`: a dataclass of stages.py.

    Says on standard error where the scale ends a training before its recipe does. Raises ValueError if the scale is not
    the one at which DVC began the build.
    """
    params, scale = read(folder)
    check_scale(params.scale)
    selected = select(params, scale, section, name)
    if isinstance(selected, Training) and (note := cut_short(selected, params.scale)):
        sys.stderr.write(f"{name}: {note} (`cap.{params.scale}` of its block in params.yaml changes that)\n")
    return selected
