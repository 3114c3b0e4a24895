"""Greedy decoding with a cache of keys and values, and its naive twin without a cache.

Legend of shapes: batch; prompt, tokens of the prompt; new, generated tokens; vocabulary.
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
    """Fill the caches with a prompt and return the logits after its last token.

    The model reads the prompt in pieces of `chunk` tokens (None: in one piece). Small pieces bound
    the memory of activations and change the result only by rounding.
    """
    pieces = prompt.split(chunk or prompt.shape[1], dim=1)
    return [model(piece, caches=caches).prediction[:, -1] for piece in pieces][-1]


@torch.no_grad()
def decode_token(
    model: Transformer, token: Int[Tensor, " batch"], caches: Sequence[KVCache]
) -> Float[Tensor, "batch vocabulary"]:
    """Append a token's keys and values to the caches and return the logits after it."""
    return model(token[:, None], caches=caches).prediction[:, -1]


def generate_greedily(
    model: Transformer,
    prompt: Int[Tensor, "batch prompt"],
    *,
    n_new: int,
    chunk: int | None = None,
) -> Int[Tensor, "batch new"]:
    """Return `n_new` tokens, each the most likely one after all tokens before it.

    The model must be in eval mode.
    """
    caches = model.new_caches(prompt.shape[0], prompt.shape[1] + n_new - 1)
    tokens = [prefill(model, prompt, caches, chunk=chunk).argmax(dim=-1)]
    while len(tokens) < n_new:
        tokens.append(decode_token(model, tokens[-1], caches).argmax(dim=-1))
    return torch.stack(tokens, dim=1)


@torch.no_grad()
def generate_greedily_uncached(
    model: Transformer, prompt: Int[Tensor, "batch prompt"], *, n_new: int
) -> Int[Tensor, "batch new"]:
    """Return the tokens of `generate_greedily` without a cache.

    Each step computes all positions.
    """
    tokens = prompt
    for _ in range(n_new):
        next_token = model(tokens).prediction[:, -1].argmax(dim=-1)
        tokens = torch.cat((tokens, next_token[:, None]), dim=1)
    return tokens[:, prompt.shape[1] :]
