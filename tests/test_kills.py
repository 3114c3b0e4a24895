"""A trial may be killed at any point, as often as you like: it ends with the same bits.

The trial is a short training of the translation experiment: three batches an epoch, each in two
parts, and a checkpoint at every fourth step. So kills fall into epochs, steps and the time between
checkpoints. The default suite takes a few points, `-m slow` a sample of all, `-m long` all of them.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from signal import SIGTERM
from typing import Any

import pytest
from hydra import initialize_config_dir

from runner import registry
from runner.plan import planning
from runner.records.job import Job, Stage
from runner.records.store import Slot, read_json
from runner.study.entries import list_trials, make_job
from runner.trial.checkpoint import DIGESTS, STATE, WEIGHTS, steps
from tests.support.composition import compose_config
from tests.support.environment import ROOT
from tests.support.kill_points import SEAMS, ForkServer, KillPoint, Stages, fork_server
from tests.support.outcomes import outcome

pytestmark = pytest.mark.xdist_group("kills")  # the trial is computed once, in one process

SMALL = ("scale=smoke", "n_seeds=1", "model.d_model=16", "model.n_layers=1", "attention.n_heads=2")
TRAINING = ("training.log_every=1", "training.eval_every=4", "training.checkpoint_every=4")
TRAINING += ("training.warmup_steps=2", "attention.dropout=0.1", "ffn.dropout=0.1", "ffn.d_ff=32")
TRANSLATION = ("experiment=translation", "arm=base", "task=pairs15", "options.n_probe=4", *TRAINING)
TRANSLATION += ("training.steps=12", "training.batch_size=4", "training.accumulate=2")
CONVERSION = ("experiment=gqa_vs_mha", "arm=convert_mean", "task.n_eval=24", *TRAINING)
CONVERSION += ("training.steps=8", "options.uptrain_share=0.4", "options.d_model=32")
KERNELS = ("experiment=flash_attention", "arm=tiled", "options.lengths=[16,32]")
KERNELS += ("options.length=32", "options.rounds=1")
SAMPLES = {"part of a step": 14, "step": 5, "weights": 3, "state": 2, "checkpoint": 2, "sync": 6}


@dataclass
class Lab:
    """One trial to be computed repeatedly, and its outcome without a kill."""

    folder: Path
    stages: Stages
    nursery: ForkServer
    whole: dict[str, Any] = field(default_factory=dict)
    passed: Counter[str] = field(default_factory=Counter)
    names: Iterator[int] = field(default_factory=count)

    def fresh(self) -> list[Job]:
        """Return the stages of the trial in a new folder."""
        slot = Slot(self.folder / str(next(self.names)) / "seed-0")
        return [replace(job, slot=slot) for job in self.stages]

    def survives(self, *points: KillPoint) -> None:
        """Kill the trial at each point in turn, let it end, compare."""
        stages = self.fresh()
        for point in points:
            assert self.nursery.run(stages, point) == -point.by, point
        self.ends_as_the_whole(stages, points)

    def ends_as_the_whole(self, stages: Sequence[Job], why: Any) -> dict[str, Any]:
        """Compute a trial to its end; return its result, equal to the whole's except for times."""
        folder = stages[0].slot.folder
        spent = (read_json(folder / "seconds.json") or {"seconds": 0.0})["seconds"]
        assert self.nursery.run(stages) == 0, (why, (folder / "log.txt").read_text())
        actual = outcome(folder)
        assert [key for key in self.whole if actual[key] != self.whole[key]] == [], why
        result = read_json(folder / "result.json")
        assert result is not None
        assert result["seconds"] >= spent, why
        return result


def lab(folder: Path, *overrides: str) -> Iterator[Lab]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        plan = planning.make_plan(*compose_config(folder, [*overrides, *SMALL]))
    entry = list_trials(plan)[0]
    stages = (
        [Stage.run, Stage.timing] if registry.has_timing_stage(plan.experiment) else [Stage.run]
    )
    jobs = [make_job(plan, entry, stage) for stage in stages]
    with fork_server(jobs) as children:
        translation_lab = Lab(folder, jobs, children)
        whole = translation_lab.fresh()
        translation_lab.passed = children.count_passages(whole)
        translation_lab.whole = outcome(whole[0].slot.folder)
        yield translation_lab


@pytest.fixture(scope="module")
def translation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from lab(tmp_path_factory.mktemp("translation"), *TRANSLATION)


