"""The experiment flash_attention: equal inputs, exact measures, and a whole small trial."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose

from experiments import flash_attention as flash
from experiments.flash_attention import FlashOptions
from experiments.nn.kernels.kernel import KERNELS, naive_attention
from experiments.parts.attention import Kernel
from experiments.probes import kernels
from runner import registry
from runner.plan.plan import Plan
from runner.trial.measure import can_measure_peak, peak_mib, trim_heap
from tests.support.memory_trial import MemoryTrial

CONF = Path(__file__).resolve().parents[2] / "conf"
SLACK = 4 * torch.finfo(torch.float32).eps
TINY = (
    *("experiment=flash_attention", "scale=smoke", "model.d_model=32", "attention.n_heads=4"),
    *("options.lengths=[8,24]", "options.length=24", "options.reference_up_to=24"),
)
MakePlan = Callable[..., Plan]


def trials(plan: MakePlan) -> dict[str, MemoryTrial]:
    return {arm.name: MemoryTrial(arm.config, Path()) for arm in plan.arms}


def as_exact_as_the_formula(errors: dict[str, float], plain: dict[str, float]) -> None:
    """Check FlashAttention's rule: 2 x the formula's error for the output, 3 x for gradients.

    A slack is added, since on so few numbers that error can be almost 0 by chance.
    """
    for name in kernels.OUTPUT_NAMES:
        factor = 2 if name == "forward" else 3
        assert errors[name] <= factor * plain[name] + SLACK, (name, errors, plain)


@pytest.mark.slow
def test_a_trial_measures_every_length(plan: MakePlan) -> None:
    by_arm = trials(plan(*TINY, "arm=[naive,fused,tiled_64]"))
    for trial in by_arm.values():
        flash.run(trial)
        flash.timing(trial)
    plain = by_arm["naive"].values
    for name, trial in by_arm.items():
        values = trial.values
        # 4 heads of 8, in float32. Naive saves the weights, the scaled queries and one causal mask
        # for all heads. The others save the output and one or two numbers a row.
        a_row = {"naive": 24 + 8, "fused": 8 + 1}.get(name, 8 + 2)
        mask = 24 * 24 if name == "naive" else 0
        assert values["flash/saved_bytes/length24"] == 4 * 24 * a_row * 4 + mask
        assert values["flash/saved_bytes"] == values["flash/saved_bytes/length24"]
        as_exact_as_the_formula(
            *(
                {n: of[f"flash/error_{n}/length24"] for n in kernels.OUTPUT_NAMES}
                for of in (values, plain)
            )
        )
        difference = values["flash/difference_to_naive/length24"]
        assert difference == 0 if name == "naive" else 0 < difference < 1e-6
        assert values["flash/peak_formula/length8"] == 4 * 8 * (8 if name == "naive" else 9) * 4
        for metric in ("time", "time_backward"):
            assert values[f"flash/{metric}/length8"] > 0
            assert trial.results[f"flash/{metric}/length8"][1] == "ms"
        assert ("flash/executed_share" in values) == name.startswith("tiled")
        assert len(trial.tables["times"]) == 2 * 2
        assert len(trial.tables["memory"]) == (6 if can_measure_peak() else 2)
    assert by_arm["naive"].results["flash/error_ratio/length24"] == (1.0, "1")


def test_arms_have_the_same_inputs_but_the_copy(plan: MakePlan) -> None:
    arms = trials(plan(*TINY, "arm=[naive,tiled,fused,tiled_copy]"))
    inputs = {name: flash.kernel_inputs(trial, 8) for name, trial in arms.items()}
    for name in ("tiled", "fused"):
        assert all(map(torch.equal, inputs["naive"], inputs[name]))
    assert not any(map(torch.equal, inputs["naive"], inputs["tiled_copy"]))
    assert not torch.equal(
        inputs["naive"].query, flash.kernel_inputs(arms["naive"], 24).query[:, :, :8]
    )


def test_grouped_heads_come_from_the_attention_option(plan: MakePlan) -> None:
    (arm,) = plan(*TINY, "attention=gqa", "arm=tiled").arms
    x = flash.kernel_inputs(MemoryTrial(arm.config, Path()), 8)
    assert (x.query.shape, x.key.shape) == ((1, 4, 8, 8), (1, 2, 8, 8))
    (arm,) = plan(*TINY, "arm=tiled").arms
    assert arm.config.parts.attention.n_kv_heads == 4


def test_parts_that_are_left_out_cost_nothing(plan: MakePlan) -> None:
    (arm,) = plan(*TINY, "arm=tiled").arms
    assert registry.costs(vars(arm.config.parts))["params"] == 4 * 32 * 32


def test_errors_see_a_wrong_kernel() -> None:
    torch.manual_seed(0)
    x = kernels.KernelInputs(*torch.randn(4, 1, 2, 30, 8))
    same = partial(naive_attention, causal=True)
    wrong = partial(naive_attention, causal=True, scale=8**-0.5 * 1.001)
    plain = kernels.kernel_errors(same, same, x)
    assert plain["error_ratio"] == 1
    assert plain["difference_to_naive"] == 0
    tiled = kernels.kernel_errors(partial(KERNELS[Kernel.tiled], causal=True), same, x)
    as_exact_as_the_formula(
        *({name: of[f"error_{name}"] for name in kernels.OUTPUT_NAMES} for of in (tiled, plain))
    )
    errors = kernels.kernel_errors(wrong, same, x)
    assert errors["difference_to_naive"] == pytest.approx(errors["error_forward"], rel=0.01)
    assert errors["error_ratio"] > 100
    assert errors["error_ratio_grad"] > 100


def test_every_attention_option_has_the_same_keys(hydra: None) -> None:  # noqa: ARG001
    names = [path.stem for path in (CONF / "attention").glob("*.yaml")]
    texts = [["experiment=flash_attention", "scale=smoke", f"attention={name}"] for name in names]
    options = [compose("config", overrides=words).attention for words in texts]
    same_kind = [option for option in options if option.kind == "multihead"]
    assert len(same_kind) > 2
    assert {tuple(option) for option in same_kind} == {tuple(same_kind[0])}


def test_options_say_what_is_wrong() -> None:
    good = FlashOptions([8], 8, True, None, None, reference_up_to=8, rounds=1, warmup=1)
    with pytest.raises(ValueError, match=r"lengths=\[8, 4\] must .* in ascending order"):
        replace(good, lengths=[8, 4])
    with pytest.raises(ValueError, match="block_k=0 must be at least 1"):
        replace(good, block_k=0)


@pytest.mark.skipif(not can_measure_peak(), reason="peak memory needs Linux")
def test_peak_is_what_a_call_adds() -> None:
    def sixteen() -> None:
        torch.zeros(16 << 18)

    sixteen()
    assert abs(peak_mib(lambda: sixteen) - 16) < 1
    assert peak_mib(lambda: trim_heap) < 1

    def fails() -> Callable[[], object]:
        raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="exit code 1"):
        peak_mib(fails)
