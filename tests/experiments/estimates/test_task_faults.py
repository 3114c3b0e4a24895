"""The loss and the metrics of a plain task are tried before any trial."""

# ruff: noqa: ARG005 - methods of a task have fixed parameters
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from experiments.estimates.task_faults import find_task_fault
from experiments.tasks import TASKS, load, task

load()  # the tasks of ablab register once
NUMBERS = count()


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.tasks.TASKS", dict(TASKS))


def fault_of(**members: Callable[..., Any]) -> str:
    """Return the fault of a task with these methods, or the text of the error."""
    kind = f"tried_{next(NUMBERS)}"
    sample = {"sample": lambda self, rng, n: rng.integers(9, size=(n, 7))}
    options = task(kind)(dataclass(type("Tried", (), {**sample, **members})))(kind=kind)
    try:
        return find_task_fault(options)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"loss": lambda self, p, t: p - t}, "loss() failed with RuntimeError: The size of tensor"),
        ({"loss": lambda self, p, t: 0.5}, "loss() returned float; it must return a tensor"),
        ({"loss": lambda self, p, t: p.detach().square()}, "loss() has no gradient"),
        ({"loss": lambda self, p, t: torch.ones(1, requires_grad=True)}, "loss() has no gradient"),
        ({"loss": lambda self, p, t: p.argmax(-1) - t}, "numbers of torch.int64; it must return"),
        ({"loss": lambda self, p, t: p[:0]}, "loss() returned 0 numbers"),
        ({"loss": lambda self, p, t: p.log()}, "loss() is nan for random predictions"),
        ({"loss": lambda self, p, t: (p - p).sqrt()}, "a gradient that is not finite"),
        ({"metrics": lambda self, p, t: 3}, "metrics() returned int; it must return a mapping"),
        ({"metrics": lambda self, p, t: {"a b": 3}}, "metrics(): the name 'a b' must be lower-ca"),
        ({"metrics": lambda self, p, t: {"a": "x"}}, "metrics(): a is str, which is not a number"),
        ({"metrics": lambda self, p, t: {"a": []}}, "metrics(): a is an array of 0 real numbers"),
        ({"metrics": lambda self, p, t: p.nothing}, "metrics() failed with AttributeError"),
        (
            {"metrics": lambda self, p, t: {f"n_{len(t)}": 1}},
            "metrics() returned n_3, and for another batch n_2; the names must be the same",
        ),
    ],
)
def test_a_fault_is_one_line_that_names_task_and_method(members: dict[str, Any], message: str):
    fault = fault_of(**members)
    assert message in fault
    assert fault.startswith(f"task=tried_{next(NUMBERS) - 1}: ")
    assert "\n" not in fault


@pytest.mark.parametrize(
    "members",
    [
        {"loss": lambda self, p, t: torch.nn.functional.cross_entropy(p.mT, t)},
        {"loss": lambda self, p, t: torch.nn.functional.cross_entropy(p.mT, t, reduction="none")},
        {"loss": lambda self, p, t: p.clamp_(min=0).mean()},  # in place, as a model's output allows
        {"metrics": lambda self, p, t: {"right": p.argmax(-1) == t, "rare/precision": np.nan}},
        {"metrics": lambda self, p, t: {}},
    ],
)
def test_good_methods_have_no_fault(members: dict[str, Any]):
    state = torch.get_rng_state()
    assert fault_of(**members) == ""
    assert torch.equal(torch.get_rng_state(), state)


def test_real_values_are_tried_with_their_width():
    members = {
        "sample": lambda self, rng, n: rng.standard_normal((n, 5, 3)),
        "loss": lambda self, p, t: (p - t).abs(),
    }
    assert fault_of(**members) == ""
    assert "failed with" in fault_of(**members | {"loss": lambda self, p, t: p @ t})
