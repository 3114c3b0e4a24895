"""The names of activations, which `experiments.nn.ffn` computes. No torch."""

from enum import StrEnum


class Activation(StrEnum):
    """Pointwise functions of a feed-forward network."""

    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    relu2 = "relu2"
    sigmoid = "sigmoid"
    identity = "identity"
