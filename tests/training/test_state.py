"""Random states are put back, and rows are logged again."""

from __future__ import annotations

import io

import torch

from ganscribe.training.state import Row, random_states, replay, restore_random_states

CPU = torch.device("cpu")


def test_random_states_are_put_back_after_a_save() -> None:
    noise, order = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    torch.manual_seed(3)
    for generator in (noise, order, None):
        torch.rand(5, generator=generator)
    buffer = io.BytesIO()
    torch.save(random_states(CPU, noise=noise, order=order), buffer)
    expected = [torch.rand(4, generator=generator) for generator in (noise, order, None)]
    assert len({tuple(drawn.tolist()) for drawn in expected}) == 3
    buffer.seek(0)
    others = [torch.Generator(), torch.Generator()]
    torch.manual_seed(99)
    states = torch.load(buffer, weights_only=True)
    restore_random_states(states, CPU, noise=others[0], order=others[1])
    found = [torch.rand(4, generator=generator) for generator in (*others, None)]
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


def test_a_state_does_not_move_on_with_its_generator() -> None:
    noise = torch.Generator().manual_seed(1)
    states = random_states(CPU, noise=noise)
    first = torch.rand(4, generator=noise)
    restore_random_states(states, CPU, noise=noise)
    assert torch.equal(torch.rand(4, generator=noise), first)


def test_rows_are_logged_again_by_their_steps() -> None:
    history: list[Row] = [{"step": 2, "loss": 0.5}, {"step": 4.0, "loss": 0.25}]
    logged: list[tuple[int, Row]] = []
    replay(history, lambda step, row: logged.append((step, row)))
    assert logged == [(2, history[0]), (4, history[1])]
    assert all(isinstance(step, int) for step, _ in logged)
    replay(history, None)
