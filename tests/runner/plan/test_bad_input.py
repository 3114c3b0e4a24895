"""Bad input of a command line: what is said, within this process and so in milliseconds."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from experiments.parts import PARTS
from runner import registry
from runner.config import ConfigError
from runner.plan import arguments, moved_imports
from runner.plan.overrides import parse_override
from tests.fuzz.command import find_faults, run_in_process
from tests.support.guide import files_of_guide

MOE = ("experiment=moe", "scale=smoke", "task=waves", "arm=dense")

TYPED = {  # refused before Hydra composes anything
    "lr=0.01": "lr: there is no such key; did you mean training.lr?",
    "d_ff=3": "did you mean ffn.d_ff or language_model.d_ff?",
    "ffn.lr=3": "did you mean training.lr?",
    "device=gpu": "did you mean cuda or mps?",
    "training.steps=many": "training.steps=many must be a whole number",
    "training.steps=null": "training.steps=null must be a whole number",
    "training.steps=3.5": "training.steps=3.5 must be a whole number",
    "training.compile=7": "training.compile=7 must be true or false",
    "training={steps: x}": "training.steps=x must be a whole number",
    "training={stepz: 3}": "did you mean steps?",
    "training=3": "set its keys, training.<key>=<value>",
    "ffn.balance=a/b": "ffn.balance=a/b must be one of none, aux, bias",
    "tune.grid=3": "tune.grid=3 must be a list of numbers, e.g. [0.1,0.2]",
    "headline=[1]": "headline=[1] must be a list of keys with values",
    "n_seeds=[[1]]": "n_seeds=[[1]] must be a whole number",
    "arms={a: 1}": "arms.a=1 must be a list of texts",
    "experiment=moe.yaml": "there is no such option; write experiment=moe",
    "experiment=moe/../ffn": "there is no such option; write experiment=ffn",
    "ffn=../task/waves": "there is no such option; there are: bilinear",
    "task=1_000": "task=1000: there is no such option; there are: domains",
    "ffn=[moe,dense]": "ffn takes one option; to sweep over several, write -m ffn=a,b",
    "scale=${scale}": "there is no such option; there are: full, long, quick, smoke",
    "experiment=": "experiment=: experiment needs one of its options",
    "+ffn=moe": "remove the plus: ffn=moe",
    "ffn@x=moe": "remove @x",
    "hydra/launcher@foo=joblib": "remove @foo",
    "~training": "training cannot be left out",
    "~plugins": "or leave plugins out",
    "plugins=null": "name importable modules, e.g. 'plugins=[my_package.my_ffn]'",
    "plugins=[__main__]": "'__main__' is not a module; write it as package.module",
    "plugins=[pa.py]": "plugins: 'pa.py' is not a module; write plugins=[pa]",
    "plugins=[./pa]": "plugins: './pa' is not a module; write plugins=[pa]",
    "plugins=[mine/pa.py]": "'mine/pa.py' is not a module; write plugins=[mine.pa]",
    "plugins=[../pa]": "'../pa' is not a module; go to its folder and write plugins=[pa]",
    "plugins=[/far/pa.py]": "is not a module; go to its folder and write plugins=[pa]",
    "plugins=[my-part]": "'my-part' is not a module; write it as package.module, with letters",
    "plugins=pa.py": "plugins=pa.py: plugins must be a list of modules; write plugins=[pa]",
    "plugins=3": "plugins must be a list of modules; e.g. plugins=[my_package.my_ffn]",
    "+arms.x=[ffn=dense,a=b]": '\'+arms.x=["ffn=dense","a=b"]\'',
    "+arms.x=[ffn=dense],[ffn=relu]": '\'+arms.x=["ffn=dense"],["ffn=relu"]\'',
    "training.lr=1e-3,2e-3,": "write a value on both sides of each comma",
    "training.lr=,2e-3": "write a value on both sides of each comma",
    'question={"a": 1}': "keys within {...} have no quotes",
    "task.path=日本,a=b": "'task.path=\"日本,a=b\"'",
    "options.n_permutations=${now:%Y}": "is not allowed in a config",
    "options.n_permutations=${${x}:y}": "is not allowed in a config",
    "seed=" + "9" * 10_000: "more than 4300 digits",
    "seed=" + "9" * 100_000: "an option has at most 20,000 characters, this one has 100,005",
    "seed=" + "[" * 3000: "brackets are nested 3000 deep; at most 50 levels",
    "seed=" + "{a:" * 500: "brackets are nested 500 deep; at most 50 levels",
    "seed=range(0,1000000000)": "at most 10,000 are allowed",
    "seed=shuffle(range(0,1e9,0.001))": "at most 10,000 are allowed",
    "seed=range(0,10,0)": "at most 10,000 are allowed",
    "seed=range(5,1)": "the sweep has no points",
    "hydra.sweeper.params.x=1": "type the values of the sweep: -m seed=0,1",
    "--experiment": "write options as key=value: experiment=<value>",
    "--experiment=moe": "write options as key=value: experiment=moe",
    "--lr=3": "write options as key=value: training.lr=3",
    "question=${x": "${ is followed by the name of a key and }",
    "+arms." + "y" * 3000 + "=['ffn=dense']": "a key has at most 200 characters",
    "preset=moe_full": "a preset is chosen by experiment and scale, e.g. experiment=moe scale=full",
    "--nonsense": "see python -m runner --hydra-help for flags",
}

COMPOSED = {  # refused while the config is composed, or read
    "seed=1,2": "seed=1,2 gives several values: add -m to sweep over them",
    "arm=dense,x": "add -m to sweep over them, or write 'arm=[dense,x]' for one list",
    "task.path=a.md,b.md": "or write 'task.path=\"a.md,b.md\"' for one text",
    "training.lr=0.1,0.2": "training.lr=0.1,0.2 gives several values: add -m to sweep over them",
    "seed=range(1,3)": "add -m to run all of its points",
    "figures={a: 1}": "to add one, write '+figures={a: 1}'",
    "+seed=3": "seed exists already; remove the +",
    "~arms.nothing": "there is no such key to leave out",
    "question=${nope}": "question=${nope}: there is no such key; write the whole key",
    "seed=${seed}": "seed=${...} refers back to itself",
    "arm={a: 1}": "arm={a: 1}: the key takes a value of another type",
    "arm=[dense,[moe_top2]]": "name one arm or a list of arms",
    "seed=2147483648": "must be at most 2147483647",
    "tune=lr tune.n_seeds=1000000000": "tune.n_seeds=1000000000 must lie between 1 and 10000",
    "workers=1000000": "must be auto or a number of at least 1, at most 1024",
    "+arms." + "y" * 81 + "=['ffn=dense']": "a name has at most 80 characters",
    "+figures.f=3": "figures.f=3 must be a mapping of keys",
    "+arms.x=['ffn.d_ff=1,2']": "an arm is one configuration; add an arm for each value (in arm x)",
    "+arms.x=['training.steps=x']": "training.steps=x must be a whole number (in arm x)",
    "match.tolerance=7": "match.tolerance=7.0 must lie in [0, 1]",
    "training.eval_every=${training.log_evry}": "did you mean log_every or eval_every?",
    "training.steps=${training.eval_every} training.eval_every=${training.steps}": "refers back",
    "outputs=" + "x" * 300: "nothing can be written there (File name too long)",
    "outputs=" + "x/" * 2200: "nothing can be written there (File name too long)",
    "task=text task.path=~nobodyxx/x": "no user has the name after ~",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", list(TYPED))
def test_what_is_typed_wrongly_is_told_at_once(text: str, tmp_path: Path):
    start = time.process_time()
    ending = run_in_process(["experiment=moe", text])
    assert time.process_time() - start < 1
    assert ending.stage == "given"
    assert TYPED[text] in ending.message
    assert find_faults(ending, [text]) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", list(COMPOSED))
def test_what_cannot_be_composed_is_told_with_its_cure(text: str, tmp_path: Path):
    selected = () if "arm" in text else ("arm=dense",)
    ending = run_in_process(
        [*MOE[:3], *selected, *(text.split() if text.count("=") == 2 else [text])]
    )
    assert COMPOSED[text] in ending.message
    assert ending.code == 2
    assert find_faults(ending, [text]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_value_that_hydra_cannot_read_is_taken_where_it_can_only_be_a_text():
    for value in ("日本語/a.txt", "été", "a=b", "a[1].txt", "a#1.txt", 'a"b', "a\\", "b;c", "x)"):
        override = parse_override(f"task.path={value}")
        assert override.value() == value
        assert parse_override(str(override.input_line)).value() == value
    mended = arguments.check_arguments(["experiment=moe", "task=text", "task.path=日本語/a.txt"])
    assert mended[-1] == '++task.path="日本語/a.txt"'


@pytest.mark.parametrize("text", ["training.lr=0.1,0.2", "seed=1,2", "ffn=moe,dense"])
def test_advice_on_several_values_is_no_list_where_none_is_taken(text: str):
    ending = run_in_process([*MOE, text])
    assert ending.message == f"{text} gives several values: add -m to sweep over them"


def test_options_may_stand_on_both_sides_of_a_flag():
    mended = arguments.check_arguments(["experiment=moe", "-m", "seed=0,1"])
    assert mended == ["-m", "experiment=moe", "seed=0,1"]


def test_a_flag_is_never_read_from_its_first_letters():
    with pytest.raises(ConfigError, match="experiment=moe"):
        arguments.check_arguments(["--experiment", "moe"])
    with pytest.raises(ConfigError, match="unrecognized arguments: --multi"):
        arguments.check_arguments(["--multi", "experiment=moe"])


def test_keys_may_name_other_keys_everywhere(plan):
    added = '+arms.x=["ffn=dense","training.eval_every=${n_seeds}","seed_offset=${training.steps}"]'
    made = plan(
        *MOE[:3],
        added,
        "arm=[dense,x]",
        "n_seeds=3",
        "seed=${training.log_every}",
        "training={steps: 40, log_every: 5, eval_every: '${training.log_every}'}",
        "question='over ${n_seeds} seeds'",
    )
    dense, x = made.arms
    assert (dense.config.training.eval_every, made.seeds) == (5, (5, 6, 7))
    assert (x.config.training.eval_every, x.config.seed_offset) == (3, 40)
    assert made.study.question == "over 3 seeds"


def test_a_run_records_the_keys_that_were_left_out(plan):
    config = OmegaConf.create(plan(*MOE, "~figures", "~headline").config_yaml)
    assert (config.figures, config.headline) == ({}, [])


def test_keys_name_other_keys_in_yaml_as_on_the_command_line(tmp_path: Path):
    ending, made = planned_own(
        tmp_path,
        "training: {log_every: 1, eval_every: '${training.log_every}'}\nseed: ${n_seeds}\n",
    )
    assert ending.message == ""
    assert made.arms[0].config.training.eval_every == 1
    assert made.seeds[0] == made.study.n_seeds


REFERS = '["ffn=dense","training.accumulate=4","model.n_layers=${training.accumulate}"]'


@pytest.mark.slow
def test_a_key_in_an_arm_is_that_of_the_arm(plan, tmp_path: Path):
    layers = "model.n_layers=${training.accumulate}"
    two = plan(*MOE[:3], f"+arms.x={REFERS}", "arm=[dense,x]")
    assert [arm.config.parts.model.n_layers for arm in two.arms] == [2, 4]
    typed = '+arms.x=["ffn=dense","training.accumulate=4"]'
    two = plan(*MOE[:3], typed, "arm=[dense,x]", layers, "ffn.d_ff=${model.d_model}")
    assert [arm.config.parts.model.n_layers for arm in two.arms] == [1, 4]
    assert OmegaConf.create(two.config_yaml).arms.x[1] == "training.accumulate=4"
    ending, own = planned_own(tmp_path, f"arms: {{x: {REFERS}, y: '${{arms.x}}'}}\n", "arm=[x,y]")
    assert ending.message == ""
    assert [arm.config.parts.model.n_layers for arm in own.arms] == [4, 4]
    assert "${training.accumulate}" in own.config_yaml


@pytest.mark.parametrize("text", ["question='${nothere}'", "seed=${seed}"])
def test_the_command_hands_on_what_was_typed(text: str, monkeypatch, capsys):
    from runner import __main__ as main

    given: list[list[str]] = []
    finished = SimpleNamespace(plan=SimpleNamespace(experiment="moe"), folder=None, summary="")
    monkeypatch.setattr(
        "runner.invocation.run_study", lambda _, texts, *__, **___: given.append(texts) or finished
    )
    monkeypatch.setattr("sys.argv", ["runner", *MOE, text])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    main.compose_and_run(full_error=True)
    assert text in given[0]
    assert "Error executing job" not in capsys.readouterr().err


def planned_own(folder: Path, text: str, *words: str, extends: str = "moe"):
    """How an experiment of a user's own ended, and its plan."""
    from runner.plan import planning

    path = folder / "mine" / "experiment" / "my.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# @package _global_\ndefaults: [{extends}, _self_]\n{text}")
    plans = []
    ending = run_in_process(
        [
            "--config-dir=mine",
            "experiment=my",
            *(words if extends != "moe" else (*MOE[1:], *words)),
        ],
        action=lambda *given: plans.append(planning.make_plan(*given)),
    )
    return ending, (plans or [None])[0]


