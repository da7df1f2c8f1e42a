"""What the tutorials' trainings share: torch as it comes, and images that are read one by one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from ganscribe.core.seeds import seed_everything


def start_as_tutorial() -> None:
    """Seed torch, and let it choose its kernels: the tutorials do not ask for deterministic ones, we do."""
    seed_everything(0)
    torch.set_deterministic_debug_mode("default")


class Pictures(Dataset[tuple[Tensor, int]]):
    """torchvision's MNIST as a tutorial reads it: a PIL image and ToTensor for every picture."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels, self.transform = images[:, 0], labels, ToTensor()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index].numpy(), mode="L")), int(self.labels[index])


def read_batches(images: Tensor, labels: Tensor, *, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of images (N, 1, H, W) in [0, 1] and labels (N,), epoch after epoch."""
    loader = DataLoader(Pictures(images, labels), batch_size=batch_size, shuffle=True, drop_last=True)
    while True:
        yield from loader
