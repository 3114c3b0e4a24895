"""Causal attention of x-transformers as an option of ablab."""

from dataclasses import dataclass

from experiments.parts import part


@part("attention", "x_attention")
@dataclass
class XAttention:
    """Causal attention with normed queries and keys."""

    dim_head: int = 16
    sinusoids = True

    def build(self, d_model):
        from x_transformers.x_transformers import Attention

        return Attention(d_model, dim_head=self.dim_head, heads=4, causal=True, qk_norm=True)
