"""Options of groups cross: any attention with any ffn, norm and task, in every experiment.

By default most options run a smoke study in one experiment. `-m slow` runs each option in each
experiment and a sample of pairs, `-m long` every pair. Impossible pairs get a one-line error in the
plan.
"""

import itertools
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from random import Random

import numpy as np
import pytest

from runner import registry
from runner.config import ConfigError
from runner.plan import estimates
from tests.support.environment import ROOT
from tests.support.memory_trial import MemoryTrial

Choice = dict[str, str]
TINY = {
    "domains": ["task.train_bytes=30000", "task.n_eval=6", "task.length=16"],
    "text": ["task.n_eval=6", "task.length=16"],
    "tokens": ["task.n_eval=6", "task.length=16", "task.vocabulary=90"],
    "waves": ["task.width=8", "task.n_samples=12", "task.n_eval=6"],
    "function": ["task.width=8", "task.n_samples=12", "task.n_eval=6", "task.length=10"],
    "patterns": ["task.width=8", "task.n_eval=6"],
    "induction": ["task.n_eval=6", "task.max_period=5", "task.length=12"],
    "numbers": ["task.n_train=40", "task.n_eval=10", "task.digits=3"],
    "pairs15": [],
}
SMALL = {
    "gqa_vs_mha": ["options.lengths=[16]", "options.prefill_lengths=[16]", "options.d_model=32"],
    "flash_attention": ["options.lengths=[16]"],
    "moe": ["options.n_permutations=3"],
    "norm_stability": ["options.depths=[1,2,3]", "options.init_batches=1"],
}
MISFIT = "learns from|takes token ids"
OF_VALUES = ("function", "waves", "patterns")
"""The tasks of real numbers, which have no token ids."""


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


def groups(experiment: str) -> list[str]:
    """Return the groups that have options; `model` is one set of keys, in conf/config.yaml."""
    return [group for group in registry.experiment_groups(experiment) if group != "model"]


def each_once(experiment: str) -> Iterator[Choice]:
    """Yield choices in which every option of every group appears at least once."""
    options = {group: choices(group) for group in groups(experiment)}
    for index in range(max(map(len, options.values()))):
        yield {group: names[index % len(names)] for group, names in options.items()}


def pairwise(experiment: str) -> Iterator[Choice]:
    """Yield choices in which every pair of options of two groups appears, selected greedily."""
    options = {group: choices(group) for group in groups(experiment)}
    uncovered = {
        frozenset([(a, x), (b, y)])
        for a, b in itertools.combinations(options, 2)
        for x, y in itertools.product(options[a], options[b])
    }

    def covered(choice: Choice) -> set[frozenset[tuple[str, str]]]:
        return {frozenset(pair) for pair in itertools.combinations(choice.items(), 2)}

    everything = [
        (choice, covered(choice))
        for names in itertools.product(*options.values())
        for choice in [dict(zip(options, names, strict=True))]
    ]
    while uncovered:
        best, pairs = max(everything, key=lambda each: len(each[1] & uncovered))
        uncovered -= pairs
        yield best


def write_tokens(folder: Path) -> Path:
    """Write a file of token ids."""
    path = folder / "tokens.bin"
    np.random.default_rng(0).integers(90, size=4000).astype(np.uint16).tofile(path)
    return path


def smoke(plan, experiment: str, choice: Choice, folder: Path) -> None:
    text = folder / "text.txt"
    text.write_text("".join(f"{i} squared is {i * i}\n" for i in range(600)))
    task = choice.get("task", "")
    paths = {"text": [f"task.path={text}"], "tokens": [f"task.path={write_tokens(folder)}"]}
    arm = [f"{group}={name}" for group, name in choice.items()]
    arm += TINY.get(task, []) + paths.get(task, [])
    quoted = ",".join(f'"{text}"' for text in [*arm, "match.by=none"])
    command = [
        *(f"experiment={experiment}", "scale=smoke", "arm=crossed", "baseline=crossed"),
        *("model.d_model=32", "model.n_layers=2", "training.batch_size=4"),
        *SMALL.get(experiment, []),
        f"+arms.crossed=[{quoted}]",
    ]
    pairs = task in ("numbers", "pairs15")
    lacks_ids = experiment == "compare" and task in OF_VALUES
    if task and (lacks_ids or pairs != registry.options_class(experiment).pairs):
        with pytest.raises(ConfigError, match=MISFIT) as caught:
            plan(*command)
        assert len(str(caught.value).splitlines()) == 1
        return
    study_plan = plan(*command)
    few = {"steps": 2, "warmup_steps": 1, "eval_every": 2}
    trial = MemoryTrial(study_plan.arms[0].config, folder / "outputs" / "corpora", **few)
    trial.checkpoints = folder / "checkpoint"  # corpora are shared, models are not
    import_module(f"experiments.{experiment}").run(trial)
    assert trial.results
    expected = estimates.expected_metrics(
        study_plan.arms[0].config
    )  # a plan refuses unknown metrics by these
    assert not [metric for metric in trial.results if not expected.has(metric)]
    assert not trial.diverged or "not below" in trial.diverged  # two steps may not lower the loss


@pytest.mark.some(2)
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_some_options_run_in_every_experiment(plan, tmp_path, experiment: str):
    """Each experiment takes another part of the list, so that most options run somewhere."""
    (tmp_path / "outputs").mkdir()
    part = registry.experiment_names().index(experiment)
    for number, choice in enumerate(
        list(each_once(experiment))[part :: len(registry.experiment_names())]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "outputs").symlink_to(tmp_path / "outputs")
        smoke(plan, experiment, choice, folder)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_every_option_runs_in_every_experiment_that_has_its_group(plan, tmp_path, experiment: str):
    (tmp_path / "outputs").mkdir()
    for number, choice in enumerate(each_once(experiment)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "outputs").symlink_to(tmp_path / "outputs")
        smoke(plan, experiment, choice, folder)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_a_sample_of_pairs_runs(plan, tmp_path, experiment: str, sample: Random):
    (tmp_path / "outputs").mkdir()
    pairs = list(pairwise(experiment))
    for number, choice in enumerate(sample.sample(pairs, -(-len(pairs) // 16))):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "outputs").symlink_to(tmp_path / "outputs")
        smoke(plan, experiment, choice, folder)


@pytest.mark.long
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_every_pair_of_options_runs(plan, tmp_path, experiment: str):
    (tmp_path / "outputs").mkdir()
    for number, choice in enumerate(pairwise(experiment)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "outputs").symlink_to(tmp_path / "outputs")
        smoke(plan, experiment, choice, folder)