YAML = {
    "experiment: my_gate": "there is no page my_gate; add a line, e.g. code: ffn",
    "training: {steps: many}": "training.steps=many must be a whole number (in arm dense)",
    "training: {stepz: 3}": "training.stepz: there is no such key; did you mean steps?",
    "training: {steps: 1:30}": "YAML reads 1:30 in base 60",
    "training: {steps: 010}": "YAML reads 010 in base 60 or 8",
    "training: null": "training=null must be a group of keys",
    "stepz: 3": "stepz: there is no such key",
    "arms: {null: [ffn=dense]}": "is not a text; put null",
    "arms: {true: [ffn=dense]}": "arms: the key true is not a text; quote it",
    "arms: [a]": "the value of a key has another type than in conf/config.yaml",
    "arms: {dense: [ffn=nope]}": "ffn=nope: there is no such option; did you mean none? (in arm",
    "claims: {c: {kind: difference}}": "Claim 'c': missing key statement",
    "figures: {f: 3}": "figures.f=3 must be a mapping of keys",
    'duration: "${o${not_tested}}"': "a value with ${...} cannot be read",
    "seed: 1\nseed: 2": "line 4: seed is given twice",
    "seed: [1]": "seed=[1] must be a whole number",
    "seed: " + "9" * 5000: "more than 4300 digits",
    "? [a]\n: b": "a key is a list or a mapping",
    "baseline: nope": "baseline=nope: there is no such arm",
}


