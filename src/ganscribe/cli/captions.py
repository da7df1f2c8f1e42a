"""`ganscribe caption`: captions of the user's own photographs, and where each word looked."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganscribe.cli.models import find_model
from ganscribe.cli.photographs import Photograph, Unread, figure_paths, find_photographs, read_photograph

if TYPE_CHECKING:
    from ganscribe.serving.photographs import PhotographCaption, PhotographCaptioner

BATCH_SIZE = 16


def _open(model: str) -> PhotographCaptioner:
    """Open the captioner that a run's name, a path or a `models:/` URI stands for.

    The network of its features is the file inception.safetensors beside it, or else the project's own.
    """
    from ganscribe.core.devices import choose_device
    from ganscribe.core.files import project_root
    from ganscribe.core.weights import find_weights
    from ganscribe.serving.photographs import open_captioner

    with tempfile.TemporaryDirectory() as scratch:
        path = find_model("captioner", model, Path(scratch))
        beside = find_weights(path.parent, "inception")
        own = find_weights(project_root() / "data" / "features", "inception")
        inception = beside if beside.is_file() else own
        return open_captioner(path, inception, device=choose_device())


def caption_files(
    captioner: PhotographCaptioner, paths: Sequence[Path], options: dict[str, Any]
) -> Iterator[tuple[Photograph, PhotographCaption] | Unread]:
    """Caption the files in their order, a batch at a time; yield a file that cannot be read as `Unread`."""
    import torch

    from ganscribe.serving.photographs import caption_photographs

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), BATCH_SIZE):
            batch = paths[start : start + BATCH_SIZE]
            read = list(pool.map(read_photograph, batch, [captioner.crop] * len(batch)))
            pixels = [one.pixels for one in read if isinstance(one, Photograph)]
            found = iter(caption_photographs(captioner, torch.stack(pixels), **options) if pixels else [])
            for one in read:
                yield (one, next(found)) if isinstance(one, Photograph) else one


def _doubt(captioner: PhotographCaptioner, paths: Sequence[Path]) -> str:
    """Say why the captions may be wrong; nothing if all pictures are the project's own (in its data/)."""
    from ganscribe.core.files import project_root
    from ganscribe.serving.knowledge import doubt

    data = (project_root() / "data").resolve()
    return "" if all(path.resolve().is_relative_to(data) for path in paths) else doubt(captioner)


def _as_json(
    photograph: Photograph, found: PhotographCaption, captioner: PhotographCaptioner
) -> dict[str, Any]:
    """Return the JSON entry of one photograph.

    `peak`: where a word's map is highest, as (x, y) in pixels of the upright image. `weight`: the share of the word's
    attention that this cell has.
    """
    from ganscribe.features.pictures import peak, seen_box

    box = seen_box(*photograph.size, crop=captioner.crop)
    words = [
        {
            "word": word,
            "peak": [round(place, 1) for place in peak(attention.tolist(), box)],
            "weight": round(float(attention.max()), 4),
        }
        for word, attention in zip(found.words, found.attention, strict=True)
    ]
    width, height = photograph.size
    return {
        "image": str(photograph.path),
        "caption": found.text,
        "log_prob": round(found.log_prob, 4),
        "words": words,
        "width": width,
        "height": height,
        "features": captioner.inception.label,
    }


def _draw(photograph: Photograph, found: PhotographCaption, path: Path, label: str) -> None:
    from ganscribe.drawing.attention import draw_attention

    draw_attention(path, photograph.shown, found.words, found.attention, note=f"features: {label}")


@contextlib.contextmanager
def _reporting(num_files: int) -> Iterator[tuple[Callable[[str, bool], None], Callable[[], Any]]]:
    """Yield `say(text, is_error)` and `advance()`; with many files, a bar on standard error shows the progress."""
    from tqdm import tqdm

    from ganscribe.execution.progress import progress

    def say(text: str, is_error: bool) -> None:
        with tqdm.external_write_mode(file=sys.stderr if is_error else sys.stdout):
            click.echo(text, err=is_error)

    if num_files <= BATCH_SIZE:
        yield say, lambda: None
        return
    with progress(num_files, "captions", "image") as bar:
        yield say, bar.update


