"""Normalisation over the last axis, chosen by type."""

from torch import nn

from experiments.config import NormType

# torch's own modules: their fused kernels beat a spelled-out formula forward and backward.
NORMS = {NormType.layer: nn.LayerNorm, NormType.rms: nn.RMSNorm}


def build_norm(d_model: int, *, type: NormType, eps: float) -> nn.Module:
    """LayerNorm (gain and bias; Ba 2016) or RMSNorm (gain only, no centring; Zhang 2019)."""
    return NORMS[type](d_model, eps=eps)
