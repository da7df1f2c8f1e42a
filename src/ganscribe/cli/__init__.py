"""The command line `ganscribe`: what a person asks of the trained models, a module a command.

A command imports what it needs when it runs, so that `ganscribe --help` answers at once.
"""

from __future__ import annotations

import click

from ganscribe import __version__
from ganscribe.cli.captions import caption
from ganscribe.cli.demo import demo
from ganscribe.cli.records import doctor, lineage, promote, runs
from ganscribe.cli.sampling import sample


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ganscribe")
def main() -> None:
    """Use what the pipeline has trained. Run it in the project's top folder."""


for command in (sample, caption, demo, runs, lineage, promote, doctor):
    main.add_command(command)
