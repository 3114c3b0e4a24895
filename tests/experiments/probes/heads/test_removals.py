"""What chooses heads, and what replaces them, never sees the data that judge."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from experiments.probes.heads import removals
from experiments.probes.heads.copying import copy_loss
from tests.support.memory_trial import MemoryTrial
from tests.support.repeating import model, task


@pytest.fixture
def trial(tmp_path: Path) -> MemoryTrial:
    options = SimpleNamespace(block=64, n_orders=2)
    return MemoryTrial(SimpleNamespace(options=options, seed_offset=0), tmp_path)


def test_each_half_goes_where_it_belongs(
    trial: MemoryTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}

    def spy(name: str, at: int) -> None:
        real = getattr(removals, name)

        def listening(*given, **options):
            seen[name] = torch.cat([batch.inputs[0] for batch in given[at]])
            return real(*given, **options)

        monkeypatch.setattr(removals, name, listening)

    for name in ("mean_outputs", "taylor_importance", "head_entropies"):
        spy(name, 1)  # behind the model
    spy("copy_test", 0)
    shown = []
    update = removals.CopyProbe.update
    monkeypatch.setattr(
        removals.CopyProbe,
        "update",
        lambda self, batch, output: shown.append(batch.inputs[0]) or update(self, batch, output),
    )
    source = task()
    removals.record_removals(trial, model(), source)
    whole = torch.cat([batch.inputs[0] for batch in source.evaluation()])
    even, odd = whole[0::2], whole[1::2]
    assert torch.equal(seen.pop("copy_test"), odd)
    assert set(seen) == {"mean_outputs", "taylor_importance", "head_entropies"}
    for name, rows in (seen | {"CopyProbe": torch.cat(shown)}).items():
        assert torch.equal(rows, even), name


def test_importance_is_for_the_loss_of_copying(
    trial: MemoryTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    real = removals.taylor_importance
    monkeypatch.setattr(
        removals,
        "taylor_importance",
        lambda net, batches, loss: losses.append(loss) or real(net, batches, loss),
    )
    removals.record_removals(trial, model(), task())
    assert losses == [copy_loss]


def test_what_is_recorded_of_a_diverged_trial_has_the_same_names_and_no_good_value(
    trial: MemoryTrial, tmp_path: Path
) -> None:
    other = MemoryTrial(trial.config, tmp_path)
    removals.record_removals(trial, model(), task())
    removals.record_nothing_to_remove(other, model())
    # Without scores nobody knows whether there are as many others, nor, with four heads a layer,
    # whether the best two are in one.
    unknown = {f"heads/ablation/{name}" for name in ("as_many_others", "entropy_matched")}
    assert set(other.results) == set(trial.results) - unknown
    for name, (value, unit) in other.results.items():
        assert unit == "1"
        # What a head costs is best at 0: a model that does nothing must not look like that.
        assert math.isnan(value) if "/ablation/" in name else value == 0.0
    assert {name.split("/")[1] for name in other.results} == {
        "ablation",
        "prunable",
        "pruning_area",
    }
