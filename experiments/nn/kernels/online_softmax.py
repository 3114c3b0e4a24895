"""Softmax over scores that arrive tile by tile.

Legend of shapes: heads; rows (queries); keys (of one tile); width (of a value).
"""

import torch
from jaxtyping import Float
from torch import Tensor


class OnlineSoftmax:
    """Softmax-weighted sums of values for each row, updated by one tile after the other.

    The method is that of Milakov and Gimelshein 2018, as in FlashAttention (Dao 2022). For each
    row it keeps the largest score m, the sum l of exp2(score - m), and the sum o of
    exp2(score - m) * value. A tile with a larger score m' first multiplies l and o by exp2(m - m').

    Scores are multiplied by log2(e) beforehand, since exp2 is cheaper than exp. They may be -inf.
    A row whose scores are all -inf gives zeros.
    """

    def __init__(self) -> None:
        self.largest: Tensor | None = None  # m, (heads, rows, 1)
        self.total: Tensor | None = None  # l, (heads, rows, 1)
        self.weighted: Tensor | None = None  # o, (heads, rows, width)

    def add(
        self,
        scores: Float[Tensor, "heads rows keys"],
        values: Float[Tensor, "heads keys width"],
    ) -> None:
        """Add a tile to the sums. Its scores are overwritten."""
        # The first tile has no earlier sums to rescale.
        if self.largest is None or self.total is None or self.weighted is None:
            self.largest = row_max(scores)
            weights = scores.sub_(self.largest).exp2_()
            self.total = weights.sum(-1, keepdim=True)
            self.weighted = torch.bmm(weights, values)
            return
        # The new maximum m' keeps all exponents at or below 0, so exp2 cannot overflow.
        largest = torch.maximum(self.largest, row_max(scores))
        # Earlier sums used the old maximum; the factor is 1 in rows where it did not change.
        factor = rescaling_factor(self.largest, largest)
        weights = scores.sub_(largest).exp2_()
        self.total = running_sum(self.total, factor, weights.sum(-1, keepdim=True))
        self.weighted.mul_(factor).baddbmm_(weights, values)
        self.largest = largest

    def finish(self) -> tuple[Float[Tensor, "heads rows width"], Float[Tensor, "heads rows 2"]]:
        """Return the weighted means o / l, and (m, l) of each row.

        The backward pass recomputes weights as exp2(score - m) / l. The one number m + log2(l)
        would be enough, but its rounding error grows with the scores. For a row whose scores are
        all -inf, l is 1.
        """
        assert self.largest is not None, "add() comes before finish()"
        assert self.total is not None
        assert self.weighted is not None
        # A row without a visible key has the sums 0 and 0: dividing by 1 gives zeros, not NaN.
        total = self.total.masked_fill_(self.total == 0, 1.0)
        return self.weighted.div_(total), torch.cat([self.largest, total], dim=-1)


def row_max(scores: Float[Tensor, "heads rows keys"]) -> Float[Tensor, "heads rows 1"]:
    """Return the largest score of each row, at least the smallest float.

    A row of -inf has a finite maximum then, and score - maximum is -inf, not NaN.
    """
    return scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)


def rescaling_factor(
    old_largest: Float[Tensor, "heads rows 1"], largest: Float[Tensor, "heads rows 1"]
) -> Float[Tensor, "heads rows 1"]:
    """Return exp2(m - m'), the factor on sums when the maximum rises from m to m'."""
    return (old_largest - largest).exp2_()


def running_sum(
    total: Float[Tensor, "heads rows 1"],
    factor: Float[Tensor, "heads rows 1"],
    new: Float[Tensor, "heads rows 1"],
) -> Float[Tensor, "heads rows 1"]:
    """Return the sum of all weights so far: total * factor + new."""
    return torch.addcmul(new, total, factor)
