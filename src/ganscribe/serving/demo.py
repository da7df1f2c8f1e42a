"""A local web page that captions photographs, and moves through a generator's noise."""

from __future__ import annotations

import functools
import os
import tempfile
from abc import ABCMeta
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ganscribe.core.devices import choose_device
from ganscribe.drawing.attention import as_seen, draw_attention
from ganscribe.drawing.plots import save_grid
from ganscribe.features.pictures import as_input
from ganscribe.gan.common.sampling import SavedGenerator, load_generator
from ganscribe.serving.knowledge import doubt
from ganscribe.serving.photographs import caption_photographs, open_captioner
from ganscribe.serving.pictures import open_picture

if TYPE_CHECKING:
    import gradio

COLUMNS = ROWS = 6
MAX_FILE_SIZE = "25mb"
# The options of a picture that the page makes.
SHOWN: dict[str, Any] = {"interactive": False, "format": "png", "buttons": ["download", "fullscreen"]}


def _open_generator(path: Path) -> SavedGenerator:
    saved = load_generator(path)
    saved.network.to(choose_device())
    return saved


class Models:
    """The models of the page, by run: captioners (with the network of their features) and generators.

    The page opens on the first of each. `labels` gives the label of each model by its file, and `examples` are
    pictures to click on.
    """

    def __init__(
        self,
        captioners: Mapping[str, Path],
        generators: Mapping[str, Path],
        *,
        inception: Path,
        labels: Mapping[Path, str] | None = None,
        examples: Sequence[Path] = (),
    ) -> None:
        self.captioners = captioners
        self.generators = generators
        self.inception = inception
        self.labels = labels or {}
        self.examples = examples
        self._captioner = functools.lru_cache(2)(
            lambda name: open_captioner(captioners[name], inception, device=choose_device())
        )
        self._generator = functools.lru_cache(8)(lambda name: _open_generator(generators[name]))

    def choices(self, models: Mapping[str, Path]) -> list[tuple[str, str]]:
        """Return the label of each model, and its run."""
        return [(self.labels.get(path, name), name) for name, path in models.items()]

    def note(self, name: str) -> str:
        """Return a note on why the captions of the captioner `name` may be wrong, or why it cannot be opened.

        It is empty if there is nothing to say.
        """
        try:
            said = doubt(self._captioner(name))
        except (ValueError, OSError) as error:
            said = str(error)
        return f"**Note:** {said}." if said else ""

    def caption(self, name: str, photograph: str | Path) -> tuple[str, Image.Image]:
        """Return the captioner `name`'s caption of a picture file, and its attention figure."""
        image = open_picture(photograph)
        captioner = self._captioner(name)
        pixels = as_input(image, crop=captioner.crop)
        (found,) = caption_photographs(captioner, pixels[None])
        note = f"features: {captioner.inception.label}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "attention.png")
            draw_attention(path, as_seen(image, crop=captioner.crop), found.words, found.attention, note=note)
            with Image.open(path) as figure:
                return found.text, figure.convert("RGB")

    def walk(self, name: str, seed: int, position: float) -> Image.Image:
        """Return a grid of images by the generator `name`.

        `position` says how far (0 to 1) the noise is on a straight line from that of `seed` to that of the next seed.
        """
        saved = self._generator(name)
        images = saved.between(ROWS * COLUMNS, seed=int(seed), position=position)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "grid.png")
            save_grid(images, path, columns=COLUMNS)
            with Image.open(path) as grid:
                return grid.convert("RGB")


def build_page(models: Models) -> gradio.Blocks:
    """Return the page. If something is wrong with a picture, the page says so."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    day = 24 * 60 * 60  # uploaded photographs are deleted after a day, and when the page ends
    with gradio.Blocks(title="ganscribe", analytics_enabled=False, delete_cache=(day, day)) as page:
        gradio.Markdown("# ganscribe\nThese are the models of this folder. The best come first.")
        if models.captioners:
            with gradio.Tab("Caption a photograph"):
                _add_captions(page, models)
        if models.generators:
            with gradio.Tab("Move through a generator's noise"):
                _add_walk(page, models)
    return page


def _upload() -> type[gradio.Image]:
    """Return a `gradio.Image` that hands on the path of the uploaded file, whatever kind of file it is.

    gradio's own opens the file, converts it and words its own errors. It also makes a new component of the same class
    whenever a visitor's component changes, so a changed instance would be lost after the first picture.
    """
    import gradio

    # gradio's metaclass would write a .pyi file beside this one
    own = {"preprocess": lambda self, payload: payload and payload.path}
    return ABCMeta.__new__(type(gradio.Image), "Image", (gradio.Image,), own)


def _add_captions(page: gradio.Blocks, models: Models) -> None:
    import gradio

    def caption(name: str, photograph: str | None) -> tuple[Any, ...]:
        """Return the caption, its figure, what is wrong with the picture, and the picture to show."""
        if photograph is None:
            return "", None, gradio.skip(), gradio.skip()
        try:
            return *models.caption(name, photograph), "", gradio.skip()
        except (ValueError, OSError) as error:
            return "", None, f"**This file has no caption:** {error}.", None

    choices = models.choices(models.captioners)
    run = gradio.Dropdown(choices, value=choices[0][1], label="captioner", info="A higher CIDEr is better.")
    note = gradio.Markdown(elem_id="note")
    with gradio.Row():
        with gradio.Column(scale=1):
            photograph = _upload()(
                type="filepath", sources=["upload", "clipboard"], label="photograph", height=300
            )
            problem = gradio.Markdown(elem_id="problem")
            if models.examples:
                label = "pictures of the test set: click on one"
                gradio.Examples([str(path) for path in models.examples], photograph, label=label)
        with gradio.Column(scale=2):
            text = gradio.Textbox(label="caption", elem_id="caption")
            gradio.Markdown("Bright places are where the captioner looked for a word.")
            figure = gradio.Image(show_label=False, elem_id="attention", **SHOWN)
    outputs = [text, figure, problem, photograph]
    for each in (photograph, run):
        each.change(caption, [run, photograph], outputs, api_visibility="private")
    for begin in (run.change, page.load):
        begin(models.note, run, note, show_progress="hidden", api_visibility="private")


def _add_walk(page: gradio.Blocks, models: Models) -> None:
    import gradio

    def walk(name: str, seed: int, position: float) -> Image.Image:
        try:
            return models.walk(name, seed, position)
        except (ValueError, OSError) as error:
            raise gradio.Error(str(error), print_exception=False) from error

    choices = models.choices(models.generators)
    run = gradio.Dropdown(choices, value=choices[0][1], label="generator", info="A lower FID is better.")
    with gradio.Row():
        seed = gradio.Slider(0, 1000, value=0, step=1, label="seed")
        position = gradio.Slider(
            0, 1, value=0, step=0.02, label="how far on the way to the next seed", elem_id="position"
        )
    grid = gradio.Image(label="samples", elem_id="samples", height=560, **SHOWN)
    inputs = [run, seed, position]
    for change in (run.change, seed.release, position.change):
        change(walk, inputs, grid, show_progress="hidden", api_visibility="private")
    page.load(walk, inputs, grid, api_visibility="private")


def serve(models: Models, *, host: str, port: int, opens_browser: bool) -> None:
    """Serve the page until it is interrupted."""
    build_page(models).launch(
        server_name=host,
        server_port=port,
        inbrowser=opens_browser,
        share=False,
        quiet=True,
        max_file_size=MAX_FILE_SIZE,
        footer_links=[],
        ssr_mode=False,
    )
