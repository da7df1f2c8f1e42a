"""dvc.yaml against the code: a change of code or parameters re-runs every stage that it can change."""

from __future__ import annotations

import ast
import copy
import functools
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from dvc.repo import Repo
from dvc.utils.hydra import apply_overrides
from dvc_objects.fs.utils import tmp_fname
from ruamel.yaml import YAML

from ganscribe import config
from ganscribe.config import reading
from ganscribe.convnets import build
from ganscribe.convnets.common.building import CONVNETS
from ganscribe.core import files
from ganscribe.core.registry import Registry
from ganscribe.gan.common.networks import NETWORKS
from ganscribe.gan.common.objective import OBJECTIVES
from ganscribe.records.lineage.run_key import code_files

Keys = tuple[str, ...]

# Any of these may stand in for a string of params.yaml; the first that the checks accept is taken.
WORDS = (
    "fp32",
    "gpu",
    "greedy",
    "local",
    "image",
    "caption",
    "center",
    "val",
    "normal",
    "sgd",
    "cifar10",
    "mnist",
    "uniform",
)
WORDS += (
    "unicode",
    "step",
    "beam",
    "adam",
    "cosine",
    "lsgan",
    "nonsaturating",
    "mlp",
    "dcgan",
    "resnet18",
    "lenet5",
)

ZOO = ("alexnet", "cliquenet_cifar10")  # stand for the others: their stages are made from one template

NO_OTHER_VALUE = {
    ("scale",),  # it chooses the file itself
    ("gan", "runs", "dcgan_smooth", "objective"),  # the options beside these fit no other name
    ("gan", "runs", "dcgan_horse", "objective"),
    ("classifier", "zoo", "cliquenet_cifar10", "network"),
    ("captioner", "evaluation", "decodings", "beam", "method"),
}


@pytest.fixture(scope="module")
def stages(project: Path) -> list[Any]:
    with Repo(str(project)) as repo:
        return list(repo.index.stages)


def script_of(stage: Any, project: Path) -> Path:
    return project / stage.cmd.split()[1]


REGISTRIES = {
    OBJECTIVES: "gan/common/objective.py",
    NETWORKS: "gan/common/networks.py",
    CONVNETS: "convnets/common/building.py",
}  # each with the module whose import says that a script may load from it


def chosen_files(stage: Any, project: Path) -> set[Path]:
    """The files of objectives and networks that the parameters of a stage name."""
    name, _, run = stage.name.partition("@")
    params, scale = config.read(project)
    if name in ("train_gan", "measure_gradients"):
        section = "gradients" if name == "measure_gradients" else "gan"
        recipe = config.select(params, scale, section, run).recipe
        return {NETWORKS.file(recipe.networks), OBJECTIVES.file(recipe.objective)}
    if name == "train_classifier":
        return {CONVNETS.file(config.select(params, scale, "classifier", run).recipe.network)}
    return set()


def code_problems(stage: Any, project: Path) -> list[str]:
    """What the stage's script imports and dvc.yaml does not list, and the other way round."""
    chosen = chosen_files(stage, project)
    needed = set(code_files(script_of(stage, project), *chosen))
    listed = {
        path
        for path in (
            Path(dep.fs_path) for dep in stage.deps if dep.protocol in ("local", None) and dep.fs_path
        )
        if path.is_relative_to(project / "src") or path.is_relative_to(project / "stages")
    }
    covered = {path: [part for part in needed if part.is_relative_to(path)] for path in listed}
    missing = needed - {part for parts in covered.values() for part in parts}
    problems = [f"{stage.addressing}: add {path.relative_to(project)}" for path in sorted(missing)]
    problems += [
        f"{stage.addressing}: remove {path.relative_to(project)}"
        for path in sorted(listed)
        if not covered[path]
    ]
    for registry in REGISTRIES:  # a whole registry would make every run stale with a new file
        if registry.folder in listed:
            problems.append(f"{stage.addressing}: {registry.folder} as a whole")
    return problems


