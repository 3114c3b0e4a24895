"""The least memory of a trial: below what trials take when they are measured, and not far below."""

from importlib import import_module
from pathlib import Path

import pytest

from experiments.estimates.expected_metrics import list_expected_metrics
from experiments.parts.moe import MixturePart
from runner.plan import estimates
from runner.trial.measure import can_measure_peak, peak_mib
from tests.support.memory_trial import MemoryTrial

WAVES = ("experiment=moe", "task=waves", "task.n_samples=30", "task.n_eval=3", "match.by=none")


@pytest.mark.slow
@pytest.mark.skipif(not can_measure_peak(), reason="peaks are measured on Linux")
@pytest.mark.parametrize(
    ("most", "command"),
    [
        ("weights", [*WAVES, "arm=dense", "model.d_model=512", "ffn.d_ff=8192", "task.length=8"]),
        ("activations", [*WAVES, "arm=dense", "training.batch_size=1024"]),
        ("activations", [*WAVES, "arm=dense", "task.length=512", "attention.kernel=naive"]),
        ("data", [*WAVES, "arm=dense", "task.n_samples=20000"]),
    ],
)
def test_it_is_below_the_peak_and_above_a_tenth_of_it(plan, tmp_path: Path, most, command):
    made = plan(*command, "scale=smoke", "n_seeds=1")
    arm = made.arms[0].config
    few = {"steps": 2, "warmup_steps": 1, "eval_every": 2}
    trial = MemoryTrial(arm, tmp_path / "outputs" / "corpora", **few)
    calls: list[int] = []

    def run() -> None:
        if calls:  # `peak_mib` measures the second call
            import_module(f"experiments.{made.experiment}").run(trial)
        calls.append(1)

    least = estimates.least_memory(arm)
    measured = peak_mib(lambda: run) * 2**20
    assert max(("weights", "activations", "data"), key=lambda name: getattr(least, name)) == most
    assert measured / 10 < least.total < measured


def test_experts_and_embeddings_count(plan):
    arms = {arm.name: arm.config for arm in plan(*WAVES, "arm=[dense,moe_top2]").arms}
    dense, mixture = (estimates.least_memory(arms[name]) for name in ("dense", "moe_top2"))
    assert isinstance(arms["moe_top2"].parts.ffn, MixturePart)
    assert mixture.weights > 2 * dense.weights  # all experts are held, though two are active


def test_what_is_not_known_is_taken_to_record_everything():
    assert list_expected_metrics(object(), {}).has("my/own/metric")
