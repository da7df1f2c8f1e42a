"""The pipeline of a card without a card: its own code, a graph recorded on the CPU instead of CUDA's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import recorded
from ganscribe.datasets.image_files import ImageFile
from ganscribe.features import pipeline
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
def card(monkeypatch: pytest.MonkeyPatch) -> CardPipeline:
    """A pipeline for batches of three."""
    recorded.capture(monkeypatch)
    monkeypatch.setattr(pipeline, "_pinned", lambda *shape, dtype: torch.full(shape, 77, dtype=dtype))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    return CardPipeline(INCEPTION, CPU, batch_size=3, is_compiled=False)


def test_each_batch_has_its_own_features(card: CardPipeline) -> None:
    """This holds for whole and for smaller batches, and each batch fills the rows that it was given."""
    images = torch.randint(0, 256, (11, 3, 299, 299), dtype=torch.uint8)
    out, expected = card.buffer(11), Pipeline(INCEPTION, CPU).buffer(11)
    for start, end in ((0, 3), (3, 4), (4, 7), (7, 9), (9, 11)):
        card.compute(list(images[start:end]), out[start:end])
        Pipeline(INCEPTION, CPU).compute(list(images[start:end]), expected[start:end])
    card.mark()()
    assert torch.equal(out, expected) and len(out.unique()) > 1000
    assert recorded.Graph.recorded == 1, "smaller batches are filled up: one graph does for all"


def test_no_more_than_two_batches_are_under_way(card: CardPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting, most = set(), 0

    class Event:
        def record(self) -> None:
            nonlocal most
            waiting.add(self)
            most = max(most, len(waiting))

        def synchronize(self) -> None:
            waiting.remove(self)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    for _ in range(5):
        card.compute([torch.zeros(3, 299, 299, dtype=torch.uint8)], card.buffer(1))
    assert most == AHEAD


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


def test_only_a_card_has_a_pipeline_of_its_own() -> None:
    assert type(open_pipeline(INCEPTION, CPU, batch_size=3, is_compiled=True)) is Pipeline
