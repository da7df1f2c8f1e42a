"""`ganscribe demo`: a web page on top of the trained models."""

from __future__ import annotations

import importlib.util

import click


@click.command(epilog="Example: ganscribe demo --port 8000")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 opens it to the whole network.")
@click.option(
    "--port", default=7860, show_default=True, type=click.IntRange(1, 65535), help="The port of the page."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in your browser.")
def demo(host: str, port: int, browser: bool) -> None:
    """Open a web page that shows the models of this folder.

    It captions photographs and moves through a generator's noise. Only this machine can open it, unless --host says
    otherwise.
    """
    from ganscribe.core.files import project_root
    from ganscribe.serving.choices import example_pictures, rank_models

    root = project_root()
    captioners, generators = rank_models(root, "captioner"), rank_models(root, "gan")
    if not captioners and not generators:
        raise FileNotFoundError(
            f"{root / 'models'} holds no captioner and no generator: `dvc repro` trains them,"
            " `dvc pull dvc.yaml` fetches them"
        )
    if importlib.util.find_spec("gradio") is None:  # imported late, once its analytics are off
        raise ValueError('the page needs gradio: pip install "ganscribe[demo]"')
    from ganscribe.serving.demo import Models, serve

    models = Models(
        {run: choice.path for run, choice in captioners.items()},
        {run: choice.path for run, choice in generators.items()},
        inception=root / "data" / "features" / "inception.safetensors",
        labels={choice.path: choice.label for choice in (*captioners.values(), *generators.values())},
        examples=example_pictures(root),
    )
    click.echo(f"http://{host}:{port} (Ctrl+C ends it)")
    try:
        serve(models, host=host, port=port, opens_browser=browser)
    except OSError as error:  # gradio names options that only its own callers have
        raise OSError(
            f"no page can be opened at {host}:{port}: give another --port, in case this one is taken,"
            " or another --host, in case it is not this machine's"
        ) from error