@pytest.mark.some(2)
@pytest.mark.parametrize("text", list(YAML))
def test_a_yaml_file_that_is_at_fault_is_named(tmp_path: Path, text: str):
    ending, _ = planned_own(tmp_path, f"{text}\n")
    assert YAML[text] in ending.message
    assert "mine/experiment/my.yaml" in ending.message
    assert str(tmp_path) not in ending.message
    assert find_faults(ending, [text]) == []


def test_a_yaml_file_is_not_blamed_for_what_is_typed(tmp_path: Path):
    ending, _ = planned_own(tmp_path, "n_seeds: 2\n", "n_seeds=0")
    assert ending.message == "n_seeds=0 must be at least 1"


def test_a_yaml_file_that_is_not_chosen_is_not_blamed(tmp_path: Path):
    other = tmp_path / "mine" / "experiment" / "other.yaml"
    other.parent.mkdir(parents=True)
    other.write_text("# @package _global_\ndefaults: [moe, _self_]\nbaseline: dense\n")
    ending, _ = planned_own(tmp_path, "n_seeds: 1\n", "~arms.dense")
    assert ending.message.startswith("baseline=dense: there is no such arm")
    assert "other.yaml" not in ending.message


EXPERIMENT = """training: {steps: 7, warmup_steps: 2}
arms: {mine: [ffn=dense, training.log_every=3], other: [training.eval_every=0]}
"""
AT_FAULT = {  # the content of the preset, and the error of the file that is named
    "training: {stepz: 3}": ("preset/my_smoke", "training.stepz: there is no such key"),
    "training: {steps: 0}": ("preset/my_smoke", "training.steps=0 must"),
    "training: {warmup_steps: 9}": ("preset/my_smoke", "training.warmup_steps=9"),
    "n_seeds: 1": ("experiment/my", "training.eval_every=0 must"),
    "training: {eval_every: 2}": ("experiment/my", "training.eval_every=0 must"),
    "arms: {other: [training.log_every=x]}": ("preset/my_smoke", "training.log_every=x must"),
    'arms: {other: ["training={log_evry: 1}"]}': ("preset/my_smoke", "training.log_evry: there"),
    "claims: {a.b: {kind: difference}}": ("preset/my_smoke", "Claim 'a.b': missing key"),
}


