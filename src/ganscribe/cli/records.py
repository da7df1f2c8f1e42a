"""What the records say: `ganscribe runs`, `lineage`, `promote`, and `doctor` for the set-up itself."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import sys

import click

from ganscribe.cli.models import open_store, send_recorded
from ganscribe.execution.messages import hide_secrets


def _pairs(words: tuple[str, ...]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise ValueError(f"--tag {word}: give it as KEY=VALUE, such as --tag dvc.exp_name=longer")
    return dict(word.split("=", 1) for word in words)


def _none(words: tuple[str, ...], **given: str | None) -> str:
    """Return why no run is shown: the conditions may be to blame."""
    chosen = [f"--{name} {value}" for name, value in given.items() if value is not None]
    conditions = " ".join([*chosen, *(f"--tag {word}" for word in words)])
    if conditions:
        return f"no scored run matches {conditions}: `ganscribe runs` lists all that there are"
    return "there is no scored run: train and evaluate with `dvc repro`"


@click.command(epilog="Example: ganscribe runs gan --scale full --tag dvc.exp_name=longer")
@click.argument("family", required=False, type=click.Choice(["gan", "classifier", "captioner", "sync"]))
@click.option(
    "--baseline", help="Compare with this run id, name, pipeline or commit. [the oldest run of each name]"
)
@click.option(
    "--pipeline", help="Show only runs of this pipeline: a DVC experiment's name or repro-<commit>."
)
@click.option("--commit", help="Show only runs of this commit, branch or tag.")
@click.option("--scale", help="Show only runs of this scale.")
@click.option(
    "--tag", "words", multiple=True, metavar="KEY=VALUE", help="Show only runs with this MLflow tag."
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON, with full ids and checksums.")
def runs(
    family: str | None,
    baseline: str | None,
    pipeline: str | None,
    commit: str | None,
    scale: str | None,
    words: tuple[str, ...],
    is_json: bool,
) -> None:
    """Show the scored runs of a family (default: of all), best first.

    Scores by different judges, of different sample counts or on different data are in separate tables. A commit
    with a plus sign had uncommitted changes, which the run keeps as git.diff. `ganscribe runs sync` sends MLflow
    what stages recorded while it could not be reached.
    """
    if family == "sync":
        from ganscribe.records import sender

        click.echo(f"{sender.finish()} recordings sent")
        return
    from ganscribe.records import leaderboard, store
    from ganscribe.records.lineage import origin

    send_recorded()
    client, tags, deleted, named_rows = store.open_reader(), _pairs(words), [], 0
    named = origin.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") if commit else None
    resolved = (named or commit or "").strip()
    chosen = functools.partial(
        leaderboard.matches, pipeline=pipeline, commit=resolved, scale=scale, tags=tags
    )
    tables = []
    for each in [family] if family else list(leaderboard.FAMILIES):
        records = store.read_runs(client, each)
        kept = [record for record in records if not record.is_deleted]
        found = leaderboard.build_tables(kept, each, baseline=baseline, shown=chosen)
        tables += [(each, table) for table in found]
        rows = (row for record in kept for _, row in leaderboard.rows_of(record, leaderboard.FAMILIES[each]))
        named_rows += sum(leaderboard.is_named(row, baseline) for row in rows) if baseline else 0
        gone = [record for record in records if record.is_deleted and not found and chosen(record)]
        deleted += [record for record in gone if leaderboard.rows_of(record, leaderboard.FAMILIES[each])]
    if deleted:
        commands = list(dict.fromkeys(record.restored_by for record in deleted))
        listed = "`, `".join(commands[:3]) + ("`, ..." if len(commands) > 3 else "`")
        text = "1 scored run was" if len(deleted) == 1 else f"{len(deleted)} scored runs were"
        click.echo(f"{text} deleted in MLflow and can be restored: `{listed}", err=True)
    if baseline and tables and not any(row.baseline for _, table in tables for row in table.rows):
        apart = "its scores are by another judge, with other counts or on other data than those of the chosen runs"
        unknown = "no scored run has this id, name, pipeline or commit"
        raise ValueError(f"--baseline {baseline}: {apart if named_rows else unknown}")
    if is_json:
        click.echo(json.dumps([leaderboard.as_json(table, each) for each, table in tables], indent=2))
    elif not tables and not deleted:
        click.echo(_none(words, pipeline=pipeline, commit=commit, scale=scale))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        texts = [leaderboard.as_text(table, each, width) for each, table in tables]
        click.echo("\n\n".join(texts))
        if texts != [leaderboard.as_text(table, each) for each, table in tables]:
            click.echo(
                "\nColumns that do not fit in this terminal are left out; --json prints all.", err=True
            )


@click.command(epilog="Example: ganscribe lineage models/gan/dcgan/generator.safetensors")
@click.argument("subject")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def lineage(subject: str, is_json: bool) -> None:
    """Say where SUBJECT comes from, and which commands bring it back.

    SUBJECT is an MLflow run's id, a file or folder that the pipeline made, or a registered model
    (models:/ganscribe-gan-dcgan@champion, models:/ganscribe-gan-dcgan/1). A model that somebody sent you may lie
    anywhere, together with its run_key.json.
    """
    from ganscribe.records.lineage import artifact

    send_recorded()
    found = artifact.trace(subject)
    text = json.dumps(dataclasses.asdict(found), indent=2) if is_json else artifact.as_text(found)
    click.echo(hide_secrets(text))


@click.command(epilog="Example: ganscribe promote ganscribe-gan-dcgan 3")
@click.argument("model")
@click.argument("version", default="candidate")
@click.option("--force", is_flag=True, help="Promote the version even if it would be refused.")
def promote(model: str, version: str, force: bool) -> None:
    """Make a version of a registered model the champion.

    VERSION is a number or an alias of the registered MODEL, by default the alias candidate. It is refused if it has
    no scores, scores worse than the present champion, was scored by another judge, with other counts or on other
    data, or was only exercised while the champion was not.
    """
    from ganscribe.records import registry

    click.echo(registry.promote(open_store(), model, version, is_forced=force))


@click.command(epilog="Example: ganscribe doctor --online")
@click.option("--online", is_flag=True, help="Also check whether the publishers of the data answer.")
@click.option("--cache", is_flag=True, help="Also read all of DVC's cache and compare it with its checksums.")
def doctor(online: bool, cache: bool) -> None:
    """Check the set-up, and say what to do about each fault. The exit code is 1 if there is one."""
    from ganscribe.cli.doctor import examine

    faults = 0
    for finding in examine(is_online=online, is_thorough=cache):
        remedy = f" -> {finding.remedy}" if finding.remedy else ""
        verdict = "ok   " if finding.is_ok else "FAULT"
        click.echo(hide_secrets(f"{verdict} {finding.topic}: {finding.text}{remedy}"))
        faults += not finding.is_ok
    if faults:
        raise click.exceptions.Exit(1)
