"""`ganscribe options`: what a run's block in params.yaml can contain."""

from __future__ import annotations

import click


@click.command(epilog="Example: ganscribe options gan")
@click.argument("family", type=click.Choice(["gan", "classifier", "captioner"]))
def options(family: str) -> None:
    """Print the options that a run of one family has.

    Markdown tables list each option with its default, its meaning and its paper. Below them are the objectives and
    networks that a run can name, each with its own options.
    """
    from ganscribe.config import tables

    click.echo(tables.describe_options(family))