def test_every_stage_depends_on_the_code_that_it_imports_and_on_no_other(
    stages: list[Any], project: Path
) -> None:
    problems = [problem for stage in stages for problem in code_problems(stage, project)]
    assert not problems, "\n".join(problems)


def test_a_script_that_loads_by_name_lists_what_it_loads(stages: list[Any], project: Path) -> None:
    """Whoever can load from a registry has a rule in `chosen_files`, or a reason why not."""
    exempt = {
        ("evaluate_gan", NETWORKS),  # a model's run key, which lies beside it, digests its code
        ("evaluate_gan", CONVNETS),
        ("evaluate_classifier", CONVNETS),
        ("measure_distances", NETWORKS),  # its critics are its own
    }
    package = project / "src" / "ganscribe"
    for stage in stages:
        name, files = stage.name.partition("@")[0], code_files(script_of(stage, project))
        for registry, module in REGISTRIES.items():
            if package / module not in files or (name, registry) in exempt:
                continue
            static = {path for path in files if path.parent == registry.folder}
            chosen = {path for path in chosen_files(stage, project) if path.parent == registry.folder}
            assert static | chosen, f"{stage.addressing} can load a {registry.kind} and lists none"


def test_a_missing_and_a_superfluous_dependency_are_found(stages: list[Any], project: Path) -> None:
    """Of each kind: a folder, a file of a registry, a script."""
    stage = next(stage for stage in stages if stage.name == "train_gan@wgan")
    kept = list(stage.deps)
    paths = {Path(dep.fs_path).relative_to(project).as_posix(): dep for dep in kept if dep.fs_path}
    try:
        for path in (
            "src/ganscribe/gan/common",
            "src/ganscribe/gan/objectives/wgan.py",
            "src/ganscribe/training",
            "stages/train_gan.py",
        ):
            stage.deps = [dep for dep in kept if dep is not paths[path]]
            assert any(problem.startswith("train_gan@wgan: add") for problem in code_problems(stage, project))
        foreign = next(stage for stage in stages if stage.name == "train_gan@lsgan")
        superfluous = [dep for dep in foreign.deps if str(dep.fs_path).endswith("objectives/lsgan.py")]
        superfluous += [
            dep
            for stage in stages
            if stage.name == "download@mnist"
            for dep in stage.deps
            if str(dep.fs_path).endswith("ganscribe/sources")
        ]
        for dep in superfluous:
            stage.deps = [*kept, dep]
            assert any(
                problem.startswith("train_gan@wgan: remove") for problem in code_problems(stage, project)
            )
        assert len(superfluous) == 2
    finally:
        stage.deps = kept
    assert code_problems(stage, project) == []


def test_the_pipeline_file_reads_on_three_screens_and_names_no_run(project: Path) -> None:
    for name in ("dvc.yaml", "zoo/dvc.yaml", "params.yaml"):
        assert [line for line in (project / name).read_text().splitlines() if len(line) > 120] == [], name
    text = (project / "dvc.yaml").read_text()
    assert len(text.splitlines()) <= 240
    params, _ = config.read(project)
    families = (params.gan.runs, params.classifier.runs, params.captioner.runs)
    for run in [run for runs in families for run in runs]:
        assert not re.search(rf"(runs\.|@|(models|curves|metrics|plots|data)/\w+/){run}\b", text), run


def numbers(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}{key}", value


@pytest.mark.parametrize(
    "name", ["params.yaml", "params/full.yaml", "params/sample.yaml", "params/tiny.yaml"]
)
def test_a_parameter_set_on_the_command_line_changes_its_own_line(
    project: Path, tmp_path: Path, name: str
) -> None:
    """Numbers are changed by the function that DVC calls for -S, which leaves a file in DVC's own form as it is."""
    path = tmp_path / "params.yaml"
    shutil.copy(project / name, path)
    before = path.read_text().splitlines()
    found = dict(numbers(config.read_yaml(path)))
    assert len(found) > 4
    first = next(iter(found))
    for changed in ([first], list(found)):
        path.write_bytes((project / name).read_bytes())
        apply_overrides(path, [f"{key}={found[key] + 1}" for key in changed])
        after = path.read_text().splitlines()
        others = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
        keys = {key.rpartition(".")[2] for key in changed}
        assert 0 < len(others) <= len(changed)
        assert all(keys & set(re.findall(r"\w+", one)) for one, _ in others), "no other line is touched"
        assert [one.partition("#")[1:] for one in before] == [one.partition("#")[1:] for one in after]
    raised = {key: value + 1 for key, value in found.items()}
    assert dict(numbers(config.read_yaml(path))) == pytest.approx(raised)


