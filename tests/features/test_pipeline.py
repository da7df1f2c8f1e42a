"""The pipeline of a card without a card: its own code, on streams and a graph made of the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import recorded
import streams
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features.extraction import Extraction, extract_features, plan_extraction
from ganscribe.features.inception import Inception
from ganscribe.features.pipeline import AHEAD, CardPipeline, Pipeline, open_pipeline

CPU = torch.device("cpu")


class Cells(nn.Module):
    """Mean brightness of 8 x 8 cells, times a row of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(2048, generator=torch.Generator().manual_seed(0)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        cells = nn.functional.adaptive_avg_pool2d(images.float().mean(1, keepdim=True), 8) / 255
        return cells.flatten(1)[:, :, None] * self.weight


INCEPTION = Inception(Cells(), "cells", "0" * 64)  # type: ignore[arg-type]


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[CardPipeline]:
    """A pipeline for batches of three."""
    with streams.available(monkeypatch) as device:
        yield CardPipeline(INCEPTION, device, batch_size=3, is_compiled=False)


@pytest.mark.parametrize("place", [CPU, streams.DEVICE], ids=["host", "card"])
def test_each_batch_has_its_own_features(card: CardPipeline, place: torch.device) -> None:
    """Whole and smaller batches fill the rows that they were given, and none overtakes another on the card."""
    images = torch.randint(0, 256, (17, 3, 299, 299), dtype=torch.uint8)
    out, expected = card.buffer(17), Pipeline(INCEPTION, CPU).buffer(17)
    most = 0
    for start, end in ((0, 3), (3, 4), (4, 7), (7, 9), (9, 11), (11, 14), (14, 17)):
        card.compute(list(images[start:end].to(place)), out[start:end])
        Pipeline(INCEPTION, CPU).compute(list(images[start:end]), expected[start:end])
        most = max(most, len(streams.late))
    card.mark()()
    assert torch.equal(out, expected) and len(out.unique()) > 1000
    assert streams.hazards == []
    assert most == AHEAD, "so many batches may be under way"
    assert recorded.Graph.recorded == 1, "smaller batches are filled up: one graph does for all"


@pytest.mark.parametrize(
    ("owner", "name"),
    [(streams.Stream, "wait_stream"), (streams.OnCard, "record_stream"), (torch.Tensor, "clone")],
)
def test_what_is_missing_is_seen(
    card: CardPipeline, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    monkeypatch.setattr(owner, name, lambda self, *stream: self)
    for _ in range(2):
        card.compute([torch.zeros(3, 299, 299, dtype=torch.uint8)], card.buffer(1))
    assert streams.hazards


def test_an_extraction_is_the_cpu_s(
    card: CardPipeline, folder: Path, files: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    files[4] = ImageFile(40, "4.jpg", None, None, "HTTP 404")

    def extract(name: str) -> Path:
        working = folder.parent / f"{name}-working"
        working.mkdir()
        plan: Extraction = plan_extraction(
            files, folder=folder, inception=INCEPTION, precision="fp32", crop="none", batch_size=3,
            images_per_shard=4, working=working,
        )  # fmt: skip
        out = folder.parent / name
        extract_features(plan, inception=INCEPTION, device=CPU, max_bad_images=0.1, out=out)
        return out

    plain = extract("plain")
    monkeypatch.setattr("ganscribe.features.extraction.open_pipeline", lambda *args, **options: card)
    for path in sorted(extract("card").iterdir()):
        assert path.read_bytes() == (plain / path.name).read_bytes(), path.name
    assert streams.hazards == []


def test_only_a_card_has_a_pipeline_of_its_own() -> None:
    assert type(open_pipeline(INCEPTION, CPU, batch_size=3, is_compiled=True)) is Pipeline
