"""A local web page on top of the trained models: drop a photograph, move through a generator's noise."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ganscribe.core.devices import choose_device
from ganscribe.drawing.attention import as_seen, draw_attention
from ganscribe.drawing.plots import save_grid
from ganscribe.features.pictures import as_input, open_image
from ganscribe.gan.common.sampling import load_generator
from ganscribe.serving.photographs import caption_photographs, open_captioner

if TYPE_CHECKING:
    import gradio

COLUMNS = ROWS = 6
MAX_FILE_SIZE = "25mb"


class Models:
    """The models of the page, by run: captioners (with the network of their features) and generators."""

    def __init__(
        self, captioners: Mapping[str, Path], generators: Mapping[str, Path], *, inception: Path
    ) -> None:
        self.captioners = captioners
        self.generators = generators
        self.inception = inception
        self._captioner = functools.lru_cache(2)(
            lambda name: open_captioner(captioners[name], inception, device=choose_device())
        )
        self._generator = functools.lru_cache(8)(lambda name: load_generator(generators[name]))

    def caption(self, name: str, photograph: str | Path) -> tuple[str, Image.Image]:
        """The caption of a picture file by the captioner `name`, and its attention figure."""
        captioner = self._captioner(name)
        image = open_image(photograph)
        pixels = as_input(image, crop=captioner.crop)
        (found,) = caption_photographs(captioner, pixels[None])
        note = f"features: {captioner.inception.label}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "attention.png")
            draw_attention(path, as_seen(image, crop=captioner.crop), found.words, found.attention, note=note)
            with Image.open(path) as figure:
                return found.text, figure.convert("RGB")

    def walk(self, name: str, seed: int, position: float) -> Image.Image:
        """A grid of the generator `name`, `position` (0 to 1) of the way from the noise of one seed to the
        next one's. Every image goes its own straight way."""
        saved = self._generator(name)
        images = saved.between(ROWS * COLUMNS, seed=int(seed), position=position)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "grid.png")
            save_grid(images, path, columns=COLUMNS)
            with Image.open(path) as grid:
                return grid.convert("RGB")


def build_page(models: Models) -> gradio.Blocks:
    """The page. What is wrong with a picture is told on the page."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio

    def caption(name: str, photograph: str | None) -> tuple[str, Any]:
        if photograph is None:
            return "", None
        try:
            return models.caption(name, photograph)
        except (ValueError, OSError) as error:
            raise gradio.Error(str(error), print_exception=False) from error

    shown: dict[str, Any] = {"interactive": False, "format": "png", "buttons": ["download", "fullscreen"]}
    with gradio.Blocks(title="ganscribe", analytics_enabled=False) as page:
        gradio.Markdown("# ganscribe\nThe models of this folder, as they were trained here.")
        if models.captioners:
            with gradio.Tab("Caption a photograph"):
                names = list(models.captioners)
                run = gradio.Dropdown(names, value=names[0], label="captioner")
                photograph = gradio.Image(
                    type="filepath",
                    image_mode=None,  # as it comes: gradio would decode it, whatever it is, before we look
                    sources=["upload", "clipboard"],
                    label="photograph",
                )
                text = gradio.Textbox(label="caption", elem_id="caption")
                figure = gradio.Image(label="where each word looks", elem_id="attention", **shown)
                for each in (photograph, run):
                    each.change(caption, [run, photograph], [text, figure], api_visibility="private")
        if models.generators:
            with gradio.Tab("Move through a generator's noise"):
                names = list(models.generators)
                run = gradio.Dropdown(names, value=names[0], label="generator")
                with gradio.Row():
                    seed = gradio.Slider(0, 1000, value=0, step=1, label="seed")
                    position = gradio.Slider(
                        0, 1, value=0, step=0.02, label="on the way to the next seed", elem_id="position"
                    )
                grid = gradio.Image(label="samples", elem_id="samples", height=560, **shown)
                inputs = [run, seed, position]
                for change in (run.change, seed.release, position.change):
                    change(models.walk, inputs, grid, show_progress="hidden", api_visibility="private")
                page.load(models.walk, inputs, grid, api_visibility="private")
    return page


def serve(models: Models, *, host: str, port: int, opens_browser: bool) -> None:
    """Show the page until it is interrupted."""
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