def _check(method: str, given: dict[str, Any], attention: Path | None) -> dict[str, Any]:
    """Return the options that were given. Raises ValueError for one that the decoding does not have or cannot use."""
    from ganscribe.config.reading import DECODING_OPTIONS

    options = {name: value for name, value in given.items() if value is not None}
    for other, names in DECODING_OPTIONS.items():
        if other != method and (wrong := [name for name in names if name in options]):
            flag = f"--{wrong[0].replace('_', '-')}"
            raise ValueError(f"{flag} belongs to --decode {other}, not to --decode {method}")
    if not abs(options.get("length_penalty", 0)) <= 10:  # NaN is not; beyond, powers of a length overflow
        raise ValueError(f"--length-penalty {options['length_penalty']} is not a number from -10 to 10")
    if not 1e-6 <= options.get("temperature", 1) < math.inf:  # as in `decoding.sample`
        raise ValueError(f"--temperature {options['temperature']} is not a number from 1e-06 up")
    if attention is not None and attention.exists() and not attention.is_dir():
        raise ValueError(f"--attention {attention} is a file: give a folder")
    return options | {"method": method}


@click.command(epilog="Example: ganscribe caption dog.jpg trip/ --attention figures")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--model",
    default="best",
    show_default=True,
    help="A run of params.yaml, a path to a model.safetensors or to its folder, or a model in MLflow's registry"
    " (models:/ganscribe-captioner-best@candidate).",
)
@click.option(
    "--decode",
    "method",
    type=click.Choice(["beam", "greedy", "sample"]),
    default="beam",
    show_default=True,
    help="How words are chosen.",
)
@click.option("--width", type=click.IntRange(1, 200), help="beam: how many captions are followed. [5]")
@click.option(
    "--length-penalty", type=float, help="beam: divide the log probability by the length to this power. [0.7]"
)
@click.option("--temperature", type=float, help="sample: above 1 is bolder, below 1 is safer. [1]")
@click.option("--top-k", type=click.IntRange(min=0), help="sample: use the K likeliest words; 0: all. [0]")
@click.option("--seed", type=int, help="sample: the same seed gives the same captions. [0]")
@click.option("--max-length", type=click.IntRange(min=1), help="The most words in a caption. [40]")
@click.option(
    "--attention",
    type=click.Path(path_type=Path),
    help="A folder for figures that show where the captioner looked for each word.",
)
@click.option("--json", "is_json", is_flag=True, help="Print a JSON array, with one line per photograph.")
def caption(
    images: tuple[str, ...],
    model: str,
    method: str,
    width: int | None,
    length_penalty: float | None,
    temperature: float | None,
    top_k: int | None,
    seed: int | None,
    max_length: int | None,
    attention: Path | None,
    is_json: bool,
) -> None:
    """Caption photographs.

    IMAGE is a picture in any format that Pillow reads, a folder with its subfolders, or a pattern such as
    'trip/*.jpg'. A picture that cannot be read is named on standard error and left out; the exit status is then 1.
    """
    given = {"width": width, "length_penalty": length_penalty, "temperature": temperature, "top_k": top_k}
    options = _check(method, given | {"seed": seed, "max_length": max_length}, attention)
    if is_json and (files := [name for name in images if name.lower().endswith(".json")]):
        raise ValueError(
            f"--json prints, and takes no file: leave out {files[0]}, and end the command with `> {files[0]}`"
        )
    warnings.filterwarnings("ignore", module=r"PIL\.")  # about files that it can read nevertheless
    paths, unread = find_photographs(images)
    if not paths:
        raise ValueError("; ".join(f"{one.path}: {one.reason}" for one in unread))
    captioner = _open(model)
    if note := _doubt(captioner, paths):
        click.echo(f"Note: {note}", err=True)
    figures = figure_paths(paths, attention) if attention else {}
    separator = "["
    with _reporting(len(paths)) as (say, advance):
        for one in unread:
            say(f"Error: {one.path} is left out: {one.reason}", True)
        for result in caption_files(captioner, paths, options):
            if isinstance(result, Unread):
                unread.append(result)
                say(f"Error: {result.path} is left out: {result.reason}", True)
            else:
                photograph, found = result
                if attention:
                    _draw(photograph, found, figures[photograph.path], captioner.inception.label)
                if is_json:
                    entry = _as_json(photograph, found, captioner)
                    entry |= {"figure": str(figures[photograph.path])} if attention else {}
                    say(f"{separator}\n{json.dumps(entry)}", False)
                    separator = ","
                else:
                    say(f"{click.format_filename(photograph.path)}: {found.text}", False)
            advance()
    if is_json:
        click.echo("[]" if separator == "[" else "]")
    if unread:
        click.get_current_context().exit(1)