def test_the_lock_is_short_and_has_no_stage_that_is_gone(stages: list[Any], project: Path) -> None:
    text = (project / "dvc.lock").read_text()
    recorded = set(re.findall(r"^  (\S+):$", text, re.MULTILINE))
    assert len(text.splitlines()) <= 68 * len(recorded)
    assert recorded == {stage.name for stage in stages if not stage.relpath.startswith("zoo")}


def test_what_a_killed_process_leaves_is_nobodys_input(project: Path, tmp_path: Path) -> None:
    """In a folder that a stage depends on, it would make that stage stale; in one of git's, it would be committed."""
    with files.atomic_write(tmp_path / "gan.csv"), files.atomic_folder(tmp_path / "gan"):
        names = [path.name for path in tmp_path.iterdir()]
    assert len(names) == 2
    names.append(tmp_fname())  # as DVC calls what it is just restoring
    with Repo(str(project)) as repo:
        for name in names:
            assert repo.dvcignore.is_ignored_file(str(project / "curves/gan" / name)), name
    paths = [f"curves/gan/{name}" for name in names]
    found = subprocess.run(["git", "check-ignore", *paths], cwd=project, capture_output=True, text=True)
    assert found.stdout.splitlines() == paths


def test_a_plain_repro_leaves_the_zoo_out_unless_it_judges(project: Path) -> None:
    """No stage of dvc.yaml depends on one of zoo/dvc.yaml, whose files, except for models, are under zoo/."""
    with Repo(str(project)) as repo:
        graph = repo.index.graph
        zoo = {stage for stage in graph if stage.relpath.startswith("zoo")}
        for stage in set(graph) - zoo:
            assert not zoo & set(graph.successors(stage)), stage.addressing
        paths = [Path(out.fs_path).relative_to(project).as_posix() for stage in zoo for out in stage.outs]
    assert all(path.startswith(("zoo/", "models/classifiers/")) for path in paths)


def test_the_nine_networks_have_a_recipe_for_each_data_set(project: Path) -> None:
    """A network that is added needs none: `-S` can give it one."""
    params, _ = config.read(project)
    recipes = [*params.classifier.runs.values(), *params.classifier.zoo.values()]
    nine = [
        "alexnet",
        "cliquenet",
        "densenet_bc",
        "googlenet",
        "lenet5",
        "resnet18",
        "resnet20",
        "vgg11",
        "vgg16",
    ]
    needed = set(product(nine, ("mnist", "cifar10")))
    assert not needed - {(recipe.network, recipe.dataset) for recipe in recipes}
    shapes = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
    with torch.device("meta"):
        for recipe in recipes:
            build(recipe.network, num_classes=10, image_shape=shapes[recipe.dataset], **recipe.options)


def leaves(tree: Any, path: Keys = ()) -> Iterator[Keys]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path


def with_value(tree: dict[str, Any], path: Keys, value: Any) -> dict[str, Any]:
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return tree


def other_values(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1]
    if isinstance(value, float):
        return [value * 0.5 or 0.25]
    if isinstance(value, list):
        return [[value[0] + 1]] if value == [7] else [value[1:] + value[:1], ["val"]]
    if isinstance(value, dict):
        return [{"k": 1}]
    if value is None:
        return [7, "elsewhere", [7]]
    return [word for word in WORDS if word != value]


