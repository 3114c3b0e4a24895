"""Batched greedy decoding of an encoder-decoder with a cache, and its naive twin without one.

Legend of shapes:
    batch: sentences.
    source: positions of the source.
    time: positions of the target so far.
    length: tokens of the longest decoded target.
    n_outputs: tokens of the target vocabulary.
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
    """Return the tokens of each translation, up to `eos` or `max_length` tokens.

    Each token is the most likely one after those before it, except for PAD and `bos`. The source
    is encoded once, and each step computes only the newest position. A sentence that has ended is
    filled with PAD until all have.

    Raises:
        ValueError: the model is in training mode, where dropout makes tokens random.
    """
    check_eval_mode(model)
    state = model.start_decoding(source, capacity=max_length)
    token = torch.full((len(source), 1), bos, device=source.device)
    ended = torch.zeros(len(source), 1, dtype=torch.bool, device=source.device)
    forbidden = forbidden_tokens(model, bos, source.device)
    tokens: list[Tensor] = []
    while len(tokens) < max_length and not bool(ended.all()):
        token = likeliest_token(model.decode_next(token, state), ended, forbidden)
        ended = ended | (token == eos)
        tokens.append(token)
    return torch.cat(tokens, dim=1)


@torch.inference_mode()
def translate_greedily_uncached(
    model: EncoderDecoder,
    source: Int[Tensor, "batch source"],
    *,
    bos: int,
    eos: int,
    max_length: int,
) -> Int[Tensor, "batch length"]:
    """Return the tokens of `translate_greedily` without a cache.

    Each step encodes the source and computes all target positions.
    """
    check_eval_mode(model)
    target = torch.full((len(source), 1), bos, device=source.device)
    ended = torch.zeros(len(source), 1, dtype=torch.bool, device=source.device)
    forbidden = forbidden_tokens(model, bos, source.device)
    while target.shape[1] <= max_length and not bool(ended.all()):
        token = likeliest_token(model(source, target).prediction, ended, forbidden)
        ended = ended | (token == eos)
        target = torch.cat((target, token), dim=1)
    return target[:, 1:]


def likeliest_token(
    logits: Float[Tensor, "batch time n_outputs"],
    ended: Bool[Tensor, "batch 1"],
    forbidden: Bool[Tensor, " n_outputs"],
) -> Int[Tensor, "batch 1"]:
    """Return the most likely token after the last position; PAD where a sentence has ended."""
    token = logits[:, -1:].masked_fill(forbidden, -torch.inf).argmax(dim=2)
    return token.masked_fill(ended, PAD)


def forbidden_tokens(
    model: EncoderDecoder, bos: int, device: torch.device
) -> Bool[Tensor, " n_outputs"]:
    """Return a mask of the vocabulary: True at PAD and `bos`, which are never chosen."""
    tokens = torch.arange(model.target_embedding.num_embeddings, device=device)
    return (tokens == PAD) | (tokens == bos)


def check_eval_mode(model: EncoderDecoder) -> None:
    """Raise ValueError in training mode."""
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout is random; call model.eval()"
        )
