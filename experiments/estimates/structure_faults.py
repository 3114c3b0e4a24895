"""Faults of a module in one call: it cannot be built or called, or returns something else.

Also here: parameters of two modules, unregistered ones, and values that are not finite.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import InspectedModule, own_module, seed_everything
from experiments.estimates.output_faults import check_gradients, check_output, take_output
from experiments.estimates.registration_faults import (
    check_hidden,
    check_registered,
    describe_registered,
)
from experiments.nn.descriptions import describe_exception, describe_value
from experiments.parts.plain import PlainPart

N_INPUTS = 3  # random inputs on which outputs and gradients must be finite


def check_structure(inspected: InspectedModule) -> None:
    """Raise ModuleFault for a module that cannot serve as a part."""
    module = build_own_module(inspected)
    check_parameters(module)
    check_signature(inspected, module)
    check_one_call(inspected, module)
    check_second_build(inspected, module)
    try:
        module = inspected.build(is_perturbed=False).train()
    except Exception as error:
        name = f"{inspected.group}={inspected.part.kind}: "
        if isinstance(error, ValueError) and str(error).startswith(name):  # a message of ablab
            raise ModuleFault(str(error).removeprefix(name)) from error
        raise ModuleFault(
            f"its initial weights cannot be set: {describe_exception(error)}"
        ) from error
    inspected.shorten(module)
    x = inspected.inputs(1, 2, inspected.short_length)
    check_hidden(own_module(module), lambda training: inspected.call(module.train(training), x))
    check_finite(inspected, module)
    inspected.choose_weights(module)


def build_own_module(inspected: InspectedModule) -> nn.Module:
    """Return the module as the user's class builds it."""
    part, d_model = inspected.part, inspected.d_model
    seed_everything(0)
    try:
        module: Any = part.build_plain(d_model) if is_plain(part) else part.build(d_model)
    except ModuleNotFoundError as error:
        raise ModuleFault(
            f"build({d_model}) raises an error, {describe_exception(error)}; is it installed?"
        ) from error
    except Exception as error:
        raise ModuleFault(
            f"build({d_model}) raises an error, {describe_exception(error)}; correct it, or "
            "give other values"
        ) from error
    if not isinstance(module, nn.Module):
        raise ModuleFault(
            f"build({d_model}) returns {describe_value(module)}; return a torch.nn.Module"
        )
    return module


def is_plain(part: Any) -> bool:
    """Return whether the part's module follows no rules of ablab."""
    return isinstance(part, PlainPart)


def check_parameters(module: nn.Module) -> None:
    """Raise ModuleFault for parameters without values."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise ModuleFault(
                f"its parameter {name} has no shape before the first call; give the sizes in build "
                "(nn.Linear in place of nn.LazyLinear)"
            )
        if tensor.is_meta:
            raise ModuleFault(
                f"its parameter {name} is on the meta device and has no values; build it without "
                'device="meta"'
            )


def check_signature(inspected: InspectedModule, module: nn.Module) -> None:
    """Raise ModuleFault for a forward that requires other arguments than a block passes."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):  # a compiled module has no signature
        return
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not any(each.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for each in parameters):
        raise ModuleFault("its forward takes no input; write def forward(self, x)")
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind not in variable]
    n_passed = 1 if is_plain(inspected.part) or inspected.group == "norm" else 2
    extra = [each.name for each in required[n_passed:] if each.name != "keep"]
    if extra:
        raise ModuleFault(
            f"its forward also requires {', '.join(extra)}, which a block does not pass; give "
            f"{'it a default' if len(extra) == 1 else 'them defaults'}"
        )


def check_one_call(inspected: InspectedModule, module: nn.Module) -> None:
    """Raise ModuleFault if a call fails, returns something else or changes its input.

    The module is moved to the CPU.
    """
    module = module.to("cpu")
    before = describe_registered(module)
    values = inspected.inputs(1, batch=2)
    x = values.clone().requires_grad_() + 0.0
    try:
        result = call_own_module(inspected, module, x)
    except Exception as error:
        shape = tuple(values.shape)
        raise ModuleFault(
            f"its forward raises an error, {describe_exception(error)} (input of shape {shape})"
        ) from error
    is_own_form = is_plain(inspected.part)
    if is_own_form and isinstance(result, tuple | list) and result:
        result = result[0]
    check_output(take_output(result, "" if is_own_form else inspected.group), values)
    if not torch.equal(x.detach(), values):
        raise ModuleFault("its forward changes its input in place; let it change a copy")
    check_registered(before, module)


def call_own_module(inspected: InspectedModule, module: nn.Module, x: Tensor) -> Any:
    """Return the result of the user's module, called as its adapter or a block calls it."""
    seed_everything(0)
    if not is_plain(inspected.part):
        return module(x) if inspected.group == "norm" else module(x, None)
    from experiments.nn.plain_module import takes_keep

    return module(x, keep=None) if takes_keep(module) else module(x)


def check_second_build(inspected: InspectedModule, module: nn.Module) -> None:
    """Raise ModuleFault if two builds share parameters, so that layers would share them."""
    places = {each.data_ptr() for each in module.parameters() if each.numel()}
    for name, parameter in build_own_module(inspected).to("cpu").named_parameters():
        if parameter.numel() and parameter.data_ptr() in places:
            raise ModuleFault(
                f"two calls of build share the parameter {name}, so layers would share it; create "
                "a new module in each call"
            )


def check_finite(inspected: InspectedModule, module: nn.Module) -> None:
    """Raise ModuleFault if outputs or gradients are not finite in training mode.

    Some calls may have no gradient: a module may leave itself out at random.
    """
    module.train()
    learned = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    has_gradient = False
    for seed in range(N_INPUTS):
        length = inspected.length if seed == 0 else inspected.short_length
        values = inspected.inputs(10 + seed, batch=2, length=length).requires_grad_()
        module.zero_grad(set_to_none=True)
        y = inspected.call(module, values + 0.0, seed=seed)
        if not y.requires_grad:
            continue
        has_gradient = True
        y.backward(inspected.inputs(20 + seed, batch=2, length=length))
        where = f" for random input of shape {tuple(values.shape)}"
        check_gradients([("its input", values), *learned], where)
    if learned and not has_gradient:
        raise ModuleFault(
            "its output has no gradient, so its parameters cannot learn; remove detach() or "
            "no_grad()"
        )
