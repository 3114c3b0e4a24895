"""The names of the activations of `experiments.nn.ffn`. Does not import torch."""

from enum import StrEnum


class Activation(StrEnum):
    """The pointwise function of a feed-forward network."""

    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    relu2 = "relu2"
    sigmoid = "sigmoid"
    identity = "identity"
