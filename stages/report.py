"""Make reports/index.html of everything that the pipeline measured."""

from __future__ import annotations

from _common import stage

from pathlib import Path

from ganscribe import config
from ganscribe.core.files import atomic_write
from ganscribe.records.lineage.origin import describe_code
from ganscribe.report.page import render


@stage
def main() -> None:
    """Make the report."""
    page = render(Path(), params={"scale": config.load("scale"), "code": describe_code()})
    with atomic_write("reports/index.html") as handle:
        handle.write(page.encode())


if __name__ == "__main__":
    main()
