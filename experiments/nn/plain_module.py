"""Adapters that give any module the interface of attention, feed-forward networks or norms.

An adapter calls `module(x)`, or `module(x, keep=keep)` if its `forward` has a parameter `keep`. The
module returns y, of the shape of x, or a tuple that begins with y. A feed-forward network may also
return its `Routing`. Other values of the tuple are left out.

Legend of shapes: batch, time (positions), d_model (width of the residual stream), and `*tokens`,
any axes before the last.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from experiments.nn.adapter import Adapter
from experiments.nn.decoding.kv_cache import KVCache
from experiments.nn.descriptions import describe_exception, describe_value
from experiments.nn.initialise import draw_normal, named_generator, named_seed
from experiments.nn.moe.routing import AdaptsToRouting, Routing
from experiments.nn.plain_weights import (
    draw_layers,
    find_writers,
    has_drawn_layers,
    match_writers,
    seeded_cpu,
)

SAMPLE_LENGTH = 16
"""The number of positions of the random input that shows which layers return the output.

A module that does not accept it is called with the length of the task's sequences.
"""


@dataclass(frozen=True)
class PlainSource:
    """The origin of a plain module: the function that builds it, and declarations of its part.

    Attributes:
        name: the part in messages, such as `ffn=mine`.
        construct: returns a new module in each call.
        d_model: the width of the stream.
        keeps_initial_weights: whether all parameters keep the values of the constructor.
        residual_writers: names of the layers that return the output, where `*` is any text; () for
            each nn.Linear whose output is the module's output.
    """

    name: str
    construct: Callable[[], Any]
    d_model: int
    keeps_initial_weights: bool = False
    residual_writers: tuple[str, ...] = ()

    def build(self, seed: int) -> nn.Module:
        """Return a new module, whose random values depend on the seed.

        The state of torch's random numbers does not change.

        Raises:
            ValueError: `construct` returns no module.
        """
        with seeded_cpu(seed):
            module = self.construct()
        if not isinstance(module, nn.Module):
            raise ValueError(
                f"{self.name}: build returned {describe_value(module)}, not an nn.Module"
            )
        return module


class PlainModule(Adapter):
    """The adapter of one plain module; a class for each group defines `forward`.

    Attributes:
        source: the origin of the module.
        takes_keep: whether the module takes a padding mask.
    """

    gain_names: ClassVar[tuple[str, str]]
    """The modules of ablab whose gains apply to residual writers and to other layers."""

    def __init__(self, source: PlainSource) -> None:
        super().__init__()
        self.source = source
        self.module = source.build(named_seed(0, source.name))
        self.takes_keep = takes_keep(self.module)
        self.notes = []
        self._writers: list[str] = []

    def draw_initial_weights(
        self, seed: int, path: str, gain: Callable[[str], float], lengths: Sequence[int] = ()
    ) -> None:
        """Build the module again for this seed and path, and draw the weights of known layers.

        Modules on the meta device stay as they are.
        """
        if any(parameter.is_meta for parameter in self.module.parameters()):
            return
        reason = self._inspect_module(lengths)
        self.module = self.source.build(named_seed(seed, path)).train(self.training)
        if self.source.keeps_initial_weights:
            return
        writer_gain, other_gain = map(gain, self.gain_names)
        gains = dict.fromkeys(self._writers, writer_gain)
        draw_layers(self.module, seed, path, gains=gains, other_gain=other_gain)
        if writer_gain != other_gain and not self._writers and has_drawn_layers(self.module):
            self.notes.append(
                f"{self.source.name}: {reason or 'no linear layer returns the output'}, so no "
                "initial weights are scaled with depth; declare residual_writers"
            )

    def residual_writers(self) -> list[nn.Module]:
        """Return the layers whose outputs are the module's output; [] if ablab knows none."""
        return [self.module.get_submodule(path) for path in self._writers]

    def call(self, x: Tensor, keep: Tensor | None = None, **options: Any) -> tuple[Any, ...]:
        """Return the results of the module, y first.

        Raises:
            ValueError: the module returns no tensor of the shape of x.
        """
        if self.takes_keep:
            options["keep"] = keep
        result = self.module(x, **options)
        results = tuple(result) if isinstance(result, tuple | list) else (result,)
        y = results[0] if results else None
        if not isinstance(y, Tensor) or y.shape != x.shape:
            raise ValueError(
                f"{self.source.name}: forward returned {describe_value(y)} for "
                f"{describe_value(x)}; it must return a tensor of the same shape, alone or first "
                "in a tuple"
            )
        return results

    def _inspect_module(self, lengths: Sequence[int]) -> str:
        """Find the residual writers and the number of results, from a call with a random input.

        Returns:
            Why the call failed with each length; "" if it did not.
        """
        if self.source.residual_writers:
            try:
                self._writers = match_writers(self.module, self.source.residual_writers)
            except ValueError as error:
                raise ValueError(f"{self.source.name}: {error}") from error
        reason = ""
        for length in dict.fromkeys([SAMPLE_LENGTH, *lengths]):
            if length < 1:
                continue
            # A call may change the module, so each call has a new one.
            module = self.source.build(named_seed(0, self.source.name)).eval()
            try:
                writers, results = self._call_sample(module, length)
            # An error here need not be one in training: the length of the sample may not suit.
            except Exception as error:
                reason = f"a sample of {length} positions fails ({describe_exception(error)})"
                continue
            self._writers = self._writers or writers
            ignored = [each for each in results[1:] if not isinstance(each, Routing | None)]
            if ignored:
                self.notes = [
                    f"{self.source.name}: only the first of the {len(results)} results of forward "
                    "is used"
                ]
            return ""
        return reason

    def _call_sample(self, module: nn.Module, length: int) -> tuple[list[str], tuple[Any, ...]]:
        """Return the residual writers and the results of a module for a random input."""
        sample = torch.empty(1, length, self.source.d_model)
        sample = draw_normal(sample, named_generator(0, "sample"))
        weight = next(module.parameters(), sample)
        results: tuple[Any, ...] = ()
        self.module = module

        def call() -> Tensor:
            nonlocal results
            results = self.call(sample.to(weight.dtype))
            y: Tensor = results[0]
            return y

        with seeded_cpu(0):
            writers = find_writers(module, call)
        return writers, results


