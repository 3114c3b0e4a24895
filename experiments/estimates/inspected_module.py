"""A module under inspection: how it is built and called, and how outputs are compared.

Legend of shapes: batch, sequences; time, positions; d_model, width of the stream.
"""

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.estimates.fault import ModuleFault
from experiments.estimates.output_faults import (
    check_finite_values,
    check_output,
    name_dtype,
    take_output,
)
from experiments.estimates.registration_faults import check_registered, describe_registered
from experiments.nn.adapter import Adapter
from experiments.nn.descriptions import describe_exception
from experiments.nn.initialise import initialise

LONGEST = 2048  # positions of an input, where the task has longer sequences
WORK = 800_000_000  # positions times d_model^2 of an input, so that wide modules take seconds too
SHORTEST = 64  # positions of the input of a very wide module
SHORT_LENGTH = 128  # positions of inputs where the length does not matter, to save time
LENGTH_WITHOUT_TASK = 16
TOLERANCE = 1e-4  # of the largest output; rounding in float32 is below
# Some modules compute a part in float32, such as a norm, and have its rounding in float64 too.
TOLERANCE_FLOAT64 = 1e-5
OTHER_SIZE = 2.0  # standard deviation of the inputs that replace others
LAST_START = 8.0  # seconds of the processor after which no further check of a slow module begins


