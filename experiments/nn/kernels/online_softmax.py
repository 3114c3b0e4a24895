"""Softmax over scores that come tile by tile.

Legend: rows of queries; keys of one tile; width of a value. Leading axis `heads`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class OnlineSoftmax:
    """Softmax-weighted sums of values, row by row, from one tile after the other.

    Milakov and Gimelshein 2018, as in FlashAttention (Dao 2022): with m the largest score so far
    and l the sum of exp2(score - m), a tile with a larger score scales what is there by
    exp2(m - m'). Scores are in base 2 (times log2 e), since exp2 is the cheaper exponential, and
    may be -inf; a row that sees nothing gives zeros.
    """

    def __init__(self) -> None:
        self.largest: Tensor | None = None
        self.total: Tensor | None = None
        self.weighted: Tensor | None = None

    def add(
        self,
        scores: Float[Tensor, "heads rows keys"],
        values: Float[Tensor, "heads keys width"],
    ) -> None:
        """Take in a tile; its scores are overwritten."""
        if self.largest is None or self.total is None or self.weighted is None:
            self.largest = row_max(scores)
            weights = scores.sub_(self.largest).exp2_()
            self.total = weights.sum(-1, keepdim=True)
            self.weighted = torch.bmm(weights, values)
            return
        largest = torch.maximum(self.largest, row_max(scores))
        factor = rescaling_factor(self.largest, largest)
        weights = scores.sub_(largest).exp2_()
        self.total = running_sum(self.total, factor, weights.sum(-1, keepdim=True))
        self.weighted.mul_(factor).baddbmm_(weights, values)
        self.largest = largest

    def finish(self) -> tuple[Float[Tensor, "heads rows width"], Float[Tensor, "heads rows 2"]]:
        """The weighted means, and of each row the largest score and the sum of exp2(score - it).

        Weights come again as exp2(score - largest) / sum. One number, their logarithm, would do,
        but its rounding error grows with the scores. The sum is 1 where a row saw nothing.
        """
        assert self.largest is not None, "add() comes before finish()"
        assert self.total is not None
        assert self.weighted is not None
        total = self.total.masked_fill_(self.total == 0, 1.0)
        return self.weighted.div_(total), torch.cat([self.largest, total], dim=-1)


def row_max(scores: Float[Tensor, "heads rows keys"]) -> Float[Tensor, "heads rows 1"]:
    """The largest score of each row; finite also where all are -inf, so that none becomes NaN."""
    return scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)


def rescaling_factor(
    before: Float[Tensor, "heads rows 1"], now: Float[Tensor, "heads rows 1"]
) -> Float[Tensor, "heads rows 1"]:
    """What sums made under one maximum are multiplied with under a larger one."""
    return (before - now).exp2_()


def running_sum(
    total: Float[Tensor, "heads rows 1"],
    factor: Float[Tensor, "heads rows 1"],
    new: Float[Tensor, "heads rows 1"],
) -> Float[Tensor, "heads rows 1"]:
    """The sum of all weights so far."""
    return torch.addcmul(new, total, factor)