@pytest.mark.some(3)
@pytest.mark.parametrize("preset", list(AT_FAULT))
def test_of_several_files_that_with_the_wrong_key_or_value_is_named(tmp_path: Path, preset: str):
    path = tmp_path / "mine" / "preset" / "my_smoke.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# @package _global_\n{preset}\n")
    ending, _ = planned_own(tmp_path, EXPERIMENT, "arm=[mine,other]")
    name, error = AT_FAULT[preset]
    line = next(each for each in ending.message.splitlines() if error in each)
    assert line.endswith(f"; correct it in mine/{name}.yaml")


def test_a_file_is_not_blamed_for_a_value_that_it_does_not_have(tmp_path: Path):
    ending, _ = planned_own(tmp_path, EXPERIMENT, "+arms.mine=['training.steps=0']", "arm=mine")
    assert "training.steps=0 must" in ending.message
    assert ".yaml" not in ending.message


def test_a_declared_part_that_a_file_of_ours_would_hide_is_refused(monkeypatch):
    monkeypatch.setattr(arguments, "read_plugin_names", lambda _: ["some_plugin"])
    monkeypatch.setattr(moved_imports, "load_plugins", lambda _: None)
    monkeypatch.setitem(PARTS["ffn"], "swiglu", registry.kinds("ffn")["dense"])
    ending = run_in_process([*MOE, "ffn=swiglu"])
    assert "ffn=swiglu: a plug-in declares this kind, but ffn/swiglu.yaml has kind dense" in (
        ending.message
    )
    assert find_faults(ending) == []


