"""Is everything set up? One finding a line: what is well, what is not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from ganscribe import config
from ganscribe.cli.doctor.findings import Finding, fault, ok
from ganscribe.cli.doctor.machine import check_device, check_java, check_versions
from ganscribe.cli.doctor.records import check_cache, check_dvc, check_git, check_mlflow
from ganscribe.cli.doctor.sources import check_disk, check_source
from ganscribe.core.files import project_root

SOURCES = ("mnist", "cifar10", "coco", "inception", "fid_inception")


def examine(*, is_online: bool = False, is_thorough: bool = False) -> Iterator[Finding]:
    """Every finding, as it is made; a part that is missing or broken is a fault and stops nothing."""
    yield from check_versions()
    yield from check_device()
    try:
        params, scale = config.read(project_root())
    except (ValueError, OSError) as error:
        remedy = "repair it; what depends on it is not checked"
        yield fault("parameters", "; ".join(str(error).splitlines()), remedy)
    else:
        yield ok("parameters", f"params.yaml and params/{params.scale}.yaml are valid, scale {params.scale}")
        for name in SOURCES:
            yield from check_source(params, scale, name, is_online=is_online)
        yield from check_disk(params, scale)
    yield from check_java()
    yield from check_mlflow()
    yield from check_git()
    yield from check_dvc()
    if is_thorough:
        yield from check_cache()
