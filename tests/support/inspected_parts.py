"""Plain parts and models from functions, and the fault that a plan finds in them."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from experiments.estimates.module_faults import find_fault
from experiments.parts import Part
from experiments.parts.plain import derive_part

D_MODEL, LENGTH = 16, 24
Build = Callable[[int], object]
Function = Callable[[nn.Module, Tensor], Any]


def plain(group: str, build: Build) -> Part:
    """Return a plain part whose build is this function."""

    class Mine:
        def build(self, d_model: int):
            return build(d_model)

    return derive_part(group, "mine", Mine)()


def fault(group: str, build: Build, *, length: int = LENGTH, **options) -> str:
    """Return the fault of a part, or of a model with `D_MODEL` token ids."""
    return find_fault(group, plain(group, build), D_MODEL, length, **options)


class Formula(nn.Module):
    """A linear layer, then a function of its output and the module."""

    def __init__(self, d_model: int, formula: Function) -> None:
        super().__init__()
        self.linear = nn.Linear(d_model, d_model)
        self.formula = formula

    def forward(self, x):
        return self.formula(self, self.linear(x))


def formula(function: Function) -> Build:
    """Return the constructor of a part that applies a function after a linear layer."""
    return lambda d_model: Formula(d_model, function)


class FormulaModel(nn.Module):
    """A function of token embeddings and the module, then a head."""

    def __init__(self, vocabulary: int, formula: Function) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(vocabulary, 4), nn.Linear(4, vocabulary)
        self.formula = formula

    def forward(self, ids):
        return self.formula(self, self.head(self.embedding(ids)))


def model_formula(function: Function) -> Build:
    """Return the constructor of a model that applies a function to the logits."""
    return lambda vocabulary: FormulaModel(vocabulary, function)