class PlainAttention(PlainModule):
    """Any module x -> y as the attention of a block."""

    gain_names = ("out", "query")

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch keys"] | None = None,
        **options: Any,
    ) -> Float[Tensor, "batch time d_model"]:
        """Return the change of the stream.

        `options` are those of `experiments.nn.attention.Attention`, for a module that supports
        them.

        Raises:
            ValueError: the batch has padding and the module takes no mask, or y is malformed.
        """
        if keep is not None and not self.takes_keep:
            raise ValueError(
                f"{self.source.name}: the batch has padding, and forward takes no mask; write "
                "def forward(self, x, keep=None), where keep is True at kept positions"
            )
        y: Tensor = self.call(x, keep, **options)[0]
        return y

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """Return the module's own empty cache, for attention in an encoder-decoder."""
        module: Any = self.module
        cache: KVCache = module.new_cache(batch, capacity)
        return cache

    def new_memory_cache(self, memory: Float[Tensor, "batch source d_model"]) -> KVCache:
        """Return the module's own cache of a memory, for attention in an encoder-decoder."""
        module: Any = self.module
        cache: KVCache = module.new_memory_cache(memory)
        return cache


class PlainFeedForward(PlainModule):
    """Any module x -> y, or x -> (y, routing), as the feed-forward network of a block."""

    gain_names = ("down", "up")

    def forward(
        self,
        x: Float[Tensor, "batch time d_model"],
        keep: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "batch time d_model"], Routing | None]:
        """Return the change of the stream, and the routing if the module returns one."""
        results = self.call(x, keep)
        routings = [each for each in results[1:] if isinstance(each, Routing)]
        return results[0], routings[0] if routings else None

    def after_step(self, routing: Routing) -> None:
        """Call `after_step` of a module that has it."""
        if isinstance(self.module, AdaptsToRouting):
            self.module.after_step(routing)


class PlainNorm(PlainModule):
    """Any module x -> y as a norm."""

    gain_names = ("norm", "norm")

    def forward(self, x: Float[Tensor, "*tokens d_model"]) -> Float[Tensor, "*tokens d_model"]:
        """Return the normed stream."""
        y: Tensor = self.call(x)[0]
        return y


ADAPTERS: dict[str, type[PlainModule]] = {
    "attention": PlainAttention,
    "ffn": PlainFeedForward,
    "norm": PlainNorm,
}


def adapt_module(group: str, source: PlainSource) -> PlainModule:
    """Return a module with the interface that a block expects of a part of this group."""
    return ADAPTERS[group](source)


def takes_keep(module: nn.Module) -> bool:
    """Return whether the `forward` of a module has a parameter `keep`, for the padding mask."""
    try:
        return "keep" in inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # a scripted module has no signature
        return False
