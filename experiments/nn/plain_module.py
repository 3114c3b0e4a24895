"""Adapters that give any module the interface of attention, feed-forward networks or norms."""

from typing import Any

from torch import Tensor, nn

from experiments.nn.moe.routing import Routing


def adapt_module(group: str, module: nn.Module) -> nn.Module:
    """Return a module with the interface that a block expects of a part of this group."""
    if group == "norm":
        return module
    return PlainFeedForward(module) if group == "ffn" else PlainAttention(module)


class PlainAttention(nn.Module):
    """Any module x -> y as the attention of a block."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return the change of the stream (batch, time, d_model)."""
        y: Tensor = self.module(x)
        return y


class PlainFeedForward(nn.Module):
    """Any module x -> y as the feed-forward network of a block."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, keep: Any = None) -> tuple[Tensor, Routing | None]:  # noqa: ARG002
        """Return the change of the stream (batch, time, d_model), and no routing."""
        return self.module(x), None
