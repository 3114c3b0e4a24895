"""Greedy decoding with a cache of keys and values, and its twin that recomputes the whole prefix.

Legend: batch; prompt, tokens that are given; new, tokens that are made; vocabulary.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from experiments.nn.decoding.kv_cache import KVCache
from experiments.nn.transformer import Transformer


@torch.no_grad()
def prefill(
    model: Transformer,
    prompt: Int[Tensor, "batch prompt"],
    caches: Sequence[KVCache],
    *,
    chunk: int | None = None,
) -> Float[Tensor, "batch vocabulary"]:
    """Fill the caches with a prompt; the logits that follow it.

    The prompt goes through the model in pieces of `chunk` tokens (None: at once), which bounds the
    memory of the activations and changes the result by no more than rounding.
    """
    pieces = prompt.split(chunk or prompt.shape[1], dim=1)
    return [model(piece, caches=caches).prediction[:, -1] for piece in pieces][-1]


@torch.no_grad()
def decode_token(
    model: Transformer, token: Int[Tensor, " batch"], caches: Sequence[KVCache]
) -> Float[Tensor, "batch vocabulary"]:
    """One more token: the logits that follow it, and its keys and values in the caches."""
    return model(token[:, None], caches=caches).prediction[:, -1]


def generate_greedily(
    model: Transformer,
    prompt: Int[Tensor, "batch prompt"],
    *,
    n_new: int,
    chunk: int | None = None,
) -> Int[Tensor, "batch new"]:
    """The `n_new` most likely next tokens, one after the other; the model is in eval mode."""
    caches = model.new_caches(prompt.shape[0], prompt.shape[1] + n_new - 1)
    tokens = [prefill(model, prompt, caches, chunk=chunk).argmax(dim=-1)]
    while len(tokens) < n_new:
        tokens.append(decode_token(model, tokens[-1], caches).argmax(dim=-1))
    return torch.stack(tokens, dim=1)


@torch.no_grad()
def generate_greedily_uncached(
    model: Transformer, prompt: Int[Tensor, "batch prompt"], *, n_new: int
) -> Int[Tensor, "batch new"]:
    """The naive twin of `generate_greedily`: no cache, every step computes all positions again."""
    tokens = prompt
    for _ in range(n_new):
        following = model(tokens).prediction[:, -1].argmax(dim=-1)
        tokens = torch.cat((tokens, following[:, None]), dim=1)
    return tokens[:, prompt.shape[1] :]
