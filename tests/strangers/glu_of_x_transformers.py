"""A gated feed-forward network of x-transformers as an option of ablab."""

from dataclasses import dataclass

from experiments.parts import part


@part("ffn", "x_glu")
@dataclass
class XGlu:
    """A gated feed-forward network."""

    d_ff: int = 256

    def build(self, d_model):
        from x_transformers.x_transformers import FeedForward

        return FeedForward(d_model, mult=self.d_ff / d_model, glu=True, swish=True, no_bias=True)
