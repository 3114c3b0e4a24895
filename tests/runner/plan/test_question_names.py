"""A question of a user's own: `code` names its page, and its file names the question."""

from pathlib import Path

import pytest

from runner.config import ConfigError
from runner.plan import planning
from runner.plan.listing import list_experiments
from tests.fuzz.command import CommandResult, find_faults, run_in_process

HEAD = """# @package _global_
defaults:
  - override /attention: mha
  - override /norm: pre
  - override /task: waves
  - override /ffn: relu
"""
BODY = """question: Does a gate help?
baseline: relu
arms: {relu: [ffn=relu], glu: [ffn=glu]}
headline: [{metric: ffn/zero_share, direction: less, label: zeros}]
ffn: {d_ff: 32}
options: {eps: 0.01}
n_seeds: 3
training: {steps: 50, warmup_steps: 1}
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str, group: str = "experiment") -> None:
    path = Path("mine", group, f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def plan_own(*words: str, name: str = "my_gate") -> tuple[CommandResult, planning.Plan]:
    """Return the result of a command about a question of one's own, and its plan."""
    plans: list[planning.Plan] = []
    ending = run_in_process(
        ["--config-dir=mine", f"experiment={name}", *words],
        action=lambda *given: plans.append(planning.make_plan(*given)),
    )
    return ending, (plans or [None])[0]  # type: ignore[return-value]


@pytest.mark.parametrize("line", ["", "experiment: my_gate\n"])
def test_a_question_has_the_name_of_its_file_and_the_page_that_it_names(line: str):
    write("my_gate", f"{HEAD}code: ffn\n{line}{BODY}")
    ending, plan = plan_own()
    assert ending.message == ""
    assert (plan.experiment, plan.page) == ("my_gate", "ffn")
    assert {arm.config.experiment for arm in plan.arms} == {"ffn"}
    assert {arm.config.signature_tree()["experiment"] for arm in plan.arms} == {"ffn"}
    assert plan.config_yaml.partition("code: ffn\n")[0].endswith("experiment: my_gate\n")


def test_the_arms_of_a_question_are_those_of_its_page():
    """The signature of an arm, and so its numbers, does not depend on the question's name."""
    write("my_gate", f"{HEAD}code: ffn\n{BODY}")
    write("by_page", f"{HEAD}experiment: ffn\n{BODY}")
    _, own = plan_own()
    _, other = plan_own(name="by_page")
    assert other.experiment == other.page == "ffn"
    assert [arm.signature for arm in own.arms] == [arm.signature for arm in other.arms]
    assert [arm.code for arm in own.arms] == [arm.code for arm in other.arms]


def test_a_question_that_extends_another_keeps_its_name():
    write("my_gate", "# @package _global_\ndefaults: [ffn, _self_]\ncode: ffn\nn_seeds: 3\n")
    write("second", "# @package _global_\ndefaults: [my_gate, _self_]\nn_seeds: 4\n")
    small = ("task=waves", "arm=[relu,gelu]", "~claims", "~figures")
    ending, plan = plan_own(*small)
    assert (ending.message, plan.experiment, plan.page) == ("", "my_gate", "ffn")
    ending, plan = plan_own(*small, name="second")
    assert (ending.message, plan.experiment, len(plan.seeds)) == ("", "second", 4)


def test_own_name_is_what_an_interpolation_and_own_presets_use():
    write("my_gate", f"{HEAD}code: ffn\n{BODY}".replace("Does", '"${experiment}: does').rstrip())
    text = Path("mine/experiment/my_gate.yaml").read_text().replace("help?", 'help?"')
    write("my_gate", text)
    write("my_gate_quick", "# @package _global_\nn_seeds: 7\n", "preset")
    _, plan = plan_own()
    assert plan.study.question == "my_gate: does a gate help?"
    assert len(plan.seeds) == 7


def test_smoke_shortens_a_question_without_a_preset_and_says_how():
    write("my_gate", f"{HEAD}code: ffn\n{BODY}")
    ending, plan = plan_own("scale=smoke")
    assert ending.message == ""
    training = plan.arms[0].config.training
    assert (training.steps, training.warmup_steps, training.eval_every) == (20, 1, 5)
    assert (len(plan.seeds), len(plan.arms)) == (2, 2)
    (note,) = [note for note in plan.notes if "my_gate_smoke" in note]
    assert "sets n_seeds=2, training={steps: 20, log_every: 2, eval_every: 5," in note
    assert "warmup_steps" not in note
    _, longer = plan_own("scale=smoke", "training.steps=25", "n_seeds=1")
    assert (longer.arms[0].config.training.steps, len(longer.seeds)) == (25, 1)


def test_an_experiment_of_ablab_without_a_preset_for_the_scale_is_refused(plan):
    with pytest.raises(ConfigError, match="experiment=moe has no such scale; it has smoke, quick"):
        plan("experiment=moe", "scale=long", "plan=only")


