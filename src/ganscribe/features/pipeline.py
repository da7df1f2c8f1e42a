"""Batches of images through Inception-v3, and their features out again.

On a card nobody waits: one batch is copied in while another is computed and a third is copied out, and the network
is replayed from a CUDA graph, so that the threads that decode have Python to themselves. Elsewhere it is called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ganscribe.features.inception import FEATURE_SHAPE, Inception, compute_features
from ganscribe.features.pictures import SIZE
from ganscribe.training.steps import Step

# What `torch.compile` costs, up to a minute, is back after so many images: on one H200 the network does 7,300 images
# a second without it and 20,800 with it. Where the CPU decodes, the network is not what an extraction waits for.
COMPILE_FROM = 500_000
AHEAD = 2  # batches that may be under way


def _pinned(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, pin_memory=True)


class Pipeline:
    """Features by the network as it is called, one batch after another."""

    def __init__(self, inception: Inception, device: torch.device) -> None:
        self.inception, self.device = inception, device

    def buffer(self, rows: int) -> Tensor:
        """Return room for the features of `rows` images, (rows, 64, 2048) float16 on the CPU."""
        return torch.empty(rows, *FEATURE_SHAPE, dtype=torch.float16)

    def compute(self, images: Sequence[Tensor], out: Tensor) -> None:
        """Write the features of `images`, (3, 299, 299) uint8 each, to `out`, that many rows of a `buffer`.

        They are there once what `mark` returns has been called.
        """
        out.copy_(compute_features(self.inception, torch.stack(list(images)).to(self.device)))

    def mark(self) -> Callable[[], None]:
        """Return a function that waits for all that has been asked for so far."""
        return lambda: None


class CardPipeline(Pipeline):
    """Features by a CUDA graph for batches of `batch_size`; smaller ones are filled up."""

    def __init__(
        self, inception: Inception, device: torch.device, *, batch_size: int, is_compiled: bool
    ) -> None:
        super().__init__(inception, device)
        network = torch.compile(inception.network) if is_compiled else inception.network
        maps = torch.empty(batch_size, *FEATURE_SHAPE, dtype=torch.float16, device=device)

        def step(images: Tensor) -> None:
            maps.copy_(network(images))

        self.maps = maps
        self.step = Step(step, device=device, changed=lambda: ())
        self.copying_in, self.copying_out = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self.under_way: deque[torch.cuda.Event] = deque()

    def buffer(self, rows: int) -> Tensor:
        """As `Pipeline.buffer`, in pinned memory."""
        return _pinned(rows, *FEATURE_SHAPE, dtype=torch.float16)

    @torch.inference_mode()
    def compute(self, images: Sequence[Tensor], out: Tensor) -> None:
        """As `Pipeline.compute`; the images may be on the card already."""
        if len(self.under_way) == AHEAD:
            self.under_way.popleft().synchronize()
        computing = torch.cuda.current_stream(self.device)
        self.step(self._copied_in(images, computing))
        features = self.maps[: len(images)].clone()  # the next replay overwrites `maps`
        self.copying_out.wait_stream(computing)
        with torch.cuda.stream(self.copying_out):
            out.copy_(features, non_blocking=True)
            features.record_stream(self.copying_out)
            self.under_way.append(torch.cuda.Event())
            self.under_way[-1].record()

    def _copied_in(self, images: Sequence[Tensor], computing: torch.cuda.Stream) -> Tensor:
        """Return a whole batch on the card, the images first."""
        shape = (len(self.maps), 3, SIZE, SIZE)
        if images[0].device.type == "cuda":
            batch = torch.zeros(shape, dtype=torch.uint8, device=self.device)
            torch.stack(list(images), out=batch[: len(images)])
            return batch
        pinned = _pinned(*shape, dtype=torch.uint8)
        torch.stack(list(images), out=pinned[: len(images)])
        with torch.cuda.stream(self.copying_in):
            batch = pinned.to(self.device, non_blocking=True)
        computing.wait_stream(self.copying_in)
        batch.record_stream(computing)
        return batch

    def mark(self) -> Callable[[], None]:
        """As `Pipeline.mark`."""
        event = torch.cuda.Event()
        event.record(self.copying_out)
        return event.synchronize


def open_pipeline(
    inception: Inception, device: torch.device, *, batch_size: int, is_compiled: bool
) -> Pipeline:
    """Return the pipeline of `device`; `is_compiled` counts on a card."""
    if device.type == "cuda":
        return CardPipeline(inception, device, batch_size=batch_size, is_compiled=is_compiled)
    return Pipeline(inception, device)
