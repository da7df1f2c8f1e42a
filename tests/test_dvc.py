"""dvc.yaml against the code: a change of code or parameters re-runs every stage that it can change."""

from __future__ import annotations

import ast
import copy
import io
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from dvc.repo import Repo
from ruamel.yaml import YAML

from ganscribe import config
from ganscribe.convnets import CONVNETS, build
from ganscribe.records.lineage.run_key import code_files

Keys = tuple[str, ...]

# Any of these may stand in for a string of params.yaml; the first that the checks accept is taken.
WORDS = (
    "fp32",
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
    "step",
    "beam",
    "other",
    "adam",
    "cosine",
)

ZOO = ("alexnet", "cliquenet_cifar10")  # stand for the others: their stages are made from one template

NO_OTHER_VALUE = {
    ("scale",),
    ("captioner", "runs", "tutorial", "optimiser"),
    ("captioner", "runs", "best", "optimiser"),
}  # the first chooses the file itself


@pytest.fixture(scope="module")
def stages(project: Path) -> list[Any]:
    with Repo(str(project)) as repo:
        return list(repo.index.stages)


def script_of(stage: Any, project: Path) -> Path:
    return project / stage.cmd.split()[1]


def test_every_stage_depends_on_the_code_that_it_imports_and_on_no_other(
    stages: list[Any], project: Path
) -> None:
    problems = []
    for stage in stages:
        needed = {path.relative_to(project).as_posix() for path in code_files(script_of(stage, project))}
        listed = {
            Path(dep.fs_path).relative_to(project).as_posix()
            for dep in stage.deps
            if dep.protocol in ("local", None) and dep.fs_path and Path(dep.fs_path).suffix == ".py"
        }
        problems += [f"{stage.addressing}: add {path}" for path in sorted(needed - listed)]
        problems += [f"{stage.addressing}: remove {path}" for path in sorted(listed - needed)]
    assert not problems, "\n".join(problems)


def test_a_plain_repro_leaves_the_zoo_out_unless_it_judges(project: Path) -> None:
    """No stage of dvc.yaml hangs on one of zoo/dvc.yaml, whose files but for the models lie under zoo/."""
    with Repo(str(project)) as repo:
        graph = repo.index.graph
        zoo = {stage for stage in graph if stage.relpath.startswith("zoo")}
        for stage in set(graph) - zoo:
            assert not zoo & set(graph.successors(stage)), stage.addressing
        paths = [Path(out.fs_path).relative_to(project).as_posix() for stage in zoo for out in stage.outs]
    assert all(path.startswith(("zoo/", "models/classifiers/")) for path in paths)


def test_every_network_has_a_recipe_for_each_data_set(project: Path) -> None:
    params, _ = config.read(project)
    recipes = [*params.classifier.runs.values(), *params.classifier.zoo.values()]
    assert {(recipe.network, recipe.dataset) for recipe in recipes} == set(
        product(CONVNETS, ("mnist", "cifar10"))
    )
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
        return [value[1:] + value[:1], ["val"]] if value != ["val"] else [["train"]]
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


def loaded(stages: list[Any], project: Path, folder: Path) -> dict[str, Any]:
    params, scale = config.read(folder)
    return {
        stage.addressing: [
            as_plain(config.select(params, scale, section, name))
            for section, name in sections(stage, project)
        ]
        for stage in stages
        if not stage.relpath.startswith("zoo") or stage.name.partition("@")[2] in ("", *ZOO)
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
    # Further classifiers, so that a run's data set and the judge have another value that loads.
    lenet5 = trees["params.yaml"]["classifier"]["runs"]["lenet5"]
    for dataset in ("mnist", "cifar10"):
        for network in ("lenet5", "resnet20", "other"):
            run = f"further_{network}_{dataset}"
            trees["params.yaml"]["classifier"]["runs"][run] = lenet5 | {
                "dataset": dataset,
                "network": network,
            }
            trees["sample.yaml"]["max_updates"]["classifier"][run] = 10
    for name, path in paths.items():
        dump(trees[name], path)
    # Reading hundreds of variants back from YAML would take minutes.
    monkeypatch.setattr(config, "read_yaml", lambda path: variant[path.name])
    variant = dict(trees)
    before = loaded(stages, project, tmp_path)

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
                after = loaded(stages, project, tmp_path)
            except ValueError:
                continue
            break
        else:
            problems.append(f"{file}: {'.'.join(leaf)}: the test has no other valid value for {value!r}")
            continue
        for stage in (stage for stage in stages if stage.addressing in before):
            follows = any(name == file and leaf[: len(key)] == key for name, key in tracked(stage))
            if before[stage.addressing] != after[stage.addressing] and not follows:
                problems.append(f"{stage.addressing} reads {file}: {'.'.join(leaf)}, but does not track it")
    assert not problems, "\n".join(problems)


def test_every_run_has_its_curves_in_the_plots(project: Path) -> None:
    plots = (project / "dvc.yaml").read_text().split("\nplots:\n")[1]
    params = config.read_yaml(project / "params.yaml")
    for family, curves in (
        ("gan", "curves/gan"),
        ("classifier", "curves/classifiers"),
        ("captioner", "curves/captioner"),
    ):
        for run in params[family]["runs"]:
            assert f"{curves}/{run}.csv" in plots


def test_the_plots_of_the_whole_project_name_files_in_git_only(project: Path) -> None:
    """DVC 3.67 opens them after `dvc exp run`, and fails in a clone whose cache lacks them."""
    tree = config.read_yaml(project / "dvc.yaml")
    named = [path for plot in tree["plots"] for entry in plot.values() for path in entry["y"]]
    assert named
    for path in named:
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=project).returncode == 1, path