def test_another_scale_without_a_preset_changes_nothing_and_says_so():
    write("my_gate", f"{HEAD}code: ffn\n{BODY}")
    _, default = plan_own()
    _, full = plan_own("scale=full")
    assert [arm.signature for arm in full.arms] == [arm.signature for arm in default.arms]
    assert not any("my_gate_quick" in note for note in default.notes)
    assert any("my_gate_full.yaml, so that scale=full changes nothing" in n for n in full.notes)


def test_smoke_changes_nothing_where_there_is_a_preset():
    write("my_gate", f"{HEAD}code: ffn\n{BODY}")
    write("my_gate_smoke", "# @package _global_\nn_seeds: 1\n", "preset")
    _, plan = plan_own("scale=smoke")
    assert (plan.arms[0].config.training.steps, len(plan.seeds)) == (50, 1)
    assert not any("preset" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("code: fnn\n", "code=fnn: there is no such page; did you mean ffn?"),
        ("code: my_lab\n", "=my_lab: there is no such page; there are: compare, ffn, "),
        ("experiment: my_gate\n", "there is no page my_gate; add a line, e.g. code: ffn;"),
        (
            "",
            "names the page that computes it; add a line, e.g. code: ffn; there are: compare",
        ),
        ("code: ffn\nexperiment: moe\n", "`experiment: moe` is not the file's name my_gate"),
        ("code: [ffn]\n", "code=['ffn']: there is no such page"),
    ],
)
def test_a_page_that_cannot_be_used_is_one_line(tmp_path: Path, lines: str, said: str):
    write("my_gate", f"{HEAD}{lines}{BODY}")
    ending, _ = plan_own()
    assert said in ending.message
    assert "mine/experiment/my_gate.yaml" in ending.message
    assert find_faults(ending, [said]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_page_without_the_options_of_the_extended_question_is_refused():
    write("my_gate", "# @package _global_\ndefaults: [ffn]\ncode: moe\n")
    ending, _ = plan_own()
    said = "the file extends the question ffn, and `code: moe` is a page without options."
    assert ending.message.startswith(f"mine/experiment/my_gate.yaml: {said}")
    assert find_faults(ending, [said]) == []


def test_the_name_of_a_folder_of_outputs_is_refused():
    write("corpora", f"{HEAD}code: ffn\n{BODY}")
    ending, _ = plan_own(name="corpora")
    assert "the folder corpora of outputs holds no studies" in ending.message
    write("été", f"{HEAD}code: ffn\n{BODY}")
    ending, _ = plan_own(name="été")
    assert "a name has at most 80 characters: letters" in ending.message


def test_a_file_of_another_group_cannot_choose_the_page():
    write("sly", "# @package _global_\ncode: moe\n", "task")
    ending = run_in_process(["--config-dir=mine", "experiment=ffn", "task=sly"])
    assert "the question ffn has a page of its own, in experiments.ffn" in ending.message


def test_the_command_line_and_arms_cannot_choose_the_page():
    ending = run_in_process(["experiment=ffn", "code=moe"])
    assert "code=moe: the YAML file of a question names its page" in ending.message
    ending = run_in_process(["experiment=ffn", "+arms.x=['code=moe']", "arm=x"])
    assert "an arm cannot set code" in ending.message


def test_the_list_has_own_questions_with_arms_seeds_and_time():
    write("my_gate", f"{HEAD}code: ffn\n{BODY}duration: 3 min\n")
    write("more", "# @package _global_\ndefaults: [my_gate, _self_]\narms: {gelu: [ffn=gelu]}\n")
    write("more_smoke", "n_seeds: 1\narm: [relu]\n", "preset")
    text = list_experiments(Path("mine"))
    assert "\nmy_gate\n  Does a gate help?\n  3 seeds of relu, glu; 3 min\n" in text
    assert (
        "\nmore\n  Does a gate help?\n  smoke  1 seed of relu\n"
        "  quick, full  3 seeds of relu, glu, gelu; 3 min\n"
    ) in text


def test_the_list_reads_no_file_outside_of_the_folder(tmp_path: Path):
    (tmp_path / "secret.yaml").write_text("question: secret\n")
    write("my_gate", "defaults: [../../secret, _self_]\ncode: ffn\n")
    assert "secret" not in list_experiments(Path("mine"))


@pytest.mark.parametrize(
    ("words", "metrics"),
    [([], ["val/loss"]), (["headline=[]"], [])],
    ids=["default", "typed"],
)
def test_without_a_headline_a_question_reports_the_held_out_loss(
    words: list[str], metrics: list[str]
):
    body = "".join(line for line in BODY.splitlines(True) if not line.startswith("headline"))
    write("my_gate", f"{HEAD}code: ffn\n{body}")
    ending, plan = plan_own(*words)
    assert ending.message == ""
    assert [entry["metric"] for entry in plan.study.headline] == metrics


@pytest.mark.parametrize("name", ["Ffn", "MOE", "Corpora"])
def test_a_name_of_ours_in_another_case_is_refused(name: str):
    write(name, f"{HEAD}code: ffn\n{BODY}")
    ending, _ = plan_own(name=name)
    assert f"experiment={name}: {name.lower()} has this name in another case" in ending.message
    assert find_faults(ending) == []
