"""What the generator's gradient becomes while the critic is trained towards its optimum (1701.04862, figures 2 and 3).

The paper measured generators of 1, 10 and 25 epochs; a retelling that is often read says 20.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ganscribe.core.seeds import random_stream, stream_seed
from ganscribe.execution.checkpoint import Checkpoint
from ganscribe.execution.progress import progress
from ganscribe.gan.common.recipe import GanRecipe
from ganscribe.gan.common.sampling import noise_source
from ganscribe.gan.common.state import TrainedGan, start_training
from ganscribe.gan.common.training import batches, take
from ganscribe.gan.common.updates import update_critic
from ganscribe.gan.objectives import minimax, nonsaturating

LOSSES = {"saturating": minimax.generator_loss, "nonsaturating": nonsaturating.generator_loss}
CRITIC = minimax.build()  # whose critic loss is that of both
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


def gradient_statistics(generator: nn.Module, scored: Iterable[Tensor]) -> dict[str, GradientStatistics]:
    """Norm and variance of the gradients of log(1 - D(G(z))) (`saturating`) and -log D(G(z)) over batches of noise.

    1701.04862, theorems 2.4 and 2.6; `scored` are the critic's scores D(G(z)) of each batch, (N,), both networks
    float32. The loss's own derivative is taken in float64 and scaled to 1 before it goes back through
    the networks, so that a gradient of 1e-50 is measured as well as one of 1.
    """
    weights = [weight for weight in generator.parameters() if weight.requires_grad]
    scales: dict[str, Tensor] = {}
    totals = {loss: [torch.zeros_like(weight) for weight in weights] for loss in LOSSES}
    norms: dict[str, list[Tensor]] = {loss: [] for loss in LOSSES}
    for scores in scored:
        for loss, generator_loss in LOSSES.items():
            exact = scores.detach().double().requires_grad_()
            (slope,) = torch.autograd.grad(generator_loss(exact), exact)
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


@contextlib.contextmanager
def _left_alone(network: nn.Module) -> Iterator[None]:
    """Put back the buffers of `network` afterwards, and torch's random state, which dropout draws from."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    device = next(network.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    for buffer, before in buffers:
        buffer.copy_(before)


def _measure(generator: nn.Module, critic: nn.Module, real: Tensor, noises: list[Tensor]) -> dict[str, float]:
    """The critic's loss on `real` and the images of the first noise, and the gradients on all noises."""
    fake_scores: list[Tensor] = []

    def score() -> Iterator[Tensor]:
        for noise in noises:
            scores = critic(generator(noise))
            fake_scores.append(scores.detach())
            yield scores

    critic.requires_grad_(False)
    statistics = gradient_statistics(generator, score())
    with torch.no_grad():
        loss = float(CRITIC.critic_loss(critic(real), fake_scores[0]))
    critic.requires_grad_(True)
    row = {"critic_loss": loss}
    for name, numbers in statistics.items():
        row |= {f"{name}_norm": numbers.norm, f"{name}_variance": numbers.variance}
    return row


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """How far the critics are trained, and how often and on how much noise the gradients are measured."""

    critic_steps: int
    measure_every: int
    num_batches: int
    seed: int


def _measure_against(
    gan: TrainedGan,
    images: Tensor,
    recipe: GanRecipe,
    settings: Measurement,
    *,
    own_seed: int,
    fixed: Tensor,
) -> Iterator[dict[str, float] | None]:
    """Train the critic of `gan` against its frozen generator; yield a row where one is due, else None."""
    draw, due = noise_source(recipe.noise), measured_steps(settings.critic_steps, settings.measure_every)
    shape = (recipe.batch_size, recipe.noise_dim)
    rows = batches(
        len(images),
        batch_size=recipe.batch_size,
        shuffle=True,
        seed=own_seed,
        first=gan.critic_updates,
        device=images.device,
    )
    for step in range(gan.critic_updates, settings.critic_steps + 1):
        row = None
        if step in due:
            rng = random_stream(own_seed, "diagnostics", "measurement", step, device=images.device)
            noises = [draw(shape, rng) for _ in range(settings.num_batches)]
            with _left_alone(gan.discriminator):
                row = {"critic_step": step} | _measure(gan.generator, gan.discriminator, fixed, noises)
        if step < settings.critic_steps:
            real = take(images, next(rows))
            update_critic(gan, CRITIC, real, draw(shape, gan.noise_rng), contextlib.nullcontext)
            gan.critic_updates = step + 1
        yield row


def measure_gradients(
    generators: Mapping[int, nn.Module],
    images: Tensor,
    recipe: GanRecipe,
    settings: Measurement,
    *,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    """Train a fresh critic against each frozen generator and measure the generator's gradients on the way.

    1701.04862, figures 2 and 3. `generators` by the epochs that they were trained for; `images` (N, C, H, W)
    uint8. The critic minimises the cross-entropy loss; all in float32, the generators in training mode, left
    unchanged. Rows: epochs, critic_step, critic_loss (on one batch of images that stays the same), and norm
    and variance of both generator losses over `num_batches` fresh noise batches. A resumed measurement ends
    bit for bit as an unbroken one. Raises ValueError for an unknown name and for fewer images than a batch.
    """
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"{len(images)} images are less than one batch of {recipe.batch_size}: lower batch_size"
        )
    channels, height, width = images.shape[1:]
    images = images.to(device)
    first = batches(
        len(images), batch_size=recipe.batch_size, shuffle=True, seed=settings.seed, first=0, device=device
    )
    fixed = take(images, next(first))
    state = checkpoint.load() if checkpoint else None
    rows: list[dict[str, float]] = state["rows"] if state else []
    for epochs, generator in sorted(generators.items()):
        if state and epochs < state["epochs"]:
            continue  # measured before the interruption
        own_seed = stream_seed(settings.seed, "diagnostics", "gradients", epochs)
        gan = start_training(
            replace(recipe, ema_decay=0.0),
            image_shape=(channels, height, width),
            seed=own_seed,
            precision="fp32",
            device=device,
        )
        gan.generator = freeze(generator).to(device).to(memory_format=torch.channels_last)
        if state and epochs == state["epochs"]:
            gan.load_state_dict(state["gan"])
        measured = _measure_against(gan, images, recipe, settings, own_seed=own_seed, fixed=fixed)
        total, done = settings.critic_steps, gan.critic_updates
        with progress(total, f"gradients, {epochs} epochs", "step", initial=done) as bar:
            for row in measured:
                rows += [] if row is None else [{"epochs": epochs, **row}]
                if gan.critic_updates == done:
                    break  # the last row, which no update follows: a state saved now would have it twice
                done = gan.critic_updates
                bar.update()
                if checkpoint and checkpoint.due():
                    checkpoint.save({"rows": rows, "epochs": epochs, "gan": gan.state_dict()})
    return rows
