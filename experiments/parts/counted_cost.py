"""The cost of a part without a formula: it is counted from the module that the part builds.

- Embeddings and pointwise operations are not counted, as in `Cost`.
- A product of positions with positions has FLOPs that grow with the square of the length. A causal
  token sees (length + 1) / 2 positions on average, so only this share of the square counts. It
  does not matter whether the module computes the masked half. The formula of our own attention
  (`experiments.parts.attention`) counts in the same way, so that both can be compared.
- Keys and values are the content of `new_cache`, if the module has it, else those that
  `scaled_dot_product_attention` and `nn.MultiheadAttention` receive. Attention and whole models
  with neither have an unknown number, NaN.
- A module that returns a routing uses only some of its parameters for a token. All its FLOPs count,
  so a mixture that computes all experts costs as much as all of them.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, Protocol

from experiments.parts.cost import Cost

if TYPE_CHECKING:
    from torch import nn

    from experiments.nn.module_counts import ForwardCount

LENGTH_IF_UNKNOWN = 16
LONGEST_ON_CPU = 64  # tokens of the input of a module that cannot run on the meta device
LARGEST_ON_CPU = 1 << 28  # parameters of such a module: 1 GiB
BYTES_PER_NUMBER = 4  # float32


class CountedPart(Protocol):
    """A part whose cost is counted."""

    group: ClassVar[str]
    kind: str

    def build(self, d_model: int) -> "nn.Module":
        """Return the module with the interface of its group."""


class CostCounter:
    """The function that counts costs in another process; None to count in this one.

    A plan sets it, since its process does not import torch. A trial counts in its own process.
    """

    elsewhere: ClassVar["Callable[[CountedPart, int, int], Cost] | None"] = None


def count_cost(part: "CountedPart", d_model: int, length: int) -> Cost:
    """Return the cost of one module of a part.

    `length` is the number of tokens of a sequence; 0 leaves out the products of attention.

    Raises:
        ValueError: the module cannot be built or run.
    """
    if CostCounter.elsewhere is not None:
        return CostCounter.elsewhere(part, d_model, length)
    return count_in_this_process(part, d_model, length)


def count_in_this_process(part: "CountedPart", d_model: int, length: int) -> Cost:
    """Return the cost of one module. Imports torch.

    It is counted on the meta device, which computes shapes only. A module whose forward pass
    depends on values is counted on the CPU, on a sequence of at most `LONGEST_ON_CPU` tokens.

    Raises:
        ValueError: the module cannot be built or run.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            return _count_on("meta", part, d_model, length)
        except Exception:
            try:
                _check_size(part, d_model)
                return _count_on("cpu", part, d_model, length)
            except Exception as error:
                raise ValueError(
                    f"{part.group}={part.kind}: its cost cannot be counted: with d_model={d_model} "
                    f"its module raises {type(error).__name__}: {error}"
                ) from error


def _check_size(part: "CountedPart", d_model: int) -> None:
    """Raise ValueError for a module that needs much memory on the CPU."""
    import torch

    try:
        with torch.device("meta"):
            module = part.build(d_model)
    except Exception:  # its size is unknown
        return
    parameters = sum(each.numel() for each in module.parameters())
    if parameters > LARGEST_ON_CPU:
        raise ValueError(f"it has {parameters} parameters, too many to run it on the CPU")


def _count_on(device: str, part: "CountedPart", d_model: int, length: int) -> Cost:
    import torch

    from experiments.nn.module_counts import count_active_parameters

    with torch.device(device):
        module = part.build(d_model).to(device)
    parameters = sum(each.numel() for each in module.parameters())
    long_length = length or LENGTH_IF_UNKNOWN
    if device == "cpu":
        long_length = min(long_length, LONGEST_ON_CPU)
    long = _count_forward(module, part.group, (1, long_length, d_model), device)
    short_length = max(1, long_length // 2)
    try:
        short = _count_forward(module, part.group, (1, short_length, d_model), device)
    except Exception:  # a length that the module refuses
        short_length, short = long_length, long
    linear, square = split_flops(long_length, long.flops, short_length, short.flops)
    flops = linear + square * Fraction(length + 1, 2) if length else linear
    is_routed = (
        part.group == "ffn" and isinstance(long.output, tuple) and long.output[1] is not None
    )
    return Cost(
        parameters,
        count_active_parameters(part.build(d_model), d_model) if is_routed else parameters,
        float(flops),
        _kv_bytes(module, part.group, (long_length, long), (short_length, short)),
    )


def split_flops(long: int, flops: int, short: int, fewer: int) -> tuple[Fraction, Fraction]:
    """Return (a, b) where a pass over n tokens has a n + b n^2 FLOPs, from two lengths.

    With one length only, b is 0.
    """
    per_token, per_token_short = Fraction(flops, long), Fraction(fewer, short)
    # Blocks of a fixed length have more FLOPs per token in a short sequence, which they fill up.
    if long == short or per_token <= per_token_short:
        return per_token, Fraction(0)
    square = (per_token - per_token_short) / (long - short)
    return per_token - square * long, square


def _count_forward(
    module: "nn.Module", group: str, shape: tuple[int, ...], device: str
) -> "ForwardCount":
    """Count a forward pass of a module that has the interface of its group."""
    import torch

    from experiments.nn.module_counts import count_forward

    x = torch.randn(shape, device=device)
    if group == "language_model":
        x = torch.zeros(shape[:2], dtype=torch.int64, device=device)
    return count_forward(lambda: module(x) if group == "norm" else module(x, None))


def _kv_bytes(
    module: "nn.Module",
    group: str,
    long: tuple[int, "ForwardCount"],
    short: tuple[int, "ForwardCount"],
) -> float:
    """Return the bytes of keys and values per token; NaN if they are unknown."""
    from experiments.nn.module_counts import cache_numbers_per_token
    from experiments.nn.plain_module import PlainAttention

    own_module = module.module if isinstance(module, PlainAttention) else module
    if (numbers := cache_numbers_per_token(own_module)) is not None:
        return BYTES_PER_NUMBER * numbers
    (length, count), (short_length, short_count) = long, short
    # Numbers in proportion to the length belong to tokens. Others are not cached for each token.
    is_proportional = count.kv_numbers * short_length == short_count.kv_numbers * length
    if count.kv_numbers and is_proportional and count.kv_numbers % length == 0:
        return BYTES_PER_NUMBER * (count.kv_numbers // length)
    return math.nan if group in ("attention", "language_model") else 0
