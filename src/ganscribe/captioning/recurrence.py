"""The captioner's recurrence over whole captions, forward and backward, for training.

Written out by hand because a step is small: autograd would add up, step by step, gradients that one matrix
product after the loop yields at once. tests/captioning/test_model.py holds it against autograd.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Saved = tuple[Tensor, ...]
BETA = 7  # the place of the gate's beta in what a step keeps for the way back, the gates taken out


class Operands(NamedTuple):
    """What the recurrence over B captions computes with; their M real steps have no pads between them.

    The twos: V tanh(x) = 2 V sigmoid(2 x) - sum(V), the softmax drops the last term, and on a CPU the sigmoid
    takes a third of tanh's time. One more row of weight and bias is the context's gate, beta = sigmoid(w h +
    b) (1502.03044, section 4.2.1).
    """

    inputs: Tensor  # (M, 3 units): the words' part of the GRU's input, with its bias
    keys: Tensor  # (B, P, units): 2 W1 f of P positions
    values: Tensor  # (B, P, E)
    weight: Tensor  # (4 units, units): 2 W2 of the attention above the GRU's recurrent kernel
    bias: Tensor  # (4 units,), likewise
    score: Tensor  # (units,): 2 V
    from_context: Tensor  # (3 units, E): the context's part of the GRU's input kernel


class AttentionGRU(torch.autograd.Function):
    """`apply(rows_at, with_attention, *Operands(...))`: the captioner's recurrence over whole captions.

    Returns hidden states (M, units) and, where they are asked for, attention maps (M, P). The captions are
    sorted by falling length; `rows_at[t]` of them have a word at step t, and the M = sum(rows_at) real steps
    lie one time step after the other. Computes in the dtype of `keys`; the hidden state is kept in that of
    `weight`.
    """

    @staticmethod
    def forward(
        ctx: Any, rows_at: list[int], with_attention: bool, *operands: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        inputs, keys, values, weight, bias, score, from_context = Operands(*operands)
        dtype, units = keys.dtype, score.shape[0]
        cast = [parameter.to(dtype) for parameter in (weight, bias, score, from_context)]
        hidden = weight.new_zeros(keys.shape[0], units)
        steps: list[Saved] = []
        states = []
        for words, rows in zip(inputs.split(rows_at), rows_at, strict=True):
            previous = hidden[:rows]
            hidden, *saved = _step(words, keys[:rows], values[:rows], previous, *cast)
            steps.append((previous, *saved))
            states.append(hidden)
        ctx.save_for_backward(keys, values, *cast, *(tensor for step in steps for tensor in step))
        ctx.rows_at, ctx.weight_dtype = rows_at, weight.dtype
        attention = torch.cat([step[1] for step in steps]).to(weight.dtype) if with_attention else None
        return torch.cat(states), attention

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        keys, values, weight, _, score, from_context, *flat = ctx.saved_tensors
        rows_at, kind, units = ctx.rows_at, ctx.weight_dtype, score.shape[0]
        # All steps' tensors of one name, one after the other: (M, ...), but for the gates, which stay apart.
        columns = [flat[i :: len(flat) // len(rows_at)] for i in range(len(flat) // len(rows_at))]
        gates = columns.pop(3)
        previous, attention, seen, update, *_ = joined = [torch.cat(column) for column in columns]
        beta = joined[BETA] if len(joined) > BETA else None
        slopes = _gru_slopes(previous, update, *joined[4:BETA])
        d_inputs = values.new_empty(len(previous), 3 * units)
        d_linear = values.new_zeros(len(previous), weight.shape[0])
        d_contexts = values.new_zeros(len(rows_at), values.shape[0], values.shape[2])
        maps = values.new_zeros(len(rows_at), *values.shape[:2])
        d_keys, d_score = torch.zeros_like(keys), previous.new_zeros(len(keys), units)
        carried, end = gradients[0].new_zeros(0, units), len(previous)
        for t in reversed(range(len(rows_at))):
            rows, gate = rows_at[t], gates[t]  # (rows, P, units)
            at = slice(end - rows, end)
            end -= rows
            d_hidden = gradients[0][at].clone()
            d_hidden[: len(carried)] += carried  # captions that end here have no later step
            torch.mul(d_hidden[:, None], slopes[at, :3], out=d_inputs[at].unflatten(1, (3, units)))
            d_linear[at, units : 3 * units] = d_inputs[at, : 2 * units]
            torch.mul(d_hidden, slopes[at, 3], out=d_linear[at, 3 * units : 4 * units])
            d_context = d_inputs[at] @ from_context
            if beta is not None:  # through beta * context, and beta = sigmoid
                through = (d_context * seen[at]).sum(1, keepdim=True)
                d_linear[at, 4 * units :] = through * beta[at] * (1 - beta[at])
                d_context = beta[at] * d_context
            maps[t, :rows], d_contexts[t, :rows] = attention[at], d_context
            d_attention = (values[:rows] @ d_context[:, :, None]).squeeze(-1)
            if gradients[1] is not None:
                d_attention += gradients[1][at].to(keys.dtype)
            d_scores = _softmax_back(d_attention, attention[at])
            d_score[:rows] += (d_scores[:, None] @ gate).squeeze(1)
            slope = torch.addcmul(gate, gate, gate, value=-1)
            d_keys[:rows].addcmul_(slope, d_scores[:, :, None])  # score is multiplied in after the loop
            torch.mul((d_scores[:, None] @ slope).squeeze(1), score, out=d_linear[at, :units])
            carried = torch.addcmul(d_linear[at] @ weight, d_hidden, update[at])
        contexts = seen if beta is None else seen * beta
        d_values = maps.permute(1, 2, 0) @ d_contexts.transpose(0, 1)
        d_weight = (d_linear.T @ previous.to(keys.dtype)).to(kind)
        d_bias = d_linear.sum(0, dtype=kind)
        d_from_context = (d_inputs.T @ contexts).to(kind)
        return (
            None,
            None,
            d_inputs,
            d_keys * score,
            d_values,
            d_weight,
            d_bias,
            d_score.sum(0),
            d_from_context,
        )


def _step(
    words: Tensor,
    keys: Tensor,
    values: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    score: Tensor,
    from_context: Tensor,
) -> Saved:
    """Take one time step: return hidden (rows, units), then what the way back needs."""
    dtype, units = keys.dtype, score.shape[0]
    query, products, gated = F.linear(hidden.to(dtype), weight, bias).split(
        [units, 3 * units, len(weight) - 4 * units], 1
    )
    products = products.to(hidden.dtype)
    gate = torch.add(keys, query[:, None]).sigmoid_()
    attention = (gate @ score).to(hidden.dtype).softmax(1).to(dtype)
    seen = (attention[:, None] @ values).squeeze(1)
    beta = [gated.sigmoid()] if gated.shape[1] else []  # (rows, 1), or none
    context = beta[0] * seen if beta else seen
    gates = torch.addmm(words, context, from_context.T).to(hidden.dtype)
    reset, update = (gates[:, : 2 * units] + products[:, : 2 * units]).sigmoid_().chunk(2, 1)
    recurrent = products[:, 2 * units :]
    candidate = torch.addcmul(gates[:, 2 * units :], reset, recurrent).tanh_()
    state = torch.lerp(candidate, hidden, update)
    return state, attention, seen, gate, update, reset, candidate, recurrent, *beta


def _gru_slopes(
    previous: Tensor,
    update: Tensor,
    reset: Tensor,
    candidate: Tensor,
    recurrent: Tensor,
) -> Tensor:
    """Return (M, 4, units): what the state's gradient is multiplied by on its way into a step's GRU.

    To reach the inputs of reset, update and candidate, then the candidate's product with the state before.
    """
    to_candidate = (1 - update) * (1 - candidate * candidate)
    to_update = (previous - candidate) * update * (1 - update)
    to_reset = to_candidate * recurrent * reset * (1 - reset)
    return torch.stack([to_reset, to_update, to_candidate, to_candidate * reset], 1)


def _softmax_back(d_attention: Tensor, attention: Tensor) -> Tensor:
    return attention * (d_attention - (attention * d_attention).sum(1, keepdim=True))