class InspectedModule:
    """The modules of one part, each with the initial weights of a trial.

    Attributes:
        group: the group of the part.
        is_model: whether it is a whole language model, whose inputs are token ids.
        part: its options.
        d_model: the width of the stream; the number of token ids for a language model.
        length: positions of the inputs: those of the task, at most `LONGEST`, and fewer if
            d_model is large.
        short_length: positions of inputs where the length does not matter.
        skipped: the checks that are left out, in words.
        perturbs: whether `build` may change the initial weights.
    """

    def __init__(self, group: str, part: Any, d_model: int, length: int) -> None:
        self.group, self.part, self.d_model = group, part, d_model
        self.is_model = group == "language_model"
        longest = LONGEST if self.is_model else min(LONGEST, max(SHORTEST, WORK // d_model**2))
        self.length = min(length or LENGTH_WITHOUT_TASK, longest)
        self.short_length = self.length
        self.skipped: list[str] = []
        self.perturbs = True
        self._started = time.process_time()

    def build(self, dtype: torch.dtype = torch.float32, *, is_perturbed: bool = True) -> nn.Module:
        """Return a new module with the initial weights of a trial, always the same.

        With `is_perturbed` each trained parameter has random numbers added, since a matrix that
        starts at zero would hide its input.
        """
        seed_everything(0)
        module: nn.Module = self.part.build(self.d_model).to("cpu")
        initialise(module, 0, gains={})
        if is_perturbed and self.perturbs:
            perturb(module)
        return module.to(dtype)

    def call(
        self, module: nn.Module, x: Tensor, keep: Tensor | None = None, seed: int = 0
    ) -> Tensor:
        """Return the output for (batch, time, d_model), with random numbers of this seed.

        A language model returns the logits (batch, time, vocabulary) of token ids (batch, time).

        Raises:
            ModuleFault: the output has another shape or type, or is not finite, or the call changes
                the registered tensors of the module. Values before the first kept position of a
                sequence count as finite: there is nothing that they could depend on, and no task
                has padding there.
        """
        before = describe_registered(module)
        seed_everything(seed)
        where = "" if module.training else " in eval mode"
        if self.is_model:
            y = call_model(module, x, where)
        else:
            result = module(x) if self.group == "norm" else module(x, keep)
            where += "" if keep is None else " with a padding mask"
            y = take_output(result, self.group, where)
            check_output(y, x, where)
        required = y if keep is None else y[keep.cumsum(1) > 0]
        what = "logits have" if self.is_model else "output has"
        check_finite_values(required, what, where, x.shape)
        check_registered(before, module)
        return y

    def inputs(self, seed: int, batch: int = 1, length: int | None = None) -> Tensor:
        """Return standard normal inputs (batch, time, d_model), or random token ids."""
        generator = torch.Generator().manual_seed(seed)
        shape = (batch, length or self.length)
        if self.is_model:
            return torch.randint(self.d_model, shape, generator=generator)
        return torch.randn(*shape, self.d_model, generator=generator)

    def other_inputs(self, x: Tensor) -> Tensor:
        """Return larger inputs of the shape of x, or token ids that differ at each position."""
        generator = torch.Generator().manual_seed(3)
        if self.is_model:
            steps = torch.randint(1, self.d_model, tuple(x.shape), generator=generator)
            return (x + steps) % self.d_model
        return OTHER_SIZE * torch.randn(x.shape, generator=generator).to(x.dtype)

    @torch.no_grad()
    def shorten(self, module: nn.Module) -> None:
        """Choose `short_length`: a module may serve one length only."""
        short = min(self.length, SHORT_LENGTH)
        try:
            self.call(module, self.inputs(0, length=short))
        except Exception:
            return
        self.short_length = short

    @torch.no_grad()
    def choose_weights(self, module: nn.Module) -> None:
        """Keep the initial weights in `build` if other ones give values that are not finite.

        An example is a module that takes the logarithm of a parameter. The weights of `module`
        change.
        """
        seed_everything(0)
        perturb(module)
        x = self.inputs(1, 2, self.short_length)
        try:
            for training in (False, True):
                self.call(module.train(training), x)
        except ModuleFault:
            self.perturbs = False

    def seconds(self) -> float:
        """Return the seconds of this process since the inspection began.

        They do not depend on the load of the machine, as the time of a clock does.
        """
        return time.process_time() - self._started

    def skip(self, words: str) -> None:
        """Note a check that is left out, once."""
        if words not in self.skipped:
            self.skipped.append(words)

    def is_late(self) -> bool:
        """Return whether no further check should begin, since the module is slow."""
        return self.seconds() > LAST_START

    def is_confirmed(self, probe: Callable[[nn.Module, torch.dtype], float]) -> bool:
        """Return whether outputs differ in float64 too, so that rounding is not the reason.

        `probe` returns the difference of two outputs of a module that computes in a type, as a
        share of the largest output. A module that cannot compute in float64 is confirmed by a
        large difference in float32.
        """
        try:
            return probe(self.build(torch.float64), torch.float64) > TOLERANCE_FLOAT64
        except Exception:
            return probe(self.build(), torch.float32) > 10 * TOLERANCE


def call_model(model: nn.Module, ids: Tensor, where: str) -> Tensor:
    """Return the logits (batch, time, vocabulary) of an adapted language model.

    `where` names the mode of the model in messages, such as " in eval mode".
    """
    try:
        logits: Tensor = model(ids).prediction
    except ValueError as error:  # of the adapter, whose message names the part
        raise ModuleFault(str(error).partition(": ")[2] or str(error)) from error
    except Exception as error:
        raise ModuleFault(
            f"its forward{where} raises {describe_exception(error)} (token ids of shape "
            f"{tuple(ids.shape)})"
        ) from error
    is_float32 = all(each.dtype != torch.float64 for each in model.parameters())
    if is_float32 and logits.dtype != torch.float32:
        raise ModuleFault(
            f"its logits are {name_dtype(logits)}{where}; return float32, e.g. logits.float()"
        )
    return logits


def as_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return inputs of a type; token ids stay as they are."""
    return x.to(dtype) if x.is_floating_point() else x


def difference(one: Tensor, other: Tensor, scale: Tensor | None = None) -> float:
    """Return the largest difference of two outputs, as a share of the largest value in `scale`.

    A value that is not finite is an infinite difference.
    """
    if not one.numel():
        return 0.0
    largest = (one if scale is None else scale).detach().abs().max().clamp(min=1e-30)
    share = float((one - other).detach().abs().max() / largest)
    return math.inf if math.isnan(share) else share


@torch.no_grad()
def perturb(module: nn.Module) -> None:
    """Add normal numbers to the trained parameters, a tenth of the usual size of each."""
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.is_floating_point() and parameter.numel():
            size = parameter.square().mean().sqrt()
            usual = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.5
            std = usual if size == 0 else max(0.1 * float(size), 0.1 * usual)
            parameter.add_(std * torch.randn_like(parameter))


def seed_everything(seed: int) -> None:
    """Seed the random numbers that a module may draw on the CPU."""
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - a module may use it


@contextmanager
def restored_random_state() -> Iterator[None]:
    """Restore the state of all random numbers after the `with` block."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def own_module(module: nn.Module) -> nn.Module:
    """Return the user's module of an adapter, or the module itself."""
    return module.module if isinstance(module, Adapter) else module


def copy_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of the buffers of the user's module."""
    return {name: each.clone() for name, each in own_module(module).named_buffers()}


def describe_training_state(
    module: nn.Module, buffers: dict[str, Tensor], results: str
) -> ModuleFault:
    """Return the fault that calls in training change later results.

    Args:
        module: the module after the calls.
        buffers: copies of its buffers from before.
        results: the name of the module's results, such as `outputs`.
    """
    changed = [
        name
        for name, each in own_module(module).named_buffers()
        if name not in buffers or not torch.equal(each, buffers[name])
    ]
    place = f" (buffer {', '.join(changed[:2])})" if changed else ""
    return ModuleFault(
        f"calls in training change its later {results}{place}, so results depend on earlier "
        "batches; use parameters, or a norm without running statistics, such as LayerNorm"
    )
