"""`ganscribe options`: what a run's block in params.yaml can say."""

from __future__ import annotations

import click


@click.command(epilog="Example: ganscribe options gan")
@click.argument("family", type=click.Choice(["gan", "classifier", "captioner"]))
def options(family: str) -> None:
    """Print the options of a run of FAMILY: defaults, meanings, papers, as Markdown tables.

    Below them stand the objectives and networks that a run can name, each with the options of its own.
    """
    from ganscribe.config import tables

    click.echo(tables.describe_options(family))
