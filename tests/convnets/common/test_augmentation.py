"""Shifts and flips, image by image."""

from __future__ import annotations

import torch

from ganscribe.convnets.common.augmentation import draw_epoch, flip_images, shift_images


def test_shift_moves_each_image_by_its_own_offset() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (9, 2, 6, 5), generator=rng, dtype=torch.uint8)
    offsets = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    shifted = shift_images(images, offsets, 1)
    for image, moved, (dy, dx) in zip(images, shifted, offsets.tolist(), strict=True):
        for y in range(6):
            for x in range(5):
                y0, x0 = y + dy - 1, x + dx - 1
                inside = 0 <= y0 < 6 and 0 <= x0 < 5
                expected = image[:, y0, x0] if inside else torch.zeros(2, dtype=torch.uint8)
                assert torch.equal(moved[:, y, x], expected)


def test_flips_mirror_the_chosen_images_only() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    flipped = flip_images(images, torch.tensor([True, False]))
    assert torch.equal(flipped[1], images[1])
    for x in range(5):
        assert torch.equal(flipped[0, :, :, x], images[0, :, :, 4 - x])


def test_draws_are_of_the_seed_and_the_epoch() -> None:
    cpu = torch.device("cpu")
    first, again = (draw_epoch(1000, shift=2, seed=1, epoch=0, device=cpu) for _ in range(2))
    assert first.order.sort().values.tolist() == list(range(1000))
    assert set(first.offsets.flatten().tolist()) == {0, 1, 2, 3, 4}
    assert 400 < int(first.flips.sum()) < 600
    for name in ("order", "offsets", "flips"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        for other in (
            draw_epoch(1000, shift=2, seed=1, epoch=1, device=cpu),
            draw_epoch(1000, shift=2, seed=2, epoch=0, device=cpu),
        ):
            assert not torch.equal(getattr(first, name), getattr(other, name))
