"""Two parallel segments, and what the distances between distributions make of them (1701.07875, example 1).

P_0 is (0, Z) and P_theta is (theta, Z), Z uniform on [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganscribe.core.seeds import random_stream, seed_everything, stream_seed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.gan.common.losses import jensen_shannon_estimate
from ganscribe.gan.objectives import Objective, minimax, wgan, wgan_gp
from ganscribe.training.optimisers import build_optimiser

UNITS, BATCH, GRID = 64, 256, 1000


@dataclass(frozen=True)
class CriticRecipe:
    """How a critic is trained: an objective of the GAN family, and its optimiser."""

    objective: Objective
    optimiser: str
    learning_rate: float
    betas: tuple[float, float]


# The papers' optimisers; the steps of the two Adams are larger than the papers', for a network this small.
CRITICS = {
    "clipped": CriticRecipe(wgan.build(), "rmsprop", 5e-5, (0.0, 0.0)),
    "gp": CriticRecipe(wgan_gp.build(), "adam", 1e-3, (0.5, 0.9)),
    "js": CriticRecipe(minimax.build(), "adam", 1e-3, (0.5, 0.999)),
}


def closed_forms(theta: float) -> dict[str, float]:
    """KL, JS (nats), total variation and Wasserstein-1 of P_0 and P_theta: 1701.07875, example 1."""
    if theta == 0:
        return {"kl": 0.0, "js": 0.0, "tv": 0.0, "w": 0.0}
    return {"kl": math.inf, "js": math.log(2), "tv": 1.0, "w": abs(theta)}


def segment(offset: float, heights: Tensor) -> Tensor:
    """The points (offset, z), (N, 2), of `heights` z (N,)."""
    return torch.stack([torch.full_like(heights, offset), heights], dim=1)


def train_critic(theta: float, *, recipe: CriticRecipe, steps: int, seed: int) -> nn.Module:
    """Train a small critic (2-64-64-1) to tell P_0 (as real) from P_theta (as fake)."""
    seed_everything(seed)
    objective = recipe.objective
    critic = nn.Sequential(
        nn.Linear(2, UNITS), nn.ReLU(), nn.Linear(UNITS, UNITS), nn.ReLU(), nn.Linear(UNITS, 1), nn.Flatten(0)
    )
    optimiser = build_optimiser(
        recipe.optimiser,
        critic.parameters(),
        learning_rate=recipe.learning_rate,
        betas=recipe.betas,
        device=torch.device("cpu"),
    )
    rng = random_stream(seed, "diagnostics", "segments")
    for _ in range(steps):
        real, fake = (segment(offset, torch.rand(BATCH, generator=rng)) for offset in (0.0, theta))
        loss = objective.critic_loss(critic(real), critic(fake)) + objective.penalty(critic, real, fake, rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        objective.constrain(critic)
    return critic


def joining_slope(critic: nn.Module, theta: float) -> float:
    """The largest |df/dx| of the critic f(x, z) between the segments: its Lipschitz constant there."""
    across = torch.linspace(0, 1, 33) * theta
    points = torch.cartesian_prod(across, torch.linspace(0, 1, 33)).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points)
    return float(gradient[:, 0].abs().max())


def critic_distances(theta: float, *, critic_steps: int, seed: int) -> dict[str, float]:
    """What trained critics make of P_0 and P_theta, taken on a grid of heights, without sampling noise.

    `clipped_raw`: E f(P_0) - E f(P_theta) of a weight-clipped critic (1701.07875), whose slope is whatever
    the clamp leaves; `clipped_estimate`: the same divided by `joining_slope`; `gp_estimate`: of a critic with
    gradient penalty (1704.00028), undivided; `js_estimate`: log 2 - loss / 2 of a cross-entropy critic.
    """
    heights = (torch.arange(GRID) + 0.5) / GRID
    real, fake = segment(0.0, heights), segment(theta, heights)
    found = {}
    for name, recipe in CRITICS.items():
        critic = train_critic(
            theta, recipe=recipe, steps=critic_steps, seed=stream_seed(seed, "diagnostics", name)
        )
        with torch.no_grad():
            loss = float(recipe.objective.critic_loss(critic(real).double(), critic(fake).double()))
        if name == "js":
            found["js_estimate"] = jensen_shannon_estimate(loss)
        elif name == "gp":
            found["gp_estimate"] = 0.0 - loss  # no -0.0 in the table
        else:
            slope = joining_slope(critic, theta)
            found |= {"clipped_raw": 0.0 - loss, "clipped_estimate": (0.0 - loss) / slope if slope else 0.0}
    return found


def measure_distances(
    thetas: Sequence[float], *, critic_steps: int, seed: int, checkpoint: Checkpoint | None = None
) -> list[dict[str, float]]:
    """Rows of theta, critic_steps, kl, js, tv, w in closed form and the critics' estimates.

    A resumed run ends the same.
    """
    state = checkpoint.load() if checkpoint else None
    rows: list[dict[str, float]] = state["rows"] if state else []
    with progress(len(thetas), "parallel lines", "theta", initial=len(rows)) as bar:
        for theta in thetas[len(rows) :]:
            estimates = critic_distances(theta, critic_steps=critic_steps, seed=seed)
            rows.append({"theta": theta, "critic_steps": critic_steps, **closed_forms(theta), **estimates})
            bar.update()
            if checkpoint and checkpoint.due():
                checkpoint.save({"rows": rows})
    return rows
