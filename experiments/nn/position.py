"""Positions: a rotation of queries and keys, or sinusoids added to the input.

Legend: batch, n_heads, time; d_head (even) and d_model are widths.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_tables(
    length: int,
    d_head: int,
    *,
    start: int = 0,
    base: float = 10_000.0,
    device: torch.device | None = None,
) -> tuple[Float[Tensor, "time half"], Float[Tensor, "time half"]]:
    """Cosine and sine of the angles t * base**(-2i / d_head), t from `start` on, in float32.

    Raises:
        ValueError: where `d_head` is odd, since a rotation needs pairs of coordinates.
    """
    if d_head % 2:
        raise ValueError(
            f"d_head={d_head} must be even: rotary positions turn pairs of coordinates"
        )
    frequency = base ** (-torch.arange(0, d_head, 2, device=device, dtype=torch.float32) / d_head)
    time = torch.arange(start, start + length, device=device, dtype=torch.float32)
    angle = torch.outer(time, frequency)
    return angle.cos(), angle.sin()


def rotate(
    x: Float[Tensor, "batch n_heads time d_head"],
    cos: Float[Tensor, "time half"],
    sin: Float[Tensor, "time half"],
) -> Float[Tensor, "batch n_heads time d_head"]:
    """Turn coordinate i together with i + d_head / 2 (the half-split layout of GPT-NeoX and LLaMA).

    Su 2021 interleaves, turning 2i with 2i + 1; the two are the same up to a fixed order of the
    coordinates, but weights trained with one do not serve the other.
    """
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def sinusoidal(
    length: int,
    d_model: int,
    *,
    start: int = 0,
    base: float = 10_000.0,
    device: torch.device | None = None,
) -> Float[Tensor, "time d_model"]:
    """Sinusoids (Vaswani 2017) from `start` on: sines at even columns, cosines at odd ones."""
    column = torch.arange(0, d_model, 2, device=device, dtype=torch.float32)
    time = torch.arange(start, start + length, device=device, dtype=torch.float32)
    angle = torch.outer(time, base ** (-column / d_model))
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :d_model]
