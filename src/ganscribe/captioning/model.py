"""The soft-attention captioner of Show, Attend and Tell (1502.03044), as TensorFlow's tutorial has it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganscribe.captioning.recurrence import AttentionGRU, Operands


class Memory(NamedTuple):
    """What attention looks at, computed once per image."""

    values: Tensor  # (B, 64, encoder_dim)
    keys: Tensor  # (B, 64, units): W1 f


class Captioner(nn.Module):
    """Features (B, 64, 2048) and words so far -> scores of the next word; soft attention and a GRU.

    Show, Attend and Tell (1502.03044) with the additive attention of Bahdanau et al. (1409.0473, A.1.2):
    score = V tanh(W1 f + W2 h), context = sum of softmax(score) f, h' = GRU([context; embedding], h), h0 = 0,
    word scores = linear(linear(h')). The GRU is torch's: Keras's default (`reset_after=True`) has the same
    gates and the same two bias vectors. (The published tutorial calls its GRU without the state of the step
    before, so that h reaches a word through attention alone; here it is handed on, as in the paper.)

    `standardise`: features of `positions` are centred, each channel at each position, by `feature_mean`
    (positions, feature_dim), and scaled by `feature_std` (feature_dim,) (LeCun et al. 1998, "Efficient BackProp",
    section 4.3). These are buffers, which are saved with the weights.
    `gate`: the context is multiplied by beta = sigmoid(w h + b), h the state before (section 4.2.1).
    `dropout`: of the connections that are not recurrent (Zaremba et al. 1409.2329), while training: the
    encoded features, the embedded words, what the two last layers take in.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 256,
        units: int = 512,
        feature_dim: int = 2048,
        encoder_dim: int = 256,
        gate: bool = False,
        dropout: float = 0.0,
        standardise: bool = False,
        positions: int = 64,
    ) -> None:
        super().__init__()
        self.units = units
        self.encoder_dim = encoder_dim
        self.dropout = dropout
        self.standardise = standardise
        if standardise:
            self.register_buffer("feature_mean", torch.zeros(positions, feature_dim))
            self.register_buffer("feature_std", torch.ones(feature_dim))
        self.encoder = nn.Linear(feature_dim, encoder_dim)
        self.attention_key = nn.Linear(encoder_dim, units)  # W1
        self.attention_query = nn.Linear(units, units)  # W2
        self.attention_score = nn.Linear(units, 1, bias=False)  # V: the softmax undoes a bias
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.gru = nn.GRUCell(encoder_dim + embedding_dim, units)
        self.hidden = nn.Linear(units, units)
        self.output = nn.Linear(units, vocabulary_size)
        self.context_gate = nn.Linear(units, 1) if gate else None
        _initialise_as_keras(self)

    def _drop(self, values: Tensor) -> Tensor:
        return F.dropout(values, self.dropout, self.training) if self.dropout else values

    def _words(self, hidden: Tensor) -> Tensor:
        """Return scores (N, V) of the next word by the state (N, units) that has seen the one before."""
        return self.output(self._drop(self.hidden(self._drop(hidden))))

    def encode(self, features: Tensor) -> Memory:
        """Turn (B, 64, 2048) of any floating type (the shards hold float16) into what every step attends to."""
        if not torch.is_autocast_enabled(features.device.type):
            features = features.to(self.encoder.weight.dtype)
        weight = self.encoder.weight
        if self.standardise:  # scaled weights instead of scaled features: one pass over all of them less
            features, weight = features - self.feature_mean, weight / self.feature_std
        values = self._drop(F.relu(F.linear(features, weight, self.encoder.bias)))
        return Memory(values, self.attention_key(values))

    def step(self, words: Tensor, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """Go one word on: words (N,), hidden (N, units) -> scores (N, V), hidden, attention (N, 64).

        N is a multiple of the memory's B images; the rows of one image (beams of a search) are neighbours.
        """
        num_images = memory.values.shape[0]
        query = self.attention_query(hidden).view(num_images, -1, 1, self.units)
        scores = self.attention_score(torch.tanh(memory.keys[:, None] + query)).squeeze(-1)  # (B, N/B, 64)
        attention = scores.float().softmax(-1)
        context = (attention.to(memory.values.dtype) @ memory.values).view(words.shape[0], -1)
        if self.context_gate is not None:
            context = torch.sigmoid(self.context_gate(hidden)) * context
        word = self._drop(self.embedding(words))
        hidden = self.gru(torch.cat([context.to(hidden.dtype), word], 1), hidden)
        return self._words(hidden), hidden, attention.view(words.shape[0], -1)

    def forward(
        self,
        features: Tensor,
        tokens: Tensor,
        *,
        fed: Tensor | None = None,
        with_attention: bool = False,
        is_padded: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Run teacher forcing: features (B, 64, 2048), tokens (B, T) of `<start> ... <end>` then zeros.

        The captions come longest first. Returns the scores (M, V) of the M words that follow another, those
        words (M,) and, where asked for, the attention (M, 64): all captions' first, then all second ones ...
        The same function as `step` word for word, with the work that no step depends on taken out of the
        loop, and nothing computed for pads. `fed` (B, T): words to go on from instead of `tokens`.

        With `is_padded` all B captions have all T - 1 steps, in any order: M = (T - 1) B, and a following word
        of 0 is a pad. So no shape depends on the captions, and tokens may lie on the device.
        """
        if is_padded:
            words = (tokens if fed is None else fed).T[:-1].flatten()
            following, rows_at = tokens.T[1:].flatten(), [len(tokens)] * (tokens.shape[1] - 1)
        else:
            words, following, rows_at = _real_steps(tokens, fed, features.device)
        memory = self.encode(features)
        # The GRU's input is [context; word]: the words' part for all steps at once.
        from_context, from_word = self.gru.weight_ih.split(
            [self.encoder_dim, self.embedding.embedding_dim], 1
        )
        inputs = F.linear(self._drop(self.embedding(words)), from_word, self.gru.bias_ih)
        beta = [] if self.context_gate is None else [self.context_gate]
        query = self.attention_query
        operands = Operands(
            inputs=inputs,
            keys=2 * memory.keys,
            values=memory.values,
            weight=torch.cat([2 * query.weight, self.gru.weight_hh, *(one.weight for one in beta)]),
            bias=torch.cat([2 * query.bias, self.gru.bias_hh, *(one.bias for one in beta)]),
            score=2 * self.attention_score.weight[0],
            from_context=from_context,
        )
        hidden, attention = AttentionGRU.apply(rows_at, with_attention, *operands)
        return self._words(hidden), following, attention


def _real_steps(tokens: Tensor, fed: Tensor | None, device: torch.device) -> tuple[Tensor, Tensor, list[int]]:
    """Return the words (M,) that are fed, those that follow (M,), and how many captions each step has."""
    # Tokens left on the CPU save a wait for the device here.
    lengths = (tokens != 0).sum(1) - 1  # steps a caption needs
    if bool((lengths.diff() > 0).any()):
        raise ValueError("the captions of a batch must be sorted by falling length")
    is_step = lengths > torch.arange(tokens.shape[1] - 1, device=tokens.device)[:, None]  # (T-1, B)
    rows_at = [rows for rows in is_step.sum(1).tolist() if rows]
    words = (tokens if fed is None else fed).T[:-1][is_step].to(device)
    return words, tokens.T[1:][is_step].to(device), rows_at


@contextlib.contextmanager
def evaluating(model: Captioner) -> Iterator[None]:
    """Hold the model in evaluation mode, and put it back into the mode that it was in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _initialise_as_keras(model: Captioner) -> None:
    """Draw kernels Glorot-uniform, the recurrent one orthogonal, the embedding from +-0.05; zero the biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # As Keras has them: the three gates' kernels side by side are one matrix.
    nn.init.xavier_uniform_(model.gru.weight_ih)
    nn.init.orthogonal_(model.gru.weight_hh)
    nn.init.zeros_(model.gru.bias_ih)
    nn.init.zeros_(model.gru.bias_hh)
    nn.init.uniform_(model.embedding.weight, -0.05, 0.05)
