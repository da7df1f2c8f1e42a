"""Files that would run code: the source has no call that lets them, and whatever reads a user's file refuses them."""

from __future__ import annotations

import ast
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ganscribe import config
from ganscribe.captioning.inference import load_captioner
from ganscribe.convnets import load_classifier
from ganscribe.core.files import load_torch
from ganscribe.features.inception import load_inception, read_inception
from ganscribe.gan.common.sampling import load_generator
from ganscribe.metrics.gan.images import inception_extractor
from ganscribe.serving import models as serving_models
from ganscribe.serving.photographs import open_captioner
from ganscribe.sources.formats import read_cifar_batch, read_cifar_classes
from ganscribe.sources.inspection import inspect_fid_weights, inspect_weights

# What runs or may run code that a file holds, and the argument that makes it safe (None: nothing does).
# formats.py's own unpickler, which admits arrays alone, is a class: no call of these.
UNSAFE: dict[str, tuple[str, object] | None] = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "YAML": ("typ", "safe"),
    "ruamel.yaml.YAML": ("typ", "safe"),
}
for module, names in {
    "pickle": ("load", "loads", "Unpickler"),
    "marshal": ("load", "loads"),
    "yaml": ("load", "load_all", "full_load", "unsafe_load"),
    "pd": ("read_pickle",),
    "pandas": ("read_pickle",),
    "torch": ("jit.load", "hub.load", "package.PackageImporter"),
    "joblib": ("load",),
    "dill": ("load", "loads"),
    "cloudpickle": ("load", "loads"),
    "shelve": ("open",),
    "os": ("system",),
    "mlflow": ("pyfunc.load_model",),
}.items():
    UNSAFE |= {f"{module}.{name}": None for name in names}
UNSAFE |= {"eval": None, "exec": None}


def unsafe_calls(source: str) -> list[str]:
    """The calls in a Python source that are in `UNSAFE` without the argument that makes them safe."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name not in UNSAFE:
            continue
        given = {each.arg: each.value for each in node.keywords}
        safe = UNSAFE[name]
        argument = given.get(safe[0]) if safe else None
        if not (safe and isinstance(argument, ast.Constant) and argument.value == safe[1]):
            found.append(f"{name}, line {node.lineno}")
    return found


def test_the_source_loads_nothing_that_could_run_code(project: Path) -> None:
    files = [path for part in ("src", "stages") for path in (project / part).rglob("*.py")]
    calls = {path.name: unsafe_calls(path.read_text(encoding="utf-8")) for path in files}
    assert len(files) > 100
    assert {name: found for name, found in calls.items() if found} == {}


@pytest.mark.parametrize(
    "call",
    [
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "torch.load(p, weights_only=flag)",
        "pickle.load(f)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(f)",
        "YAML(typ='unsafe')",
        "joblib.load(p)",
    ],
)
def test_the_walk_sees_what_it_is_for(call: str) -> None:
    assert unsafe_calls(f"def f():\n    return {call}\n")
    assert not unsafe_calls("torch.load(p, weights_only=True); YAML(typ='safe', pure=True)")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.flag),)


def as_zip(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def as_old_torch(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


DOORS: dict[str, Callable[[Path], object]] = {
    "judge": load_classifier,
    "generator": load_generator,
    "captioner": load_captioner,
    "captioner for photographs": lambda path: open_captioner(path, path),
    "served model": serving_models.kind_of,
    "Inception for features": load_inception,
    "kept Inception": lambda path: read_inception(path, device=torch.device("cpu")),
    "Inception as source": inspect_weights,
    "FID Inception as source": inspect_fid_weights,
    "Inception for FID": inception_extractor,
    "training state": load_torch,
    "CIFAR-10's batch": read_cifar_batch,
    "CIFAR-10's names": read_cifar_classes,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("door", sorted(DOORS))
def test_a_booby_trapped_file_is_refused_by_name(tmp_path: Path, door: str) -> None:
    path, flag = tmp_path / "trap.pt", tmp_path / "sprung"
    trapped = {"state_dict": Trap(flag), "data": Trap(flag), "noise_dim": 3}
    pickled = [pickle.dumps(trapped, protocol) for protocol in range(6)]
    for content in (as_zip(trapped), as_old_torch(trapped), *pickled):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"trap\.pt"):
            DOORS[door](path)
        assert not flag.exists()
    torch.load(io.BytesIO(as_zip(trapped["data"])), weights_only=False)
    assert flag.exists(), "the trap is one"


@pytest.mark.parametrize("door", sorted(DOORS))
def test_any_other_file_is_refused_by_name(tmp_path: Path, door: str) -> None:
    path = tmp_path / "other.pt"
    for content in (b"", b"text", bytes(range(256)), as_zip([1]), as_zip({"a": 1}), as_zip(torch.zeros(3))):
        if DOORS[door] is load_torch and content.startswith(b"PK"):
            continue  # it takes any plain value
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"other\.pt"):
            DOORS[door](path)


def test_a_file_of_tensors_that_unpacks_to_more_than_it_is_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(io.BytesIO(as_zip({"a": torch.zeros(1_000_000)}))) as whole,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    assert path.stat().st_size < 10_000
    assert torch.load(path, weights_only=True)["a"].shape == (1_000_000,), "torch itself would unpack it"
    with pytest.raises(ValueError, match=r"bomb\.pt .*unpacks to more than it is long"):
        load_torch(path)


@pytest.mark.parametrize(
    "line",
    [
        "a: !!python/object/apply:os.mkdir ['FLAG']",
        "a: !!python/object/new:os.mkdir {args: ['FLAG']}",
        "a: !!python/name:os.mkdir",
        "a: !!python/module:antigravity",
        "!!python/tuple [1, 2]",
        "a: !unknown 3",
    ],
)
def test_yaml_tags_are_refused_by_name(project: Path, tmp_path: Path, line: str) -> None:
    flag = tmp_path / "sprung"
    (tmp_path / "params.yaml").write_text(line.replace("FLAG", str(flag)) + "\n")
    with pytest.raises(ValueError, match=r"params\.yaml is not valid YAML: .*tag"):
        config.read(tmp_path)
    assert not flag.exists()
