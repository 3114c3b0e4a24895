"""Norms against torch's own and against formulas."""

import pytest
import torch
from torch.nn import functional as F

from experiments.config import NormType
from experiments.nn.norm import build_norm


@pytest.mark.parametrize("kind", list(NormType))
def test_norm_is_its_formula_and_torchs(kind: NormType) -> None:
    x = 3 + 2 * torch.randn(4, 16)
    norm = build_norm(16, type=kind, eps=0.1)
    gain = torch.rand(16)
    with torch.no_grad():
        norm.weight.copy_(gain)
    if kind is NormType.layer:
        expected = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, correction=0) + 0.1
        ).sqrt()
        theirs = F.layer_norm(x, (16,), gain, torch.zeros(16), eps=0.1)
    else:
        expected = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
        theirs = F.rms_norm(x, (16,), gain, eps=0.1)
    torch.testing.assert_close(norm(x), expected * gain)
    assert torch.equal(norm(x), theirs)
