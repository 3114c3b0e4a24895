"""Positions: a rotation of queries and keys, or sinusoids added to the input.

Legend of shapes: batch, n_heads, time (positions); d_head (even) and half = d_head / 2; d_model.
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
    """Return cosine and sine, in float32, of the angles t * base**(-2i / d_head).

    t runs from `start` to start + length - 1, and i from 0 to half - 1 (Su 2021, RoPE).

    Raises:
        ValueError: `d_head` is odd, while a rotation needs pairs of coordinates.
    """
    if d_head % 2:
        raise ValueError(
            f"d_head={d_head} must be even: rotary positions rotate pairs of coordinates"
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
    """Rotate the pairs of coordinates (i, i + d_head / 2): the layout of GPT-NeoX and LLaMA.

    Su 2021 rotates the pairs (2i, 2i + 1). Both layouts are equal up to a fixed order of
    coordinates, but weights trained with one do not work with the other.
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
    """Return sinusoidal positions from `start` on (Vaswani 2017, section 3.5).

    Column 2i is sin(t * base**(-2i / d_model)), and column 2i + 1 the cosine of the same angle.
    """
    column = torch.arange(0, d_model, 2, device=device, dtype=torch.float32)
    time = torch.arange(start, start + length, device=device, dtype=torch.float32)
    angle = torch.outer(time, base ** (-column / d_model))
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, :d_model]