def test_plugins_in_a_yaml_file_are_written_on_the_command_line(tmp_path: Path):
    ending, _ = planned_own(tmp_path, "plugins: pa.py\n")
    assert "iment/my.yaml; set plugins on the command line only; write plugins=[pa]" in (
        ending.message
    )


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "its encoding is UTF-16 or UTF-32; save it as UTF-8"),
        ("utf-16-le", "its encoding is UTF-16 or UTF-32; save it as UTF-8"),
        ("utf-32", "its encoding is UTF-16 or UTF-32; save it as UTF-8"),
        ("latin-1", "line 3 is not in UTF-8, but perhaps in Latin-1 (byte 0xf6); save the file"),
        ("utf-8-sig", "it starts with a byte order mark; save it as UTF-8 without one"),
    ],
)
def test_a_file_that_is_not_utf_8_is_named_with_its_encoding(
    tmp_path: Path, encoding: str, said: str
):
    path = tmp_path / "mine" / "experiment" / "my.yaml"
    path.parent.mkdir(parents=True)
    text = "# @package _global_\ndefaults: [moe, _self_]\nquestion: größer?\n"
    path.write_bytes(text.encode(encoding))
    ending = run_in_process(["--config-dir=mine", "experiment=my", *MOE[1:]])
    assert ending.message.startswith(f"mine/experiment/my.yaml: {said}")
    assert find_faults(ending) == []


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("defaults: [moe]\n", "its first line must be `# @package _global_`"),
        (
            "# @package _global_\ndefaults: [my]\n",
            "or include each other in a circle; name each option once",
        ),
        ("# @package _global_\ndefaults: [_self_, moe]\n", "write moe before _self_, as in [moe, "),
        ("# @package _global_\ndefaults: moe\n", "defaults: an entry is"),
        ("# @package _global_\ndefaults: [{a: 1, b: 2}]\n", "defaults: an entry is"),
        (
            "# @package _global_\ndefaults: [moe, override /ffn: nope]\n",
            "ffn=nope: there is no such",
        ),
        ("# @package _global_\nseed: 1\n", "add a line, e.g. code: ffn"),
    ],
)
def test_the_head_of_an_experiment_is_checked(tmp_path: Path, head: str, said: str):
    planned_own(tmp_path, "")
    (tmp_path / "mine" / "experiment" / "my.yaml").write_text(head)
    ending = run_in_process(["--config-dir=mine", "experiment=my", *MOE[1:]])
    assert said in ending.message
    assert "iment/my.yaml" in ending.message
    assert find_faults(ending) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("experiment/moe.yaml", "ablab has its own experiment=moe"),
        ("ffn/dense.yaml", "give your file another name, e.g. my_dense.yaml"),
        ("experiment/mine.yml", "only .yaml files are read; rename it to mine.yaml"),
    ],
)
def test_files_that_would_be_left_out_in_silence_are_refused(tmp_path: Path, name: str, said: str):
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("# @package _global_\n")
    ending = run_in_process(["--config-dir=mine", *MOE])
    assert said in ending.message
    assert f"mine/{name}" in ending.message


def test_a_question_without_its_function_is_refused_in_the_plan(tmp_path: Path, monkeypatch):
    from experiments.questions import QUESTIONS

    class LonelyOptions(registry.options_class("moe")):
        """Options beside which there is no `run`."""

    monkeypatch.setitem(QUESTIONS, "lonely", LonelyOptions)
    ending, _ = planned_own(tmp_path, "experiment: lonely\n")
    assert "test_bad_input has no function run(trial)" in ending.message


def test_the_template_of_the_page_is_an_experiment(tmp_path: Path):
    template = files_of_guide()["mine/experiment/my_gate.yaml"]
    assert 8 <= len(template.splitlines()) <= 12
    path = tmp_path / "mine" / "experiment" / "my_gate.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(template)
    words = ["--config-dir=mine", "experiment=my_gate", "scale=smoke", "task=function"]
    ending = run_in_process([*words, "task.width=8", "task.n_samples=64", "task.length=16"])
    assert (ending.message, ending.stage) == ("", "planned")
    assert [path.name for path in tmp_path.iterdir() if path.name != "outputs"] == ["mine"]
    assert os.sep not in path.stem
