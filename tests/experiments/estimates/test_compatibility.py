"""Rules across groups: what a plan refuses before a trial would fail on it."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from experiments.estimates import expected_metrics, memory
from experiments.estimates.compatibility import check_compatible_options
from experiments.parts import Cost, Part
from experiments.tasks import Sizes
from experiments.tasks.base import TaskOptions
from runner import registry


@dataclass
class Mean(Part):
    """Attention of a user: the mean of all earlier positions."""

    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        return Cost()

    def build(self, d_model: int) -> Any:  # noqa: ARG002
        raise AssertionError("a plan builds nothing")


@dataclass
class Gate(Mean):
    """A feed-forward part of a user, with a function of its own."""

    @property
    def nonlinearity(self) -> str:
        return "mine"


@dataclass
class Sentences(TaskOptions):
    """A task of a user, which forgets to say that it is of pairs, or how long its sources are."""

    source_length: int

    def sizes(self) -> Sizes:
        return Sizes(4, source_length=self.source_length)

    def build(self, **_: object) -> Any:  # type: ignore[override]
        raise AssertionError("a plan builds nothing")


@dataclass
class Pairs(Sentences):
    pairs: ClassVar[bool] = True


def groups(plan: Any, experiment: str, **other: Any) -> dict[str, Any]:
    arm = plan(f"experiment={experiment}", "scale=smoke").arms[0].config
    return {**vars(arm.parts), "options": arm.options, "training": arm.training, **other}


@pytest.mark.some(1)
@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ("translation", "attention=mean cannot attend to a source, and task=pairs15 has pairs"),
        ("flash_attention", "attention=mean has no kernel, n_heads, and experiment=flash_atten"),
        ("head_analysis", "attention=mean has no heads, which experiment=head_analysis scores"),
    ],
)
def test_attention_that_a_question_cannot_use_is_refused(plan, experiment: str, said: str):
    chosen = groups(plan, experiment)
    check_compatible_options(registry.options_class(experiment), experiment, chosen)
    with pytest.raises(ValueError, match=said) as caught:
        check_compatible_options(
            registry.options_class(experiment), experiment, {**chosen, "attention": Mean("mean")}
        )
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_gqa_vs_mha_takes_attention_without_kv_heads_unless_it_converts(plan):
    chosen = {**groups(plan, "gqa_vs_mha"), "attention": Mean("mean")}
    options = chosen["options"]
    question = registry.options_class("gqa_vs_mha")
    check_compatible_options(question, "gqa_vs_mha", chosen)
    names = expected_metrics.list_expected_metrics(options, chosen)
    assert names.has("gqa/attention_parameters")
    assert names.has("gqa/prefill_time/length256")
    assert not names.has("gqa/cache_bytes")
    assert not names.has("gqa/decode_time")
    converted = {**chosen, "options": replace(options, convert="mean")}
    with pytest.raises(ValueError, match="attention=mean has no KV heads that ablab knows, so opt"):
        check_compatible_options(question, "gqa_vs_mha", converted)


@pytest.mark.slow
def test_a_function_that_cannot_be_drawn_is_refused_before_any_training(plan):
    chosen = groups(plan, "ffn", ffn=Gate("gate"))
    with pytest.raises(
        ValueError, match="ffn=gate: experiment=ffn cannot draw nonlinearity='mine'"
    ):
        check_compatible_options(registry.options_class("ffn"), "ffn", chosen)
    check_compatible_options(registry.options_class("ffn"), "ffn", {**chosen, "ffn": Mean("mean")})


@pytest.mark.parametrize(
    ("experiment", "task"),
    [("translation", Pairs("mine", 0)), ("ffn", Sentences("mine", 3))],
)
def test_pairs_have_sources_and_nothing_else_has(plan, experiment: str, task: TaskOptions):
    chosen = groups(plan, experiment, task=task)
    with pytest.raises(ValueError, match=r"task=mine has pairs=.* and sizes\(\).source_length="):
        check_compatible_options(registry.options_class(experiment), experiment, chosen)
    other = replace(task, source_length=3 - task.sizes().source_length)
    check_compatible_options(
        registry.options_class(experiment), experiment, {**chosen, "task": other}
    )


def test_a_question_without_attention_is_estimated(plan):
    arm = plan("experiment=moe", "scale=smoke").arms[0].config
    parts = {name: part for name, part in vars(arm.parts).items() if name != "attention"}
    whole = memory.estimate_lower_bound(arm.options, vars(arm.parts), arm.training, arm.device)
    assert (
        0
        < memory.estimate_lower_bound(arm.options, parts, arm.training, arm.device).total
        < whole.total
    )
    assert expected_metrics.list_expected_metrics(arm.options, parts).counts["head"] == 0
