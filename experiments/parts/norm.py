"""The norm as a part: LayerNorm or RMSNorm, and its placement around the parts of a block."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from experiments.parts import Cost, NormSlots, Part, part

if TYPE_CHECKING:
    from torch import nn


class Placement(StrEnum):
    """The placement of norms around a part of a block; `SLOTS` lists the norms of each."""

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
    """The formula: LayerNorm or RMSNorm."""

    layer = "layer"
    rms = "rms"


@part("norm", "norm")
@dataclass
class NormPart(Part):
    """A normalisation and its placement."""

    placement: Placement
    type: NormType
    eps: float

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps={self.eps} must be above 0")

    @property
    def norm_slots(self) -> NormSlots:
        """The norms around each part of a block."""
        return SLOTS[self.placement]

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        """Return the cost of a gain, and for LayerNorm of a bias."""
        parameters = {NormType.layer: 2, NormType.rms: 1}[self.type] * d_model
        return Cost(parameters, parameters)

    def build(self, d_model: int) -> "nn.Module":
        """Return the module of one norm."""
        from experiments.nn.norm import build_norm

        return build_norm(d_model, type=self.type.value, eps=self.eps)
