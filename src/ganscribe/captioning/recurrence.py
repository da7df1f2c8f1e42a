"""The captioner's recurrence over whole captions, forward and backward, for training.

Written out by hand because a step is small: autograd would add up, step by step, gradients that one matrix
product after the loop yields at once. tests/captioning/test_model.py holds it against autograd.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Saved = tuple[Tensor, ...]
UNGATED = 8  # tensors that a step keeps for the way back; the gate's beta is one more


class AttentionGRU(torch.autograd.Function):
    """`apply(inputs, keys, values, weight, bias, score, from_context, rows_at, with_attention)`.

    Returns hidden states (M, units) and, where they are asked for, attention maps (M, P). The captions are
    sorted by falling length; `rows_at[t]` of the B have a word at step t, and the M = sum(rows_at) real steps
    lie one time step after the other, without pads.

    inputs (M, 3 units): the words' part of the GRU's input, with its bias; keys (B, P, units): 2 W1 f of P
    positions; values (B, P, E); weight (4 units, units), bias (4 units): 2 W2 of the attention above the
    GRU's recurrent kernel; score (units,): 2 V; from_context (3 units, E): the context's part of its input
    kernel. The twos: V tanh(x) = 2 V sigmoid(2 x) - sum(V), the softmax drops the last term, and on a CPU
    the sigmoid takes a third of tanh's time. One more row of weight and bias is the context's gate, beta =
    sigmoid(w h + b) (1502.03044, section 4.2.1). Computes in the dtype of `keys`; the hidden state is kept in
    that of `weight`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        keys: Tensor,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        score: Tensor,
        from_context: Tensor,
        rows_at: list[int],
        with_attention: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
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
        width = len(flat) // len(ctx.rows_at)
        steps = [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]
        carried = gradients[0].new_zeros(0, score.shape[0])
        d_keys, d_score = torch.zeros_like(keys), torch.zeros_like(score, dtype=ctx.weight_dtype)
        attentions = values.new_zeros(len(steps), *values.shape[:2])
        d_contexts = values.new_zeros(len(steps), values.shape[0], values.shape[2])
        packed: list[tuple[Tensor, Tensor]] = []
        outputs = gradients[0].split(ctx.rows_at)
        of_maps = gradients[1].to(keys.dtype).split(ctx.rows_at) if gradients[1] is not None else None
        units = score.shape[0]
        for t in reversed(range(len(steps))):
            rows, saved = ctx.rows_at[t], steps[t]
            d_hidden = outputs[t].clone()
            d_hidden[: carried.shape[0]] += carried  # captions that end here have no later step
            d_gates, d_products, carried = _step_back_gru(d_hidden, saved, width=weight.shape[0])
            d_context = d_gates @ from_context
            if len(saved) > UNGATED:  # through beta * context, and beta = sigmoid
                beta = saved[UNGATED]
                d_products[:, 4 * units :] = (d_context * saved[2]).sum(1, keepdim=True) * beta * (1 - beta)
                d_context = beta * d_context
            attentions[t, :rows], d_contexts[t, :rows] = saved[1], d_context
            d_attention = (values[:rows] @ d_context[:, :, None]).squeeze(-1)
            if of_maps is not None:
                d_attention += of_maps[t]
            d_scores = _softmax_back(d_attention, saved[1])
            gate = saved[3]  # (rows, P, units)
            d_score += d_scores.flatten() @ gate.flatten(0, 1)
            slope = torch.addcmul(gate, gate, gate, value=-1)
            d_keys[:rows].addcmul_(slope, d_scores[:, :, None])  # score is multiplied in after the loop
            d_products[:, :units] = (d_scores[:, None] @ slope).squeeze(1) * score
            carried = carried + d_products @ weight
            packed.append((d_gates, d_products))
        d_inputs, d_linear = (torch.cat(part[::-1]) for part in zip(*packed, strict=True))
        previous, contexts = (torch.cat([step[i] for step in steps]).to(keys.dtype) for i in (0, 2))
        if width > UNGATED:
            contexts = contexts * torch.cat([step[UNGATED] for step in steps])
        d_values = attentions.permute(1, 2, 0) @ d_contexts.transpose(0, 1)
        kind = ctx.weight_dtype
        d_weight, d_from_context = (d_linear.T @ previous).to(kind), (d_inputs.T @ contexts).to(kind)
        d_bias = d_linear.sum(0, dtype=kind)
        return d_inputs, d_keys * score, d_values, d_weight, d_bias, d_score, d_from_context, None, None


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
    """One time step -> hidden (rows, units), then what the way back needs."""
    dtype = keys.dtype
    query, *products = F.linear(hidden.to(dtype), weight, bias).split(score.shape[0], 1)
    gate = torch.add(keys, query[:, None]).sigmoid_()
    attention = (gate @ score).to(hidden.dtype).softmax(1).to(dtype)
    seen = (attention[:, None] @ values).squeeze(1)
    beta = [product.sigmoid() for product in products[3:]]  # (rows, 1), or none
    context = beta[0] * seen if beta else seen
    gates = (words + F.linear(context, from_context)).to(hidden.dtype).chunk(3, 1)
    reset = torch.sigmoid(gates[0] + products[0])
    update = torch.sigmoid(gates[1] + products[1])
    candidate = torch.tanh(gates[2] + reset * products[2])
    return (
        torch.lerp(candidate, hidden, update),
        attention,
        seen,
        gate,
        reset,
        update,
        candidate,
        products[2],
        *beta,
    )


def _step_back_gru(d_hidden: Tensor, saved: Saved, *, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the gates' inputs (rows, 3 units), of all products with the state, of the state before."""
    previous, attention, _, _, reset, update, candidate, recurrent = saved[:UNGATED]
    d_candidate = d_hidden * (1 - update) * (1 - candidate * candidate)
    d_update = d_hidden * (previous - candidate) * update * (1 - update)
    d_reset = d_candidate * recurrent * reset * (1 - reset)
    d_gates = torch.cat([d_reset, d_update, d_candidate], 1).to(attention.dtype)
    # The query's part, in front, and beta's, at the end, come from the attention.
    of_beta = d_reset.new_zeros(len(d_reset), width - 4 * d_reset.shape[1])
    d_products = torch.cat([torch.zeros_like(d_reset), d_reset, d_update, d_candidate * reset, of_beta], 1)
    return d_gates, d_products.to(attention.dtype), d_hidden * update


def _softmax_back(d_attention: Tensor, attention: Tensor) -> Tensor:
    return attention * (d_attention - (attention * d_attention).sum(1, keepdim=True))
