"""What chooses heads, and what replaces them, never sees the data that judge."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from experiments.probes.heads import ablation_metrics
from experiments.probes.heads.copying import copy_loss
from tests.support.attention_models import make_attention_model, make_induction_task
from tests.support.memory_trial import MemoryTrial


@pytest.fixture
def trial(tmp_path: Path) -> MemoryTrial:
    options = SimpleNamespace(block=64, n_orders=2)
    return MemoryTrial(SimpleNamespace(options=options, seed_offset=0), tmp_path)


def test_each_half_goes_where_it_belongs(
    trial: MemoryTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, torch.Tensor] = {}

    def spy(name: str, at: int) -> None:
        real = getattr(ablation_metrics, name)

        def listening(*given, **options):
            seen[name] = torch.cat([batch.inputs[0] for batch in given[at]])
            return real(*given, **options)

        monkeypatch.setattr(ablation_metrics, name, listening)

    for name in ("mean_outputs", "taylor_importance", "head_entropies"):
        spy(name, 1)  # behind the model
    spy("make_copy_accuracy", 0)
    shown = []
    update = ablation_metrics.CopyProbe.update
    monkeypatch.setattr(
        ablation_metrics.CopyProbe,
        "update",
        lambda self, batch, output: shown.append(batch.inputs[0]) or update(self, batch, output),
    )
    source = make_induction_task()
    ablation_metrics.record_ablation_and_pruning(trial, make_attention_model(), source)
    whole = torch.cat([batch.inputs[0] for batch in source.evaluation()])
    even, odd = whole[0::2], whole[1::2]
    assert torch.equal(seen.pop("make_copy_accuracy"), odd)
    assert set(seen) == {"mean_outputs", "taylor_importance", "head_entropies"}
    for name, rows in (seen | {"CopyProbe": torch.cat(shown)}).items():
        assert torch.equal(rows, even), name


def test_importance_is_for_the_loss_of_copying(
    trial: MemoryTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    real = ablation_metrics.taylor_importance
    monkeypatch.setattr(
        ablation_metrics,
        "taylor_importance",
        lambda net, batches, loss: losses.append(loss) or real(net, batches, loss),
    )
    ablation_metrics.record_ablation_and_pruning(
        trial, make_attention_model(), make_induction_task()
    )
    assert losses == [copy_loss]


def test_what_is_recorded_of_a_diverged_trial_has_the_same_names_and_no_good_value(
    trial: MemoryTrial, tmp_path: Path
) -> None:
    other = MemoryTrial(trial.config, tmp_path)
    ablation_metrics.record_ablation_and_pruning(
        trial, make_attention_model(), make_induction_task()
    )
    ablation_metrics.record_diverged_ablation(other, make_attention_model())
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
