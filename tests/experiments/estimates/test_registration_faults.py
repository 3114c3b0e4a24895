"""Trained tensors that torch does not register, or registers in a call, are found and named."""

from collections import deque
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tests.support.inspected_parts import D_MODEL, fault


class Holder(nn.Module):
    """A linear layer, and another one (x -> y, or a tensor) that `hold` hides in `extra`."""

    def __init__(self, size: int, hold, use) -> None:
        super().__init__()
        self.linear, self.use = nn.Linear(size, size), use
        self.embedding = nn.Embedding(size, size)
        self.extra = hold(self)

    def forward(self, x):
        if not x.is_floating_point():  # of a language model
            x = self.embedding(x)
        return self.use(self, self.linear(x))


def layer() -> nn.Linear:
    return nn.Linear(D_MODEL, D_MODEL)


def trained() -> Tensor:
    return torch.ones(D_MODEL, requires_grad=True)


def in_closure(_: nn.Module):
    hidden = layer()
    return lambda x: hidden(x)


HIDDEN = {
    "list": (lambda _: [layer()], lambda m, y: m.extra[0](y), "extra[0] is a module (Linear) in a"),
    "tuple": (lambda _: (layer(),), lambda m, y: m.extra[0](y), "plain tuple, so torch does not"),
    "dict": (lambda _: {"a": layer()}, lambda m, y: m.extra["a"](y), "use nn.ModuleDict or nn.Mod"),
    "deque": (lambda _: deque([layer()]), lambda m, y: m.extra[0](y), "use nn.ModuleList"),
    "nested": (
        lambda _: {"a": [(3, layer())]},
        lambda m, y: m.extra["a"][0][1](y),
        "its attribute extra['a'][0][1] is a module (Linear) in a plain tuple",
    ),
    "module of modules": (
        lambda _: [nn.Sequential(layer(), layer())],
        lambda m, y: m.extra[0](y),
        "extra[0] is a module (Sequential)",
    ),
    "only in eval mode": (
        lambda _: [layer()],
        lambda m, y: y if m.training else m.extra[0](y),
        "extra[0] is a module",
    ),
    "parameters": (
        lambda _: [nn.Parameter(torch.ones(D_MODEL))],
        lambda m, y: y * m.extra[0],
        "extra[0] is a trained tensor of shape (16,) in a plain list that torch does not register",
    ),
    "tensors": (lambda _: {1: trained()}, lambda m, y: y * m.extra[1], "use nn.ParameterList"),
    "a tensor": (
        lambda _: trained(),
        lambda m, y: y * m.extra,
        "extra is a trained tensor of shape",
    ),
    "an object": (
        lambda _: SimpleNamespace(inner=layer()),
        lambda m, y: m.extra.inner(y),
        "its attribute extra.inner is a module (Linear) in a plain object",
    ),
    "a function": (in_closure, lambda m, y: m.extra(y), "extra (its hidden) is a module (Linear)"),
    "partial": (
        lambda _: partial(torch.mul, trained()),
        lambda m, y: m.extra(y),
        "extra[0] is a trained tensor",
    ),
    "around torch": (
        lambda m: m.__dict__.update(secret=layer()),
        lambda m, y: m.secret(y),
        "secret is a module",
    ),
    "a buffer": (
        lambda m: m.register_buffer("scale", trained()),
        lambda m, y: y * m.scale,
        "its buffer scale needs a gradient, but the optimizer trains parameters only",
    ),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("group", ["ffn", "language_model"])
def test_hidden_parameters_are_found_and_named(name: str, group: str):
    hold, use, words = HIDDEN[name]
    assert words in fault(group, lambda size: Holder(size, hold, use))


def test_a_hidden_tensor_of_another_module_has_no_name_but_is_found():
    table = {"weight": trained()}
    message = fault("ffn", lambda d: Holder(d, lambda _: None, lambda _, y: y * table["weight"]))
    assert "trained tensor of shape (16,)" in message


REGISTERED = {
    "registered elsewhere": lambda m: [m.linear, (m.linear.weight,)],
    "without parameters": lambda _: [
        nn.GELU(),
        {"norm": nn.LayerNorm(4, elementwise_affine=False)},
    ],
    "frozen": lambda _: [layer().requires_grad_(requires_grad=False)],
    "constants": lambda _: [torch.ones(3)],
    "module list": lambda m: setattr(m, "layers", nn.ModuleList([layer()])) or [*m.layers],
}


@pytest.mark.parametrize("name", REGISTERED)
def test_registered_modules_in_lists_have_no_fault(name: str):
    assert fault("ffn", lambda d: Holder(d, REGISTERED[name], lambda _, y: y)) == ""


def test_a_leaf_that_each_call_creates_has_no_fault():
    """A layer may take gradients of its own."""

    def use(_: nn.Module, y: Tensor) -> Tensor:
        with torch.enable_grad():
            return y * torch.ones(D_MODEL, requires_grad=True)

    assert fault("ffn", lambda d: Holder(d, lambda _: None, use)) == ""


def test_a_call_may_keep_a_part_of_a_parameter():
    def use(module: nn.Module, y: Tensor) -> Tensor:
        module.last = module.linear.bias[:]
        module.cache = {y.shape[1]: module.last}
        return y + module.last

    assert fault("ffn", lambda d: Holder(d, lambda _: None, use)) == ""


def late(change, when):
    """Return a use that changes the module once `when` is true."""

    def use(module: nn.Module, y: Tensor) -> Tensor:
        module.count = getattr(module, "count", 0) + 1
        if when(module):
            change(module)
        return y

    return use


def add(module: nn.Module) -> None:
    if not hasattr(module, "late"):
        module.late = layer()


def replace(module: nn.Module) -> None:
    module.linear.weight = nn.Parameter(module.linear.weight.detach().clone())


def remove(module: nn.Module) -> None:
    module.linear.bias = None


def add_buffer(module: nn.Module) -> None:
    module.register_buffer("cache", torch.zeros(3))


CHANGES = {
    "add": (add, "creates or replaces the parameter late.bias"),
    "replace": (replace, "creates or replaces the parameter linear.weight"),
    "remove": (remove, "removes the parameter linear.bias"),
    "add a buffer": (add_buffer, "creates or resizes the buffer cache"),
}
WHEN = {
    "first": lambda _: True,
    "second call": lambda m: m.count == 2,
    "fourth call": lambda m: m.count == 4,
    "eval": lambda m: not m.training,
    "without gradients": lambda _: not torch.is_grad_enabled(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("group", ["ffn", "language_model"])
def test_a_change_of_what_is_registered_is_found(change: str, when: str, group: str):
    function, words = CHANGES[change]
    use = late(function, WHEN[when])
    assert f"a call {words}" in fault(group, lambda size: Holder(size, lambda _: None, use))


def test_a_temporary_buffer_may_come_late():
    def use(module: nn.Module, y: Tensor) -> Tensor:
        module.register_buffer("cache", torch.zeros(y.shape[1]), persistent=False)
        return y

    assert fault("ffn", lambda d: Holder(d, lambda _: None, use)) == ""
