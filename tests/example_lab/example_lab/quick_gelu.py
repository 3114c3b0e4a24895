"""A feed-forward part from a module that knows nothing of ablab."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.parts import part

if TYPE_CHECKING:
    from torch import nn


@part("ffn", "example_quick_gelu")
@dataclass
class QuickGelu:
    """x W1 -> h * sigmoid(1.702 h) -> W2."""

    d_ff: int = 32

    def build(self, d_model: int) -> "nn.Module":
        """Return the module."""
        import torch
        from torch import nn

        class Gate(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * torch.sigmoid(1.702 * x)

        return nn.Sequential(nn.Linear(d_model, self.d_ff), Gate(), nn.Linear(self.d_ff, d_model))
