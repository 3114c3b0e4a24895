"""Greedy decoding of an encoder-decoder, batched, with cached keys and values; and its naive twin.

Legend: batch; source, positions of the source; length, tokens of the longest decoded target.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.nn.encoder_decoder import PAD, EncoderDecoder


@torch.no_grad()
def greedy(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    *,
    bos: int,
    eos: int,
    max_length: int,
) -> Int[Tensor, "batch length"]:
    """The likeliest token again and again, until `eos` or `max_length` tokens.

    The source is encoded once, and a step computes the newest position alone. A sentence that has
    ended is followed by PAD, while the others go on. Neither PAD nor `bos` is ever chosen.

    Raises:
        ValueError: the model is in training mode, so that dropout would choose.
    """
    check(model)
    state = model.start(source, capacity=max_length)
    token = torch.full((len(source), 1), bos, device=source.device)
    chosen = torch.full((len(source), max_length), PAD, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    for index in range(max_length):
        logits = model.extend(token, state)[:, -1]
        chosen[:, index] = following(logits, ended, bos)
        ended |= chosen[:, index] == eos
        if bool(ended.all()):
            return chosen[:, : index + 1]
        token = chosen[:, index : index + 1]
    return chosen


@torch.no_grad()
def greedy_recomputing(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    *,
    bos: int,
    eos: int,
    max_length: int,
) -> Int[Tensor, "batch length"]:
    """The naive twin of `greedy`: every step encodes the source and computes the prefix anew."""
    check(model)
    target = torch.full((len(source), 1), bos, device=source.device)
    ended = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    while target.shape[1] <= max_length and not bool(ended.all()):
        logits = model(source, target).prediction[:, -1]
        token = following(logits, ended, bos)
        ended |= token == eos
        target = torch.cat((target, token[:, None]), dim=1)
    return target[:, 1:]


def following(
    logits: Float[Tensor, "batch n_outputs"], ended: Bool[Tensor, " batch"], bos: int
) -> Int[Tensor, " batch"]:
    """The likeliest token that can follow; PAD where a sentence has ended."""
    never = torch.tensor([PAD, bos], device=logits.device)
    return logits.index_fill(1, never, -torch.inf).argmax(dim=1).masked_fill(ended, PAD)


def check(model: EncoderDecoder) -> None:
    """Raise ValueError in training mode."""
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random; call model.eval()"
        )