def sections(stage: Any, project: Path) -> list[tuple[str, str | None]]:
    """The `config.load` calls in the stage's script, with the stage's own argument for a name."""
    words = stage.cmd.split()
    found = []
    for node in ast.walk(ast.parse(Path(project / words[1]).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("config.load", "load") and node.args:
            section, *rest = node.args
            assert isinstance(section, ast.Constant)
            name = rest[0].value if rest and isinstance(rest[0], ast.Constant) else None
            found.append((section.value, name if name or not rest else words[2]))
    return found


def tracked(stage: Any) -> set[tuple[str, Keys]]:
    return {
        (Path(dep.fs_path).name, tuple(key.split(".")))
        for dep in stage.deps
        if hasattr(dep, "params")
        for key in dep.params
    }


def dump(tree: dict[str, Any], path: Path) -> None:
    stream = io.StringIO()
    YAML(typ="safe", pure=True).dump(tree, stream)
    path.write_text(stream.getvalue())


def as_plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def loaded(asked: dict[str, list[tuple[str, str | None]]], folder: Path) -> dict[str, list[Any]]:
    """What each stage gets for the sections that it asks for."""
    params, scale = config.read(folder)
    return {
        address: [as_plain(config.select(params, scale, section, name)) for section, name in found]
        for address, found in asked.items()
    }


@pytest.mark.parametrize("file", ["params.yaml", "sample.yaml"])
def test_every_parameter_that_a_stage_reads_is_tracked(
    stages: list[Any], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    (tmp_path / "params").mkdir()
    paths = {"params.yaml": tmp_path / "params.yaml", "sample.yaml": tmp_path / "params" / "sample.yaml"}
    trees = {
        "params.yaml": config.read_yaml(project / "params.yaml"),
        "sample.yaml": config.read_yaml(project / "params" / "sample.yaml"),
    }
    for entry in trees["params.yaml"]["sources"].values():
        entry["folder"] = "somewhere"  # so that `local` is a value that loads
    zoo = trees["params.yaml"]["classifier"]["zoo"]
    trees["params.yaml"]["classifier"]["zoo"] = {name: zoo[name] for name in ZOO}
    whole = copy.deepcopy(trees)
    # Classifiers of each data set that no run needs, so that a run's data set has another value that loads.
    lenet5 = trees["params.yaml"]["classifier"]["runs"]["lenet5"]
    for dataset in ("mnist", "cifar10"):
        trees["params.yaml"]["classifier"]["runs"][f"further_{dataset}"] = lenet5 | {"dataset": dataset}
        trees["params.yaml"]["judges"].append(f"further_{dataset}")
    for scale in ("full", "tiny"):
        dump(config.read_yaml(project / "params" / f"{scale}.yaml"), tmp_path / "params" / f"{scale}.yaml")
    for name, path in paths.items():
        dump(trees[name], path)
    # Reading hundreds of variants back from YAML would take minutes, looking for the registries' files seconds.
    monkeypatch.setattr(Registry, "file", functools.cache(Registry.file))
    monkeypatch.setattr(reading, "read_yaml", lambda path: variant[path.name])
    some = [
        stage
        for stage in stages
        if not stage.relpath.startswith("zoo") or stage.name.partition("@")[2] in ("", *ZOO)
    ]
    asked = {stage.addressing: sections(stage, project) for stage in some}
    keys = {stage.addressing: [key for name, key in tracked(stage) if name == file] for stage in some}
    variant = dict(trees)
    before = loaded(asked, tmp_path)

    problems = []
    for leaf in leaves(whole[file]):
        if leaf in NO_OTHER_VALUE:
            continue
        value = trees[file]
        for key in leaf:
            value = value[key]
        for other in other_values(value):
            variant = trees | {file: with_value(trees[file], leaf, other)}
            try:
                after = loaded(asked, tmp_path)
            except ValueError:
                continue
            break
        else:
            problems.append(f"{file}: {'.'.join(leaf)}: the test has no other valid value for {value!r}")
            continue
        for address in asked:
            follows = any(leaf[: len(key)] == key for key in keys[address])
            if before[address] != after[address] and not follows:
                problems.append(f"{address} reads {file}: {'.'.join(leaf)}, but does not track it")
    assert not problems, "\n".join(problems)
