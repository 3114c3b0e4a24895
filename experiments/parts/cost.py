"""The cost of a part or a body. Does not import torch, so that planning and matching are fast."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """The cost of a part, or of a whole body.

    Attributes:
        parameters: the number of all parameters.
        active_parameters: the parameters that one token uses. In a mixture these are the router
            and top_k experts.
        flops_per_token: FLOPs of a forward pass: 2 for each weight of an active matrix, and the
            two products of attention. Pointwise operations (norms, activations, softmax, biases)
            are not counted.
        kv_bytes_per_token: bytes of a token's keys and values in the decoding cache, in float32;
            NaN if they are unknown.
    """

    parameters: int = 0
    active_parameters: int = 0
    flops_per_token: float = 0.0
    kv_bytes_per_token: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.active_parameters + other.active_parameters,
            self.flops_per_token + other.flops_per_token,
            self.kv_bytes_per_token + other.kv_bytes_per_token,
        )

    def __mul__(self, times: int) -> "Cost":
        return Cost(
            self.parameters * times,
            self.active_parameters * times,
            self.flops_per_token * times,
            self.kv_bytes_per_token * times,
        )
