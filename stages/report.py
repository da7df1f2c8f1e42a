"""Make reports/index.html of everything that the pipeline measured."""

from __future__ import annotations

from pathlib import Path

from _common import stage
from ganscribe import config
from ganscribe.report import render
from ganscribe.runtime import atomic_write


@stage
def main() -> None:
    """Make the report."""
    page = render(Path(), params={"scale": config.load("scale")})
    with atomic_write("reports/index.html") as handle:
        handle.write(page.encode())


if __name__ == "__main__":
    main()
