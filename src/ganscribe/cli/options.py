"""`ganscribe options`: what a run's block in params.yaml can say."""

from __future__ import annotations

import click


@click.command(epilog="Example: ganscribe options gan")
@click.argument("family", type=click.Choice(["gan", "classifier", "captioner"]))
def options(family: str) -> None:
    """Print the options that a run of FAMILY has, with defaults, meanings and papers, as Markdown tables.

    Below them are the objectives and networks that a run can name, each with its own options.
    """
    from ganscribe.config import tables

    click.echo(tables.describe_options(family))
