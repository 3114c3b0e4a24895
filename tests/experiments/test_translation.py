"""The experiment translation: scores, attention weights, its plans, and a whole small trial."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from experiments import translation
from experiments.nn.encoder_decoder import PAD, EncoderDecoder
from experiments.parts.body import body_cost
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.probes.translation import (
    Sample,
    TranslationProbe,
    cross_attention,
    cross_attention_weights,
    exact_match_by_digits,
)
from experiments.tasks import Sizes
from experiments.tasks.batch import Batch
from experiments.tasks.numbers import Numbers, SourceUnit
from experiments.tasks.pairs15 import Pairs15
from experiments.tasks.translation import TranslationTask
from runner.plan.plan import Plan, PlannedArm
from runner.plan.report_spec import read_report_spec
from runner.trial.compute import record_costs
from runner.trial.training import evaluate
from tests.support.memory_trial import MemoryTrial

torch.set_num_threads(1)
MakePlan = Callable[..., Plan]
SMALL = ("experiment=translation", "scale=smoke", "arm=base", "task=pairs15", "model.d_model=48")
HARDER = ("task=numbers", "task.n_train=200", "task.n_eval=20", "task.digits=5")
HARDER += ("task.longer=1", "task.compositional=true")
FEW = ("task=numbers", "task.n_train=200", "task.n_eval=20", "task.digits=4")


def trial_of(arm: PlannedArm, folder: Path, *, steps: int) -> MemoryTrial:
    return MemoryTrial(arm.config, folder, steps=steps, warmup_steps=1, eval_every=steps // 2)


def build_arm(arm: PlannedArm) -> tuple[EncoderDecoder, TranslationTask]:
    parts = arm.config.parts
    task = parts.task.build(seed=0, batch_size=8, cache=Path())
    assert isinstance(task, TranslationTask)
    sizes = {"source_vocabulary": len(task.source), "target_vocabulary": len(task.target)}
    return build_encoder_decoder(parts, **sizes, seed=0).eval(), task


@pytest.mark.slow
def test_the_fifteen_pairs_are_learnt_and_both_splits_reported(
    plan: MakePlan, tmp_path: Path
) -> None:
    [arm] = plan(*SMALL).arms
    trial = trial_of(arm, tmp_path, steps=90)
    translation.run(trial)
    values = trial.values
    assert trial.diverged is None
    assert values["translation/exact_match/train"] == 1
    assert values["translation/exact_match"] == values["translation/exact_match/held_out"] < 1
    assert trial.results["val/loss"][1] == "nats/token"
    assert trial.results["translation/loss/train"][1] == "nats/token"
    # Memorised pairs do not belong to the held-out set.
    assert values["translation/loss/train"] < 0.1 < values["val/loss"]
    assert {row["split"]: row["sentences"] for row in trial.tables["scores"]} == {
        "train": 15,
        "held_out": 95,
    }
    samples = trial.tables["samples"]
    assert [row["split"] for row in samples] == ["train", "held_out"] * 15
    known = samples[::2]
    assert [row["ok"] for row in known] == ["✓"] * 15
    assert known[14] == {
        "split": "train",
        "source": "nine ten",
        "expected": "九 十",
        "predicted": "九 十",
        "ok": "✓",
    }
    for row in samples:
        assert row["ok"] == ("✓" if row["expected"] == row["predicted"] else "✗")
    curve = [
        values["translation/exact_match/train"]
        for _, values in sorted(trial.curves.items())
        if "translation/exact_match/train" in values
    ]
    assert curve[0] < curve[-1] == 1
    record_costs(trial)  # as the engine does behind the page
    assert "cost/flops_per_token" in trial.values


@pytest.mark.slow
def test_longer_numbers_and_new_combinations_are_scored_apart(
    plan: MakePlan, tmp_path: Path
) -> None:
    [arm] = plan(*SMALL, *HARDER, "task.label_smoothing=0.1").arms
    trial = trial_of(arm, tmp_path, steps=2)
    translation.run(trial)
    splits = ("train", "iid", "compositional", "length")
    scored = {f"translation/exact_match/{split}" for split in splits}
    assert scored <= set(trial.values)
    assert all(scored <= set(values) for values in (trial.curves[0], trial.curves[2]))
    assert {f"translation/loss/{split}" for split in splits} - set(trial.values) == {
        "translation/loss/iid"  # the metric val/loss
    }
    digits = {name.rpartition("/")[2] for name in trial.values if "exact_match_digits/" in name}
    assert {"3", "4", "5", "6"} <= digits <= {*"123456"}
    assert {row["split"]: row["sentences"] for row in trial.tables["scores"]} == dict.fromkeys(
        splits, 20
    )


@pytest.mark.slow
def test_what_full_asks_about_is_recorded(plan: MakePlan, tmp_path: Path) -> None:
    asked = read_report_spec(plan("experiment=translation", "scale=full").study)
    metrics = {metric for claim in asked.claims for metric in claim.metrics}
    metrics |= {headline.metric for headline in asked.headline}
    trial = trial_of(plan(*SMALL, *HARDER).arms[0], tmp_path, steps=2)
    translation.run(trial)
    assert metrics <= set(trial.values)


def test_a_share_for_each_number_of_digits() -> None:
    right, wrong = Sample("", "", "一", "一"), Sample("", "", "一", "二")
    numbers = {"iid": [7, 12, 34, 56], "length": [123, 99]}
    decoded = {"iid": [right, right, wrong, wrong], "length": [wrong, right]}
    assert exact_match_by_digits(numbers, decoded) == {
        "translation/exact_match_digits/1": 1,
        "translation/exact_match_digits/2": 0.5,
        "translation/exact_match_digits/3": 0,
    }
    with pytest.raises(ValueError, match="shorter"):
        exact_match_by_digits(numbers, {"iid": [right]})


@pytest.mark.parametrize("room", [0, -2])  # -1 is the end mark, which is not read
def test_a_decoding_has_room_for_the_longest_right_answer(
    plan: MakePlan, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """A model that knows every answer is right in every split; with fewer positions it is not."""
    model, task = build_arm(plan(*SMALL, *HARDER).arms[0])
    task.length += room
    right = {
        tuple(source): target
        for split in task.labels
        for batch in task.split(split)
        for source, target in zip(unpadded(batch.inputs[0]), batch.target, strict=True)
    }

    def knows(_: EncoderDecoder, source: Tensor, *, max_length: int, **marks: int) -> Tensor:  # noqa: ARG001
        return pad_sequence(
            [right[tuple(row)][:max_length] for row in unpadded(source)], batch_first=True
        )

    monkeypatch.setattr("experiments.probes.translation.translate_greedily", knows)
    probe = TranslationProbe(model, task, None)
    for split in task.labels:
        for batch in task.split(split):
            probe.update(batch)
    metrics = probe.metrics()
    assert metrics["translation/exact_match/iid"] == 1
    assert (metrics["translation/exact_match/length"] == 1) == (room == 0)


def unpadded(rows: Tensor) -> list[list[int]]:
    return [row[row != PAD].tolist() for row in rows]


def plain_loss(model: EncoderDecoder, task: TranslationTask) -> float:
    """Return the negative log likelihood per held-out token, by hand."""
    total = n = 0.0
    for batch in task.evaluation():
        log_p = model(*batch.inputs, keep=batch.keep).prediction.log_softmax(dim=-1)
        of_target = log_p.gather(2, batch.target[:, :, None])[:, :, 0][batch.keep]
        total, n = total - of_target.sum().item(), n + len(of_target)
    return total / n


def test_smoothing_does_not_leak_into_the_held_out_loss(plan: MakePlan) -> None:
    [arm] = plan(*SMALL, *FEW, "task.label_smoothing=0.3").arms
    model, task = build_arm(arm)
    expected = pytest.approx(plain_loss(model, task), rel=1e-5)
    assert evaluate(model, task, [], torch.device("cpu"))["val/loss"] == expected

    class Leaking:
        """A planted fault: the held-out targets are smoothed like those of training."""

        def evaluation(self) -> Iterator[Batch]:
            return (replace(b, label_smoothing=0.3) for b in task.evaluation())

        def __getattr__(self, name: str) -> object:
            return getattr(task, name)

    leaking = cast(TranslationTask, Leaking())
    assert evaluate(model, leaking, [], torch.device("cpu"))["val/loss"] != expected


@pytest.mark.slow
def test_smoothing_is_learnt_from_and_changes_no_first_evaluation(
    plan: MakePlan, tmp_path: Path
) -> None:
    trials = []
    for smoothing in (0.0, 0.3):
        [arm] = plan(*SMALL, *FEW, f"task.label_smoothing={smoothing}").arms
        trials.append(trial_of(arm, tmp_path / str(smoothing), steps=2))
        translation.run(trials[-1])
    plain, smooth = (trial.curves for trial in trials)
    assert smooth[0] == plain[0]  # the same start and the same evaluation
    assert smooth[2]["val/loss"] != plain[2]["val/loss"]
    assert smooth[2]["train/loss"] != plain[2]["train/loss"]


def test_rows_of_the_heat_map_sum_to_one(plan: MakePlan, tmp_path: Path) -> None:
    [arm] = plan(*SMALL, *FEW, "attention=gqa").arms
    trial = trial_of(arm, tmp_path, steps=2)
    translation.run(trial)
    rows = trial.tables["cross_attention"]
    sums: dict[tuple[int, int, int], float] = {}
    for row in rows:
        place = (row["layer"], row["head"], row["query"])
        sums[place] = sums.get(place, 0) + row["weight"]
    assert list(sums.values()) == pytest.approx([1] * len(sums))
    assert {(layer, head) for layer, head, _ in sums} == {(a, b) for a in (0, 1) for b in range(4)}
    assert {"hundred", "thousand"} & {row["key_label"] for row in rows}


@pytest.mark.some(1)
@pytest.mark.parametrize("attention", ["mha", "gqa", "mqa"])
def test_recomputed_weights_are_those_that_the_layer_uses(plan: MakePlan, attention: str) -> None:
    model, task = build_arm(plan(*SMALL, *FEW, f"attention={attention}").arms[0])
    model = model.double()
    source = next(task.evaluation()).inputs[0]
    layer, keep = model.decoder[0].cross, source != PAD
    memory = torch.randn(*source.shape, 48, dtype=torch.float64)
    x = torch.randn(len(source), 5, 48, dtype=torch.float64)
    per_head = layer.value(memory).unflatten(-1, (-1, layer.d_head)).transpose(1, 2)
    per_head = per_head.repeat_interleave(layer.n_heads // layer.n_kv_heads, dim=1)
    mixed = cross_attention_weights(layer, x, memory, keep).double() @ per_head
    expected = layer(x, keep, memory=memory)
    torch.testing.assert_close(
        layer.out(mixed.transpose(1, 2).flatten(2)), expected, atol=1e-6, rtol=1e-5
    )


def test_attention_is_read_in_eval_mode_without_a_trace(plan: MakePlan) -> None:
    model, task = build_arm(plan(*SMALL, *FEW, "attention.dropout=0.5").arms[0])
    source, target = next(task.evaluation()).inputs
    first, again = (cross_attention(model.train(), source, target) for _ in range(2))
    assert model.training
    assert not any(block.cross._forward_pre_hooks for block in model.decoder)
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(one.sum(dim=-1), torch.ones(one.shape[:3]))
        assert not one.masked_select((source == PAD)[:, None, None, :]).any()


def test_a_probe_decodes_no_more_than_asked_of_each_split(plan: MakePlan) -> None:
    model, task = build_arm(plan(*SMALL).arms[0])
    probe = TranslationProbe(model, task, 4)
    for split in task.labels:
        for batch in task.split(split):
            probe.update(batch)
    assert [len(probe.samples_of_split(split)) for split in task.labels] == [4, 4]
    assert set(probe.metrics()) == {
        *("translation/exact_match", "translation/chrf"),
        *("translation/exact_match/train", "translation/exact_match/held_out"),
    }


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "more",
    [
        (),
        ("norm=post", "attention.bias=true"),
        ("attention=gqa", "ffn=moe"),
        ("norm=rms", "ffn=swiglu"),
    ],
)
def test_cost_counts_the_parameters_of_the_body(plan: MakePlan, more: tuple[str, ...]) -> None:
    arm = plan(*SMALL, *more).arms[0]
    model, _ = build_arm(arm)
    outside = ("source_embedding", "target_embedding", "head")
    body = sum(p.numel() for n, p in model.named_parameters() if not n.startswith(outside))
    assert body_cost(vars(arm.config.parts)).parameters == body


@pytest.mark.parametrize("attention", ["mha", "gqa"])
def test_cost_counts_the_products_of_the_longest_sentence(plan: MakePlan, attention: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    parts = (
        plan(*SMALL, *FEW, f"attention={attention}", "attention.kernel=fused").arms[0].config.parts
    )
    task = SimpleNamespace(pairs=True, sizes=lambda: Sizes(length=7, source_length=9))
    model = build_encoder_decoder(parts, source_vocabulary=5, target_vocabulary=6, seed=0)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(torch.ones(1, 9, dtype=torch.int64), torch.ones(1, 7, dtype=torch.int64))
    head = 2 * 48 * 6 * 7
    # The counter knows no scaled_dot_product_attention on a CPU, so its two products are added.
    # In each of two layers: encoder 9 x 9, decoder a causal half of 7 x 7, and 7 x 9.
    products = 2 * 2 * 2 * 48 * (81 + 28 + 63)
    n_flops = body_cost(vars(parts) | {"task": task}).flops_per_token * 7
    assert n_flops == pytest.approx(counter.get_total_flops() - head + products)


def test_the_exercise_is_the_arm_pairs15_at_quick(plan: MakePlan) -> None:
    study = plan("experiment=translation", "n_seeds=4")
    # The two arms have tasks of their own, so no number of seeds compares them.
    assert not [line for line in study.notes if "better or worse" in line]
    arms = {arm.name: arm.config for arm in study.arms}
    assert [*arms] == ["base", "pairs15"]
    parts, training = arms["pairs15"].parts, arms["pairs15"].training
    assert isinstance(parts.task, Pairs15)
    assert (parts.model.d_model, parts.model.n_layers, parts.attention.n_heads) == (128, 2, 4)
    assert (parts.ffn.d_ff, training.lr, training.batch_size) == (512, 1e-3, 5)
    assert training.steps * training.batch_size == 200 * 15
    assert isinstance(arms["base"].parts.task, Numbers)
    assert arms["base"].parts.task.source_unit is SourceUnit.word


@pytest.mark.slow
def test_all_arms_of_full_are_composed_and_claims_are_about_them(plan: MakePlan) -> None:
    study = plan("experiment=translation", "scale=full")
    names = {arm.name for arm in study.arms}
    for claim in read_report_spec(study.study).claims:
        assert set(claim.compared_arms) <= names
        known = getattr(claim, "positive_control", None)
        assert known is None or known.arm not in claim.compared_arms  # no claim is its own control
        assert claim.n <= len(study.seeds)


@pytest.mark.slow
def test_arms_about_longer_numbers_stay_with_them(plan: MakePlan) -> None:
    study = plan("experiment=translation", "scale=full", "task=pairs15")
    tasks = {arm.name: arm.config.parts.task for arm in study.arms}
    for name in ("short", "short_copy"):
        task = tasks.pop(name)
        assert (task.digits, task.longer, task.n_train, task.compositional) == (5, 1, 1000, True)
    assert all(isinstance(task, Pairs15) for task in tasks.values())
    assert tasks["smoothed"].label_smoothing == 0.1


def test_a_task_without_translations_is_refused(plan: MakePlan, tmp_path: Path) -> None:
    def planned_and_run() -> None:
        arm = plan(*SMALL[:3], "task=waves").arms[0]
        translation.run(trial_of(arm, tmp_path, steps=2))

    with pytest.raises(ValueError, match="task"):
        planned_and_run()
