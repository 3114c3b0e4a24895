"""Counts of any module: FLOPs of a forward pass, keys and values, and active parameters.

FLOPs are those of matrix products, convolutions and attention: 2 for each multiplication and
addition. Pointwise operations are not counted.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import multi_head_attention_forward, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

N_TOKENS, N_SINGLE = 1024, 8  # tokens that find all experts, and tokens that are routed one by one


class ForwardCount(NamedTuple):
    """The counts of one forward pass.

    Attributes:
        flops: FLOPs of the pass.
        kv_numbers: numbers in the keys and values that torch's functions of attention receive.
        output: the result of the module.
    """

    flops: int
    kv_numbers: int
    output: Any


class KeyValueCounter(TorchFunctionMode):
    """A mode that counts the numbers in the keys and values of attention.

    It sees `scaled_dot_product_attention` and `nn.MultiheadAttention`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_function__(
        self, function: Any, _: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call the function, and count the keys and values that it receives."""
        named = kwargs or {}
        if function in (scaled_dot_product_attention, multi_head_attention_forward):
            tensors = [*args[1:3], *(named[name] for name in ("key", "value") if name in named)]
            if function is multi_head_attention_forward:
                # It projects both to the width of the query, and calls the other function itself.
                width = args[0].shape[-1] if args else named["query"].shape[-1]
                self.numbers += sum(each.numel() // each.shape[-1] * width for each in tensors)
            else:
                self.numbers += sum(map(stored_numbers, tensors))
        return function(*args, **named)


def count_forward(call: Callable[[], Any]) -> ForwardCount:
    """Count the forward pass that `call` runs, without gradients."""
    with (
        torch.no_grad(),
        without_fused_kernels(),
        FlopCounterMode(display=False) as counter,
        KeyValueCounter() as keys_values,
    ):
        output = call()
    return ForwardCount(counter.get_total_flops(), keys_values.numbers, output)


@contextmanager
def without_fused_kernels() -> Iterator[None]:
    """Compute with single products, since the counter does not know fused kernels of CPUs.

    These are kernels of attention, of recurrent layers and of `nn.TransformerEncoderLayer`, and
    compiled modules.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
        mkldnn = torch.backends.mkldnn.flags(enabled=False)
        with sdpa_kernel([SDPBackend.MATH]), mkldnn, torch.compiler.set_stance("force_eager"):
            torch.backends.mha.set_fastpath_enabled(False)
            try:
                yield
            finally:
                torch.backends.mha.set_fastpath_enabled(fast_path)


def stored_numbers(tensor: Tensor) -> int:
    """Return the numbers of a tensor; numbers that `expand` repeats count once."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride)


def cache_numbers_per_token(module: nn.Module) -> int | None:
    """Return the numbers that the cache of a module's `new_cache` holds for each token.

    None: no part of the module has this method.
    """
    for child in module.modules():
        if callable(new_cache := getattr(child, "new_cache", None)):
            small, large = (
                sum(tensor.numel() for tensor in find_tensors(new_cache(1, capacity)))
                for capacity in (8, 16)
            )
            return (large - small) // 8
    return None


def find_tensors(value: object, depth: int = 4) -> Iterator[Tensor]:
    """Yield the tensors in an object's attributes and containers, `depth` levels deep."""
    if isinstance(value, Tensor):
        yield value
    elif depth:
        inner = value if isinstance(value, dict | list | tuple) else getattr(value, "__dict__", {})
        for each in inner.values() if isinstance(inner, dict) else inner:
            yield from find_tensors(each, depth - 1)


def count_active_parameters(module: nn.Module, d_model: int) -> int:
    """Return the parameters that one token uses, on average, of a module that returns a routing.

    The module returns (output, routing), and `routing.logits` has a column for each expert. A token
    uses a matrix that gets a gradient from it. Experts are matrices of their own, or lie along the
    first axis of one tensor. A matrix that gets a gradient from no token counts too: for example,
    that of a router whose choice has no gradient.

    The module must be on the CPU. It gets random weights, and is not usable afterwards.
    """
    for parameter in module.parameters():
        # Random values, since an expert that starts at zero would pass on no gradient.
        nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 1.0)
    tokens = torch.randn(1, N_TOKENS, d_model)
    n_total = sum(parameter.numel() for parameter in module.parameters())
    n_unused = n_total - count_used_numbers(module, tokens)
    singles = [count_used_numbers(module, tokens[:, [index]]) for index in range(N_SINGLE)]
    return n_unused + round(sum(singles) / N_SINGLE)


def count_used_numbers(module: nn.Module, x: Tensor) -> int:
    """Return the numbers in the matrices of a module that get a gradient from these tokens."""
    module.zero_grad(set_to_none=True)
    output, routing = module(x, None)
    output.square().sum().backward()
    gradients = [each.grad for each in module.parameters() if each.grad is not None]
    is_stack = [each.ndim > 2 and len(each) == routing.logits.shape[-1] for each in gradients]
    matrices = [
        matrix
        for each, stacked in zip(gradients, is_stack, strict=True)
        for matrix in (each if stacked else [each])
    ]
    return sum(matrix.numel() for matrix in matrices if bool(matrix.any()))
