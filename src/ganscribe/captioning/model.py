"""The soft-attention captioner of Show, Attend and Tell (1502.03044), as TensorFlow's tutorial has it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganscribe.captioning.recurrence import AttentionGRU


class Memory(NamedTuple):
    """What attention looks at, computed once an image."""

    values: Tensor  # (B, 64, encoder_dim)
    keys: Tensor  # (B, 64, units): W1 f


class Captioner(nn.Module):
    """Features (B, 64, 2048) and words so far -> scores of the next word; soft attention and a GRU.

    Show, Attend and Tell (1502.03044) with the additive attention of Bahdanau et al. (1409.0473, A.1.2):
    score = V tanh(W1 f + W2 h), context = sum of softmax(score) f, h' = GRU([context; embedding], h), h0 = 0,
    word scores = linear(linear(h')). The GRU is torch's: Keras's default (`reset_after=True`) has the same
    gates and the same two bias vectors. (The published tutorial calls its GRU without the state of the step
    before, so that h reaches a word through attention alone; here it is handed on, as in the paper.)
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int = 256,
        units: int = 512,
        feature_dim: int = 2048,
        encoder_dim: int = 256,
    ) -> None:
        super().__init__()
        self.units = units
        self.encoder_dim = encoder_dim
        self.encoder = nn.Linear(feature_dim, encoder_dim)
        self.attention_key = nn.Linear(encoder_dim, units)  # W1
        self.attention_query = nn.Linear(units, units)  # W2
        self.attention_score = nn.Linear(units, 1, bias=False)  # V: the softmax undoes a bias
        self.embedding = nn.Embedding(vocabulary_size, embedding_dim)
        self.gru = nn.GRUCell(encoder_dim + embedding_dim, units)
        self.hidden = nn.Linear(units, units)
        self.output = nn.Linear(units, vocabulary_size)
        _initialise_as_keras(self)

    def encode(self, features: Tensor) -> Memory:
        """(B, 64, 2048) of any floating type (the shards hold float16) -> what every step attends to."""
        if not torch.is_autocast_enabled(features.device.type):
            features = features.to(self.encoder.weight.dtype)
        values = F.relu(self.encoder(features))
        return Memory(values, self.attention_key(values))

    def step(self, words: Tensor, hidden: Tensor, memory: Memory) -> tuple[Tensor, Tensor, Tensor]:
        """One word on: words (N,), hidden (N, units) -> scores (N, V), hidden, attention (N, 64).

        N is a multiple of the memory's B images; the rows of one image (beams of a search) are neighbours.
        """
        num_images = memory.values.shape[0]
        query = self.attention_query(hidden).view(num_images, -1, 1, self.units)
        scores = self.attention_score(torch.tanh(memory.keys[:, None] + query)).squeeze(-1)  # (B, N/B, 64)
        attention = scores.float().softmax(-1)
        context = (attention.to(memory.values.dtype) @ memory.values).view(words.shape[0], -1)
        hidden = self.gru(torch.cat([context.to(hidden.dtype), self.embedding(words)], 1), hidden)
        return self.output(self.hidden(hidden)), hidden, attention.view(words.shape[0], -1)

    def forward(self, features: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: features (B, 64, 2048), tokens (B, T) of `<start> ... <end>` then zeros.

        The captions come longest first. Returns the scores (M, V) of the M words that follow another, and
        those words (M,): all captions' first, then all second ones ... The same function as `step` word for
        word, with the work that no step depends on taken out of the loop, and nothing computed for pads.
        """
        # Tokens left on the CPU save a wait for the device here.
        lengths = (tokens != 0).sum(1) - 1  # steps a caption needs
        if bool((lengths.diff() > 0).any()):
            raise ValueError("the captions of a batch must be sorted by falling length")
        is_step = lengths > torch.arange(tokens.shape[1] - 1, device=tokens.device)[:, None]  # (T-1, B)
        rows_at = [rows for rows in is_step.sum(1).tolist() if rows]
        words = tokens.T[:-1][is_step].to(features.device)
        following = tokens.T[1:][is_step].to(features.device)
        memory = self.encode(features)
        # The GRU's input is [context; word]: the words' part for all steps at once.
        from_context, from_word = self.gru.weight_ih.split(
            [self.encoder_dim, self.embedding.embedding_dim], 1
        )
        inputs = F.linear(self.embedding(words), from_word, self.gru.bias_ih)
        hidden = AttentionGRU.apply(
            inputs,
            2 * memory.keys,
            memory.values,
            torch.cat([2 * self.attention_query.weight, self.gru.weight_hh]),
            torch.cat([2 * self.attention_query.bias, self.gru.bias_hh]),
            2 * self.attention_score.weight[0],
            from_context,
            rows_at,
        )
        return self.output(self.hidden(hidden)), following


def _initialise_as_keras(model: Captioner) -> None:
    """Glorot-uniform kernels, orthogonal recurrent kernel, zero biases, embedding uniform +-0.05."""
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
