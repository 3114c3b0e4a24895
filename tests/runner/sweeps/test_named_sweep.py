"""Sweeps in YAML: what they say, and what is refused with one line."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from runner.config import ConfigError
from runner.plan.arguments import check_and_rewrite, check_arguments
from runner.plan.option_folders import CONF
from runner.sweeps.family import correct_over_points
from runner.sweeps.named_sweep import read_named_sweep
from runner.sweeps.request import SweepRequest, read_request
from tests.support.sample_sweep import comparison_row

ZIPPED = """
title: Table 2
overrides: [experiment=moe, n_seeds=3]
zip: {ffn.n_experts: [4, 8, 16], ffn.top_k: [1, 2, 4]}
"""


def request_of(folder: Path, text: str, *typed: str) -> SweepRequest:
    (folder / "sweep").mkdir(exist_ok=True)
    (folder / "sweep" / "table2.yaml").write_text(text)
    arguments = ["-m", f"--config-dir={folder}", "sweep=table2", *typed]
    return read_request(check_arguments(arguments))


def test_zipped_values_belong_together(tmp_path: Path):
    request = request_of(tmp_path, ZIPPED)
    assert request.title == "Table 2"
    assert [dict(job.settings) for job in request.jobs] == [
        {"ffn.n_experts": n, "ffn.top_k": k} for n, k in ((4, 1), (8, 2), (16, 4))
    ]
    assert all({"experiment=moe", "n_seeds=3"} <= {*job.overrides} for job in request.jobs)
    assert request.flags == (f"--config-dir={tmp_path}",)


def test_the_command_line_changes_and_multiplies_a_sweep(tmp_path: Path):
    jobs = request_of(tmp_path, ZIPPED, "n_seeds=6", "training.lr=1e-3,3e-3").jobs
    assert len(jobs) == 6
    assert all("n_seeds=6" in job.overrides and "n_seeds=3" not in job.overrides for job in jobs)
    assert dict(jobs[1].settings) == {"ffn.n_experts": 4, "ffn.top_k": 1, "training.lr": 3e-3}


def test_the_shipped_sweep_leaves_its_seeds_to_the_preset_and_they_can_decide():
    sweep = read_named_sweep(CONF / "sweep" / "moe_experts.yaml", check_and_rewrite)
    assert not [text for text in sweep.overrides if "seed" in text]
    n_seeds = OmegaConf.load(CONF / "preset" / "moe_quick.yaml").n_seeds
    n_tests = 3 * 3  # three comparisons at each of three points
    differences = [pd.Series(np.linspace(1, 2, n_seeds) + i) for i in range(n_tests)]
    rows = pd.DataFrame([comparison_row(1 + i // 3, n=n_seeds) for i in range(n_tests)])
    family = correct_over_points(rows, differences)
    assert len(family.sentences) == 1  # no sentence says that more seeds are needed
    assert {*family.comparison["sweep_standing"]} == {"better"}


def test_points_have_names_and_their_own_overrides(tmp_path: Path):
    text = "points: {plain: [ffn=swiglu], wide: [ffn=swiglu, ffn.d_ff=96]}\n"
    jobs = request_of(tmp_path, text, "experiment=ffn").jobs
    assert [(job.name, dict(job.settings)) for job in jobs] == [
        ("plain", {}),
        ("wide", {"ffn.d_ff": 96}),
    ]
    assert "++ffn.d_ff=96" in jobs[1].overrides


def test_several_lists_are_combined(tmp_path: Path):
    text = "grid: {training.lr: [1e-3, 3e-3], seed: [0, 5]}\npoints: {a: [], b: [task=waves]}\n"
    jobs = request_of(tmp_path, text, "experiment=moe").jobs
    assert len(jobs) == 8
    assert {job.name for job in jobs} == {"a", "b"}
    assert {job.settings["training.lr"] for job in jobs} == {1e-3, 3e-3}


@pytest.mark.parametrize(
    ("value", "typed"),
    [
        ("[[dense, moe_top2], [dense]]", "arm=[dense,moe_top2]"),
        ('["moe_top2", "dense"]', "arm=moe_top2"),
    ],
)
def test_a_value_means_what_it_means_on_the_command_line(tmp_path: Path, value: str, typed: str):
    jobs = request_of(tmp_path, f"grid: {{arm: {value}}}\n", "experiment=moe").jobs
    assert typed in jobs[0].overrides


def test_a_text_with_a_comma_is_one_value(tmp_path: Path):
    jobs = request_of(tmp_path, "grid: {question: ['a, b', c]}\n", "experiment=moe").jobs
    assert [job.settings["question"] for job in jobs] == ["a, b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("zip: {seed: [0, 1], n_seeds: [1]}", "equal lengths: seed has 2, n_seeds has 1"),
        ("zip: {}", "zip must be a mapping that is not empty"),
        ("grid: [1, 2]", "grid must be a mapping"),
        ("grid: {seed: []}", "grid.seed must be a list of values"),
        ("grid: {seed: 3}", "grid.seed must be a list of values"),
        ("overrides: [seed=0]", "a sweep needs values"),
        ("overrides: seed=0\ngrid: {seed: [1]}", "overrides must be a list of overrides"),
        ("gird: {seed: [0, 1]}", "gird: a sweep has no such key; did you mean grid"),
        ("grid: {sedd: [0, 1]}", "sedd: there is no such key; did you mean seed"),
        ("grid: {training.steps: [many]}", "must be a whole number"),
        ("grid: {outputs: [a, b]}", "set outputs on the command line only"),
        ("grid: {hydra.run.dir: [a, b]}", "set hydra.run.dir on the command line only"),
        ("points: {a: ['seed=0,1']}", "list several values under zip or grid"),
        ("points: {'../a': []}", "a name has at most 80 characters"),
        ("points: {a: ['seed=0'], a: ['seed=1']}", "line 1: a is given twice"),
        ("title: x\ngrid: {seed: !new [0]}", "line 2: remove !new; tags are not allowed"),
        ("points: {a: seed=0}", "points.a must be a list of overrides"),
        ("title: [a]\ngrid: {seed: [0]}", "title must be one text"),
        ("grid: {seed: ['${oc.env:HOME}']}", "is not allowed in a config"),
        ("_target_: os.system", "_target_ is not allowed"),
        ("grid: [", "cannot be read as YAML"),
        ("- grid", "it has no keys with values"),
    ],
)
def test_a_bad_file_is_one_line_with_its_path(tmp_path: Path, text: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        request_of(tmp_path, f"{text}\n")
    message = str(caught.value)
    assert "table2.yaml" in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep=moe_experts"], "a sweep needs -m: python -m runner -m sweep=moe_experts"),
        (["-m", "sweep=moe_expert"], "there is no such sweep; did you mean moe_experts"),
        (["-m", "sweep=moe_experts", "sweep=x"], "choose one sweep"),
        (["-m", "sweep=[a]"], "name one sweep"),
        (["-m", "sweep=a,b"], "name one sweep"),
        (["-m", "+sweep=moe_experts"], "name one sweep"),
    ],
)
def test_a_bad_choice_of_a_sweep_is_one_line(arguments: list[str], said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        read_request(check_arguments(arguments))
    assert len(str(caught.value).splitlines()) == 1


def test_the_sweeps_of_ablab_can_be_read():
    files = sorted((CONF / "sweep").glob("*.yaml"))
    assert files
    for path in files:
        sweep = read_named_sweep(path, check_and_rewrite)
        assert sweep.title
        assert f"-m sweep={path.stem}" in path.read_text()
