"""The checks of the set-up: each finding says what is well or what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from ganscribe import config
from ganscribe.cli.doctor.findings import Finding, fault, ok
from ganscribe.cli.doctor.machine import check_device, check_java, check_settings, check_versions
from ganscribe.cli.doctor.records import check_cache, check_dvc, check_git, check_mlflow
from ganscribe.cli.doctor.sources import check_disk, check_source
from ganscribe.core.files import project_root
from ganscribe.execution.messages import one_line

SOURCES = ("mnist", "cifar10", "coco", "inception", "fid_inception")


def examine(*, is_online: bool = False, is_thorough: bool = False) -> Iterator[Finding]:
    """Yield every finding as it is made. A part that is missing or broken is a fault, and stops no other check."""
    yield from _whole("versions", check_versions())
    yield from _whole("settings", check_settings())
    yield from _whole("device", check_device())
    yield from _whole("parameters", _check_parameters(is_online=is_online))
    yield from _whole("java", check_java())
    yield from _whole("mlflow store", check_mlflow())
    yield from _whole("git", check_git())
    yield from _whole("dvc pipeline", check_dvc())
    if is_thorough:
        yield from _whole("dvc cache", check_cache())


def _whole(topic: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings of one check; an exception becomes a fault, so that the other checks still run."""
    try:
        yield from findings
    except Exception as error:  # noqa: BLE001 (whatever it is, it is reported, and the other checks go on)
        remedy = "fix it; the rest of this check was left out"
        yield fault(topic, f"{type(error).__name__}: {one_line(error)}", remedy)


def _check_parameters(*, is_online: bool) -> Iterator[Finding]:
    """Check the parameters, and what they name."""
    try:
        params, scale = config.read(project_root())
    except (ValueError, OSError) as error:
        remedy = "fix it; sources and disk are not checked until then"
        yield fault("parameters", "; ".join(str(error).splitlines()), remedy)
        return
    yield ok("parameters", f"params.yaml and params/{params.scale}.yaml are valid, scale {params.scale}")
    for name in SOURCES:
        yield from _whole(name, check_source(params, scale, name, is_online=is_online))
    yield from _whole("disk", check_disk(params, scale))
