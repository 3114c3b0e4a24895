"""A plug-in with plain parts of each group, for tests of the experiments."""

from dataclasses import dataclass

from experiments.parts import part


@part("ffn", "my_ffn")
@dataclass
class QuickFeedForward:
    """A hidden layer; the last linear layer returns the output."""

    d_ff: int = 16

    def build(self, d_model):
        from torch import nn

        return nn.Sequential(
            nn.Linear(d_model, self.d_ff), nn.SiLU(), nn.Linear(self.d_ff, d_model)
        )


@part("ffn", "my_gate")
class OutputGate:
    """A gate on the output, so that no linear layer returns it."""

    def build(self, d_model):
        from torch import nn

        class Gate(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.value, self.gate = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

            def forward(self, x):
                return self.value(x) * self.gate(x).sigmoid()

        return Gate()


@part("ffn", "my_mixture")
class RoutedFeedForward:
    """A module that returns its routing, and does not declare its number of experts."""

    def build(self, d_model):
        from experiments.nn.moe.mixture import MixtureOfExperts

        return MixtureOfExperts(d_model, n_experts=3, top_k=1, d_ff=8, activation="relu")


@part("attention", "my_attention")
@dataclass
class TorchAttention:
    """The attention of torch, with two results."""

    n_heads: int = 2
    sinusoids: bool = True

    def build(self, d_model):
        import torch
        from torch import nn

        n_heads = self.n_heads

        class Attention(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.mha = nn.MultiheadAttention(d_model, n_heads, batch_first=True)

            def forward(self, x, keep=None):
                length = x.shape[1]
                mask = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
                padding = None if keep is None else ~keep
                return self.mha(x, x, x, attn_mask=mask, key_padding_mask=padding)

        return Attention()


@part("norm", "my_norm")
class ZeroCentredNorm:
    """A norm whose gain starts at 0."""

    def build(self, d_model):
        import torch
        from torch import nn
        from torch.nn import functional as F

        class Norm(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.gain = nn.Parameter(torch.zeros(d_model))

            def forward(self, x):
                return F.rms_norm(x, (d_model,)) * (1 + self.gain)

        return Norm()
