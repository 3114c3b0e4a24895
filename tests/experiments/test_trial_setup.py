"""The setup of a trial: a plain module gets the length of the trial's task."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from experiments.nn.adapter import Adapter
from experiments.parts.plain import derive_part
from experiments.translation import translator_of
from experiments.trial_setup import build_task, build_task_and_model
from runner.plan.plan import Plan
from tests.support.memory_trial import MemoryTrial


class OneLength(nn.Module):
    """Gates along time, which serve sequences of one length."""

    def __init__(self, d_model: int, length: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(length, 1))
        self.proj = nn.Linear(d_model, d_model)

    def forward(self, x):
        return self.proj(x * self.gate)


def build_decoder(trial: Any) -> nn.Module:
    return build_task_and_model(trial)[1]


def build_translator(trial: Any) -> nn.Module:
    return translator_of(trial, build_task(trial))


@pytest.mark.parametrize(
    ("words", "build_model", "n_writers"),
    [
        (("experiment=ffn", "arm=relu", "task=waves", "task.length=23"), build_decoder, 2),
        (("experiment=translation", "arm=base", "task=pairs15"), build_translator, 3),
    ],
)
def test_a_module_of_the_length_of_the_task_has_scaled_weights(
    words: tuple[str, ...],
    build_model: Callable[[Any], nn.Module],
    n_writers: int,
    plan: Callable[..., Plan],
    tmp_path: Path,
):
    (arm,) = plan("scale=smoke", *words).arms
    parts = arm.config.parts
    length = parts.task.sizes().length

    class Mine:
        """A part of one length."""

        def build(self, d_model: int) -> nn.Module:
            return OneLength(d_model, length)

    mine = derive_part("ffn", "mine", Mine)()
    config = replace(arm.config, parts=SimpleNamespace(**{**vars(parts), "ffn": mine}))
    trial = MemoryTrial(config, tmp_path)
    model = build_model(trial)
    layers = [layer for layer in model.modules() if isinstance(layer, Adapter)]
    assert layers
    assert all(len(layer.residual_writers()) == 1 for layer in layers)
    assert not any("no linear layer" in note or "fails" in note for note in trial.notes)
    weight = layers[-1].get_parameter("module.proj.weight")
    usual = weight.shape[1] ** -0.5 * (n_writers * parts.model.n_layers) ** -0.5
    assert float(weight.detach().std()) == pytest.approx(usual, rel=0.1)
