"""LayerNorm or RMSNorm, and where norms stand around the parts of a block."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from experiments.parts import Cost, NormSlots, Part, part

if TYPE_CHECKING:
    from torch import nn


class Placement(StrEnum):
    """Where the norms stand around a part f of a block; `SLOTS` spells it out."""

    pre = "pre"
    post = "post"
    peri = "peri"
    deepnorm = "deepnorm"


SLOTS = {
    Placement.pre: NormSlots(before=True, final=True),
    Placement.post: NormSlots(outer=True),
    Placement.peri: NormSlots(before=True, behind=True, final=True),
    Placement.deepnorm: NormSlots(outer=True, is_deepnorm=True),
}


class NormType(StrEnum):
    """LayerNorm or RMSNorm."""

    layer = "layer"
    rms = "rms"


@part("norm", "norm")
@dataclass
class NormPart(Part):
    """Which normalisation, and where."""

    placement: Placement
    type: NormType
    eps: float

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps={self.eps} must be above 0")

    @property
    def norm_slots(self) -> NormSlots:
        """Where the norms stand."""
        return SLOTS[self.placement]

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        """Return a gain, and for LayerNorm a bias."""
        parameters = {NormType.layer: 2, NormType.rms: 1}[self.type] * d_model
        return Cost(parameters, parameters)

    def build(self, d_model: int) -> "nn.Module":
        """Return the module of one norm."""
        from experiments.nn.norm import build_norm

        return build_norm(d_model, type=self.type.value, eps=self.eps)
