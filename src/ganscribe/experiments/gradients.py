"""What the generator's gradient becomes while the critic is trained towards its optimum (1701.04862)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.gan.objectives import OBJECTIVES
from ganscribe.gan.sampling import noise_source
from ganscribe.gan.state import start_training
from ganscribe.gan.training import batches
from ganscribe.gan.updates import update_critic

LOSSES = {"saturating": "minimax", "nonsaturating": "nonsaturating"}
CRITIC = OBJECTIVES["minimax"]  # whose critic loss is that of both
FIRST_STEPS = (0, 1, 5, 10)  # measured too: much happens at the start


@dataclass(frozen=True)
class GradientStatistics:
    """Of a loss's gradient w.r.t. all of the generator's parameters, over noise batches.

    `norm` is the mean of ||g||_2, `variance` the mean of ||g - mean g||_2^2.
    """

    norm: float
    variance: float


def freeze(generator: nn.Module) -> nn.Module:
    """A copy of `generator` that normalises by the batch, as in training, and keeps no running statistics."""
    generator = copy.deepcopy(generator).train()
    for module in generator.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.track_running_stats = False
    return generator


def gradient_statistics(
    generator: nn.Module, critic: nn.Module, noises: Iterable[Tensor]
) -> dict[str, GradientStatistics]:
    """Norm and variance of the gradients of log(1 - D(G(z))) (`saturating`) and -log D(G(z)) over `noises`.

    1701.04862, theorems 2.4 and 2.6; noises are batches (N, noise_dim), both networks float32. The loss's own
    derivative is taken in float64 and scaled to 1 before it goes back through the networks, so that a
    gradient of 1e-50 is measured as well as one of 1.
    """
    weights = [weight for weight in generator.parameters() if weight.requires_grad]
    scales: dict[str, Tensor] = {}
    totals = {loss: [torch.zeros_like(weight) for weight in weights] for loss in LOSSES}
    norms: dict[str, list[Tensor]] = {loss: [] for loss in LOSSES}
    for noise in noises:
        scores = critic(generator(noise))
        for loss, objective in LOSSES.items():
            exact = scores.detach().double().requires_grad_()
            (slope,) = torch.autograd.grad(OBJECTIVES[objective].generator_loss(exact), exact)
            scale = scales.setdefault(loss, slope.abs().max().clamp_min(torch.finfo(torch.float64).tiny))
            gradient = torch.autograd.grad(scores, weights, (slope / scale).float(), retain_graph=True)
            norms[loss].append(torch.stack(torch._foreach_norm(gradient)).double().norm())
            torch._foreach_add_(totals[loss], gradient)
    statistics = {}
    for loss in LOSSES:
        norm, scale = torch.stack(norms[loss]), scales[loss]
        mean = torch.stack(torch._foreach_norm(totals[loss])).double().norm() / len(norm)
        variance = (norm.square().mean() - mean.square()).clamp_min(0)
        statistics[loss] = GradientStatistics(float(norm.mean() * scale), float(variance * scale * scale))
    return statistics


def measured_steps(critic_steps: int, measure_every: int) -> list[int]:
    """The critic steps after which the gradients are measured: some first ones, every n-th, the last."""
    steps = {*FIRST_STEPS, *range(0, critic_steps, measure_every), critic_steps}
    return sorted(step for step in steps if step <= critic_steps)


def _measure(generator: nn.Module, critic: nn.Module, real: Tensor, noises: list[Tensor]) -> dict[str, float]:
    """The critic's loss on `real` and the images of the first noise, and the gradients on all noises."""
    critic.requires_grad_(False)
    statistics = gradient_statistics(generator, critic, noises)
    with torch.no_grad():
        loss = float(CRITIC.critic_loss(critic(real), critic(generator(noises[0]))))
    critic.requires_grad_(True)
    row = {"critic_loss": loss}
    for name, numbers in statistics.items():
        row |= {f"{name}_norm": numbers.norm, f"{name}_variance": numbers.variance}
    return row


def measure_gradients(
    generators: Mapping[int, nn.Module],
    images: Tensor,
    *,
    networks: str,
    optimiser: str,
    learning_rate: float,
    betas: tuple[float, float] | None,
    batch_size: int,
    noise_dim: int,
    noise: str,
    critic_steps: int,
    measure_every: int,
    num_batches: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    """Train a fresh critic against each frozen generator and measure the generator's gradients on the way.

    1701.04862, figures 2 and 3. `generators` by the epochs that they were trained for; `images` (N, C, H, W)
    uint8. The critic minimises the cross-entropy loss; all in float32, the generators in training mode, left
    unchanged. Rows: epochs, critic_step, critic_loss (on one batch of images that stays the same), and norm
    and variance of both generator losses over `num_batches` fresh noise batches. A resumed measurement ends
    bit for bit as an unbroken one. ValueError: unknown name, fewer images than a batch.
    """
    if len(images) < batch_size:
        raise ValueError(f"{len(images)} images are less than one batch of {batch_size}: lower batch_size")
    channels, height, width = images.shape[1:]
    draw, due = noise_source(noise), measured_steps(critic_steps, measure_every)
    images = images.to(device)
    fixed = next(batches(images, batch_size=batch_size, shuffle=True, seed=seed, first=0))
    state = checkpoint.load() if checkpoint else None
    rows: list[dict[str, float]] = state["rows"] if state else []
    for epochs, generator in sorted(generators.items()):
        if state and epochs < state["epochs"]:
            continue  # measured before the interruption
        own_seed = stream_seed(seed, "diagnostics", "gradients", epochs)
        gan = start_training(
            networks,
            noise_dim=noise_dim,
            image_shape=(channels, height, width),
            optimiser=optimiser,
            learning_rate=learning_rate,
            betas=betas,
            ema_decay=0.0,
            seed=own_seed,
            precision="fp32",
            device=device,
        )
        gan.generator = freeze(generator).to(device).to(memory_format=torch.channels_last)
        if state and epochs == state["epochs"]:
            gan.load_state_dict(state["gan"])

        real = batches(images, batch_size=batch_size, shuffle=True, seed=own_seed, first=gan.critic_updates)
        name = f"gradients, {epochs} epochs"
        with progress(critic_steps, name, "step", initial=gan.critic_updates) as bar:
            for step in range(gan.critic_updates, critic_steps + 1):
                if step in due:
                    rng = random_stream(own_seed, "diagnostics", "measurement", step, device=device)
                    noises = [draw((batch_size, noise_dim), rng) for _ in range(num_batches)]
                    row = _measure(gan.generator, gan.discriminator, fixed, noises)
                    rows.append({"epochs": epochs, "critic_step": step, **row})
                if step == critic_steps:
                    break
                latent = draw((batch_size, noise_dim), gan.noise_rng)
                update_critic(gan, CRITIC, next(real), latent, contextlib.nullcontext)
                gan.critic_updates = step + 1
                bar.update()
                if checkpoint and checkpoint.due():
                    checkpoint.save({"rows": rows, "epochs": epochs, "gan": gan.state_dict()})
    return rows