@pytest.fixture(scope="module")
def rounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return the translation trial with products in bfloat16."""
    yield from lab(tmp_path_factory.mktemp("rounded"), *TRANSLATION, "device.autocast=bfloat16")


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from lab(tmp_path_factory.mktemp("kernels"), *KERNELS)


@pytest.fixture(scope="module")
def conversion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from lab(tmp_path_factory.mktemp("conversion"), *CONVERSION)


def test_the_whole_trial_is_what_these_tests_are_about(translation: Lab):
    assert translation.passed["step"] == 12
    assert translation.passed["part of a step"] == 24
    assert translation.passed["checkpoint"] == 3
    assert set(translation.passed) == set(SEAMS)
    checkpoint_files = {
        name for name in translation.whole["files"] if name.startswith("checkpoint/")
    }
    assert checkpoint_files == {f"checkpoint/step-12/{name}" for name in (WEIGHTS, STATE, DIGESTS)}
    moments = [name for name in translation.whole["states"] if name.endswith("/exp_avg_sq")]
    assert len(moments) == len(translation.whole["weights"])
    assert "step-12/rng/cpu" in translation.whole["states"]


@pytest.mark.parametrize(("seam", "call"), SAMPLES.items())
def test_a_kill_costs_no_bit(translation: Lab, seam: str, call: int):
    translation.survives(KillPoint(seam, call))


@pytest.mark.slow
def test_a_kill_before_a_file_changes_costs_no_bit(translation: Lab):
    for call in range(5, translation.passed["file change"], 11):
        translation.survives(KillPoint("file change", call))


@pytest.mark.slow
@pytest.mark.parametrize("seam", SEAMS)
def test_a_kill_at_points_of_a_sample_costs_no_bit(translation: Lab, seam: str, sample: Random):
    calls = range(1, translation.passed[seam] + 1)
    for call in sample.sample(calls, min(len(calls), 3)):
        translation.survives(KillPoint(seam, call))


@pytest.mark.long
@pytest.mark.parametrize("seam", SEAMS)
def test_a_kill_at_any_point_costs_no_bit(translation: Lab, seam: str):
    for call in range(1, translation.passed[seam] + 1):
        translation.survives(KillPoint(seam, call))


def test_three_kills_cost_no_bit(translation: Lab):
    translation.survives(
        KillPoint("part of a step", 11), KillPoint("state", 1), KillPoint("sync", 12)
    )


@pytest.mark.long
@pytest.mark.parametrize("seam", ["part of a step", "step", "sync", "file change"])
def test_three_kills_at_any_point_cost_no_bit(translation: Lab, seam: str):
    # Every process passes the first points again, and gets farther than the previous process.
    for call in range(1, translation.passed[seam] // 3, 3):
        translation.survives(*[KillPoint(seam, call)] * 3)


@pytest.mark.slow
@pytest.mark.parametrize("seam", SEAMS)
def test_a_kill_behind_a_conversion_costs_no_bit(conversion: Lab, seam: str, sample: Random):
    conversion.survives(
        KillPoint(seam, sample.randint(conversion.passed[seam] // 2 or 1, conversion.passed[seam]))
    )


@pytest.mark.long
@pytest.mark.parametrize("seam", SEAMS)
def test_a_kill_anywhere_behind_a_conversion_costs_no_bit(conversion: Lab, seam: str):
    passed, every = conversion.passed[seam], 3 if seam == "file change" else 1
    for call in range(passed // 2, passed + 1, every):
        conversion.survives(KillPoint(seam, call))


@pytest.mark.long
@pytest.mark.parametrize(("seam", "every"), [("sync", 3), ("file change", 12)])
def test_a_kill_between_measurements_costs_no_bit(kernels: Lab, seam: str, every: int):
    for call in range(2, kernels.passed[seam] + 1, every):
        kernels.survives(KillPoint(seam, call))


@pytest.mark.slow
def test_autocast_trains_to_other_numbers_and_a_kill_costs_no_bit(translation: Lab, rounded: Lab):
    ours, theirs = rounded.whole, translation.whole
    assert ours["status"] == "done"
    assert ours["weights"].keys() == theirs["weights"].keys()
    assert {dtype for dtype, _, _ in ours["weights"].values()} == {"torch.float32"}
    assert all(ours["weights"][name] != theirs["weights"][name] for name in theirs["weights"])
    # Before the first step nothing is rounded yet; then losses stay close.
    val_losses = [
        {step: v for tag, step, v in whole["events"] if tag == "val/loss"}
        for whole in (ours, theirs)
    ]
    assert val_losses[0][0] == val_losses[1][0]
    assert val_losses[0] != val_losses[1]
    assert val_losses[0] == pytest.approx(val_losses[1], rel=0.01)
    assert val_losses[0][12] < val_losses[0][0]
    rounded.survives(KillPoint("part of a step", 11))


@pytest.mark.parametrize(
    ("seam", "call", "step"),
    [
        ("part of a step", 11, 6),
        ("weights", 2, 8),
        pytest.param("step", 6, 6, marks=pytest.mark.slow),
        pytest.param("state", 1, 4, marks=pytest.mark.slow),
        pytest.param("part of a step", 24, 12, marks=pytest.mark.slow),
    ],
)
def test_sigterm_checkpoints_at_once(translation: Lab, seam: str, call: int, step: int):
    stages = translation.fresh()
    assert translation.nursery.run(stages, KillPoint(seam, call, SIGTERM)) == 1
    slot = stages[0].slot
    assert slot.status()["state"] == "killed"
    assert slot.status()["message"] == f"stopped on request, resumes from step {step}"
    assert steps(slot.folder / "checkpoint")[-1] == step
    assert translation.ends_as_the_whole(stages, seam)["from_step"] == step


def test_sigterm_while_the_result_is_written_lets_it_be_written(translation: Lab):
    stages = translation.fresh()
    last = KillPoint("sync", translation.passed["sync"], SIGTERM)
    assert translation.nursery.run(stages, last) == 0
    assert stages[0].slot.result() is not None


@pytest.mark.slow
def test_sigterm_behind_a_conversion_goes_on_from_before_it(conversion: Lab):
    stages = conversion.fresh()
    assert conversion.nursery.run(stages, KillPoint("part of a step", 10, SIGTERM)) == 1
    assert stages[0].slot.status()["message"] == "stopped on request, resumes from step 8"
    assert conversion.ends_as_the_whole(stages, "sigterm")["from_step"] == 8


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "one bit": lambda path: path.write_bytes(flip(path.read_bytes())),
}


@pytest.fixture(scope="module")
def stopped(translation: Lab) -> Path:
    """Return the folder of a trial with checkpoints of steps 8 and 12, killed after the last."""
    stages = translation.fresh()
    translation.nursery.run(stages, KillPoint("checkpoint", 3))
    assert steps(stages[0].slot.folder / "checkpoint") == [8, 12]
    return stages[0].slot.folder


def copied(translation: Lab, stopped: Path) -> list[Job]:
    stages = translation.fresh()
    shutil.copytree(stopped, stages[0].slot.folder)
    return stages


TORN = [(file, damage) for file in (WEIGHTS, STATE, DIGESTS) for damage in DAMAGES]
FIRST = ((WEIGHTS, "one bit"), (STATE, "truncated"), (DIGESTS, "missing"))


@pytest.mark.parametrize(
    ("file", "damage"),
    [*FIRST, *(pytest.param(*x, marks=pytest.mark.slow) for x in TORN if x not in FIRST)],
)
def test_a_torn_checkpoint_falls_back(translation: Lab, stopped: Path, file: str, damage: str):
    stages = copied(translation, stopped)
    DAMAGES[damage](stages[0].slot.folder / "checkpoint" / "step-12" / file)
    assert translation.ends_as_the_whole(stages, file)["from_step"] == 8


def test_without_an_undamaged_checkpoint_a_trial_starts_anew(translation: Lab, stopped: Path):
    stages = copied(translation, stopped)
    for step, file in ((8, STATE), (12, WEIGHTS)):
        DAMAGES["truncated"](stages[0].slot.folder / "checkpoint" / f"step-{step}" / file)
    # Killed again, it resumes from its newer checkpoints: damaged ones replace none of these.
    assert translation.nursery.run(stages, KillPoint("step", 6)) < 0
    assert translation.ends_as_the_whole(stages, "both")["from_step"] == 4


@pytest.mark.slow
def test_a_checkpoint_of_other_code_is_never_gone_on_from(translation: Lab):
    for call in (1, 4, 9, 16, 19):  # from its first file to the start of its training
        stages = translation.fresh()
        others = [replace(job, code="other") for job in stages]
        assert translation.nursery.run(others, KillPoint("step", 6)) < 0
        assert translation.nursery.run(stages, KillPoint("file change", call)) < 0
        assert translation.ends_as_the_whole(stages, call)["from_step"] == 0, call
