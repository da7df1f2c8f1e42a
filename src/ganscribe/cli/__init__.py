"""The command line `ganscribe`: what a person asks of the project and of its trained models.

A command imports what it needs when it runs, so that `ganscribe --help` answers at once.
"""

from __future__ import annotations

from typing import Any

import click

from ganscribe import __version__
from ganscribe.cli.captions import caption
from ganscribe.cli.comparing import compare
from ganscribe.cli.demo import demo
from ganscribe.cli.options import options
from ganscribe.cli.records import doctor, lineage, promote, runs
from ganscribe.cli.sampling import sample
from ganscribe.cli.summary import summary
from ganscribe.execution.messages import messages_for_errors


class Commands(click.Group):
    """Commands that end with one message, without a traceback, if their user is at fault."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with messages_for_errors():
            return super().invoke(ctx)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: ganscribe caption dog.jpg",
)
@click.version_option(__version__, prog_name="ganscribe")
def main() -> None:
    """Use what the pipeline has trained. Run all commands in the project's top folder."""


for command in (sample, caption, demo, options, summary, compare, runs, lineage, promote, doctor):
    main.add_command(command)
