"""Greedy decoding of an encoder-decoder, batched, with cached keys and values; and its naive twin.

Legend: batch; source, positions of the source; length, tokens of the longest decoded target.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.nn.encoder_decoder import PAD, EncoderDecoder


@torch.inference_mode()
def translate_greedily(
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
    check_eval_mode(model)
    state = model.start_decoding(source, capacity=max_length)
    token = torch.full((len(source), 1), bos, device=source.device)
    ended = torch.zeros(len(source), 1, dtype=torch.bool, device=source.device)
    never = forbidden_tokens(model, bos, source.device)
    chosen: list[Tensor] = []
    while len(chosen) < max_length and not bool(ended.all()):
        token = likeliest_token(model.decode_next(token, state), ended, never)
        ended = ended | (token == eos)
        chosen.append(token)
    return torch.cat(chosen, dim=1)


@torch.inference_mode()
def translate_greedily_uncached(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    *,
    bos: int,
    eos: int,
    max_length: int,
) -> Int[Tensor, "batch length"]:
    """The naive twin of `translate_greedily`: every step encodes the source and computes the prefix anew."""
    check_eval_mode(model)
    target = torch.full((len(source), 1), bos, device=source.device)
    ended = torch.zeros(len(source), 1, dtype=torch.bool, device=source.device)
    never = forbidden_tokens(model, bos, source.device)
    while target.shape[1] <= max_length and not bool(ended.all()):
        token = likeliest_token(model(source, target).prediction, ended, never)
        ended = ended | (token == eos)
        target = torch.cat((target, token), dim=1)
    return target[:, 1:]


def likeliest_token(
    logits: Float[Tensor, "batch time n_outputs"],
    ended: Bool[Tensor, "batch 1"],
    never: Bool[Tensor, " n_outputs"],
) -> Int[Tensor, "batch 1"]:
    """The likeliest token behind the last position; PAD where a sentence has ended."""
    token = logits[:, -1:].masked_fill(never, -torch.inf).argmax(dim=2)
    return token.masked_fill(ended, PAD)


def forbidden_tokens(
    model: EncoderDecoder, bos: int, device: torch.device
) -> Bool[Tensor, " n_outputs"]:
    """True at the tokens that can follow nothing."""
    tokens = torch.arange(model.target_embedding.num_embeddings, device=device)
    return (tokens == PAD) | (tokens == bos)


def check_eval_mode(model: EncoderDecoder) -> None:
    """Raise ValueError in training mode."""
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random; call model.eval()"
        )
