"""What a part or a body costs. No torch, so that planning and matching stay fast."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Of a part, or of a whole body.

    Attributes:
        parameters: all of them.
        active_parameters: those that work on one token: of a mixture the router and top_k experts.
        flops_per_token: of a forward, 2 per weight of an active matrix and token, plus the two
            products of attention. Pointwise work (norms, activations, softmax, biases) is not
            counted.
        kv_bytes_per_token: keys and values that decoding keeps for each token, in float32.
    """

    parameters: int = 0
    active_parameters: int = 0
    flops_per_token: float = 0.0
    kv_bytes_per_token: int = 0

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
