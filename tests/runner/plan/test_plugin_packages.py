"""Plug-ins that are named or installed: their folders of options, conflicts, and broken ones."""

import importlib
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.metrics import METRICS
from runner import registry
from runner.config import ConfigError
from runner.plan import code_hash, option_folders, planning, plugin_packages, user_options
from runner.plan.listing import list_experiments
from tests.fuzz.command import CommandResult, find_faults, run_in_process
from tests.support.user_plugin import forget_package

PART = '''
from dataclasses import dataclass
from experiments.parts import part

@part("ffn", "{kind}")
@dataclass
class Mine:
    """A linear map."""
    d_ff: int = 8

    def build(self, d_model):
        from torch import nn
        return nn.Linear(d_model, d_model)
'''
QUESTION = '''
from dataclasses import dataclass
from experiments import Question, question

@question("{name}")
@dataclass
class MyOptions(Question):
    """A question."""

def run(trial):
    pass
'''
METRIC = """
from experiments.metrics import METRICS
from runner.metric_names import DivergedValue, Metric

METRICS["{name}"] = Metric(DivergedValue.fixed, 1.0, meaning="Mine.")
"""
HEAD = """# @package _global_
defaults:
  - override /attention: mha
  - override /norm: pre
  - override /task: waves
  - override /ffn: relu
"""
BODY = """question: Is it mine?
arms: {relu: [ffn=relu], mine: [ffn=KIND]}
n_seeds: 1
training: {steps: 10, warmup_steps: 1}
"""
SMALL = ("experiment=ffn", "scale=smoke", "task=waves", "arm=relu")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder of installed packages, in the path of a process that knows no plug-ins yet."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(plugin_packages.UsablePlugins, "installed", ())
    modules = set(sys.modules)
    plugin_packages.find_installed_plugins.cache_clear()
    yield folder
    for name in set(sys.modules) - modules:
        if name.startswith(("lab_", "my_part")):
            forget_package(name)
            del sys.modules[name]
    plugin_packages.find_installed_plugins.cache_clear()
    option_folders.UserOptions.reset()
    importlib.invalidate_caches()


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    importlib.invalidate_caches()
    return path


def install(site: Path, module: str, text: str, version: str = "1.0") -> None:
    """Write an installed package that declares its module as a plug-in."""
    write(site / module / "__init__.py", text)
    info = site / f"{module}-{version}.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {module}-dist\nVersion: {version}\n")
    write(info / "entry_points.txt", f"[ablab.plugins]\n{module} = {module}\n")


def question_of(folder: Path, name: str, kind: str = "relu2", code: str = "code: ffn\n") -> Path:
    text = f"{HEAD}{code}{BODY.replace('KIND', kind)}options: {{eps: 0.01}}\n"
    return write(folder / "experiment" / f"{name}.yaml", text)


def plan_with(*words: str) -> tuple[CommandResult, planning.Plan]:
    plans: list[planning.Plan] = []
    ending = run_in_process(words, action=lambda *given: plans.append(planning.make_plan(*given)))
    return ending, (plans or [None])[0]  # type: ignore[return-value]


def test_the_folder_conf_of_a_named_package_is_searched(site: Path):
    write(site / "lab_a" / "__init__.py", PART.format(kind="lab_a_part"))
    write(site / "lab_a" / "conf" / "ffn" / "lab_a_wide.yaml", "kind: lab_a_part\nd_ff: 16\n")
    question_of(site / "lab_a" / "conf", "lab_a_question", "lab_a_wide")
    ending, plan = plan_with("plugins=[lab_a]", "experiment=lab_a_question", "match.by=none")
    assert (ending.message, plan.experiment, plan.page) == ("", "lab_a_question", "ffn")
    assert plan.arms[1].config.parts.ffn.d_ff == 16
    assert plan.plugins[0]["module"] == "lab_a"
    text = list_experiments(None, ["plugins=[lab_a]"])
    assert "\nlab_a_question\n  Is it mine?\n  1 seed of relu, mine\n" in text
    assert "lab_a_question" not in list_experiments()


@pytest.mark.parametrize("module", ["lab_b.parts", "lab_b.pages.page", "lab_b.pages"])
def test_the_folder_is_that_of_the_nearest_package(site: Path, module: str):
    for path in ("lab_b/__init__.py", "lab_b/pages/__init__.py", "lab_b/pages/page.py"):
        write(site / path, "")
    write(site / "lab_b/parts.py", "")
    question_of(site / "lab_b" / "conf", "outer")
    question_of(site / "lab_b" / "pages" / "conf", "inner")
    (folder,) = plugin_packages.find_conf_folders([module])
    assert folder == site / ("lab_b/conf" if module == "lab_b.parts" else "lab_b/pages/conf")


def test_a_namespace_package_has_the_folders_of_all_of_its_places(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = tmp_path / "other"
    write(site / "lab_c" / "parts.py", PART.format(kind="lab_c_part"))
    question_of(site / "lab_c" / "conf", "one")
    question_of(other / "lab_c" / "conf", "two", "lab_c_part")
    monkeypatch.syspath_prepend(other)
    ending, plan = plan_with("plugins=[lab_c.parts]", "experiment=two", "match.by=none")
    assert (ending.message, plan.experiment) == ("", "two")
    assert option_folders.UserOptions.folders == ()  # until the next command
    text = list_experiments(None, ["plugins=[lab_c]"])  # no code, and yet a folder
    assert "\none\n" in text
    assert "\ntwo\n" in text


def test_a_module_of_the_current_folder_has_no_folder_of_options():
    write(Path("lab_d.py"), "")
    question_of(Path("conf"), "not_mine")
    assert "not_mine" not in list_experiments(None, ["plugins=[lab_d]"])


def test_several_plug_ins_and_a_users_folder_are_searched_together(site: Path):
    for name in ("lab_e", "lab_f"):
        write(site / name / "__init__.py", PART.format(kind=f"{name}_part"))
        write(site / name / "conf" / "ffn" / f"{name}_wide.yaml", f"kind: {name}_part\nd_ff: 4\n")
    question_of(Path("mine"), "my_gate", "lab_e_wide")
    ending, plan = plan_with(
        *("--config-dir=mine", "plugins=[lab_e,lab_f]", "experiment=my_gate", "match.by=none"),
        "+arms.other=['ffn=lab_f_wide']",
    )
    assert ending.message == ""
    kinds = [arm.config.parts.ffn.kind for arm in plan.arms]
    assert kinds == ["dense", "lab_e_part", "lab_f_part"]


def test_the_options_of_a_question_have_the_defaults_of_its_class(site: Path):
    page = """from dataclasses import dataclass, field
from experiments import Question, measurement_only, question

@question("lab_q")
@dataclass
class Mine(Question):
    power: int = field(default=2, metadata=measurement_only())
    depths: list[int] = field(default_factory=lambda: [1, 2])
    size: int = 3

def run(trial):
    pass
"""
    write(site / "lab_q" / "__init__.py", page)
    body = BODY.replace("mine: [ffn=KIND]", "mine: [options.size=9], same: {copy_of: mine}")
    write(site / "lab_q/conf/experiment/lab_q.yaml", HEAD + body + "options: {power: 4}\n")
    ending, plan = plan_with("plugins=[lab_q]", "experiment=lab_q", "options.depths=[5]")
    assert ending.message == ""
    options = [vars(arm.config.options) for arm in plan.arms]
    assert options[0] == {"power": 4, "depths": [5], "size": 3}
    assert options[1] == options[2] == {"power": 4, "depths": [5], "size": 9}
    assert "size: 3" in plan.config_yaml


def test_an_undeclared_metric_of_a_question_is_noted(site: Path):
    text = METRIC.format(name="lab_m/norm") + QUESTION.format(name="lab_m")
    write(site / "lab_m" / "__init__.py", text)
    headlines = ", ".join(
        f"{{metric: {name}, direction: less, label: x}}"
        for name in ("lab_m/norm/layer0", "val/loss", "lab_m/nrm", "other/name")
    )
    body = f"{BODY.replace('mine: [ffn=KIND]', 'mine: []')}headline: [{headlines}]\n"
    body += "figures: {f: {kind: curve, metric: lab_m/nrm, title: x}}\n"
    write(site / "lab_m/conf/experiment/lab_m.yaml", HEAD + body)
    ending, plan = plan_with("plugins=[lab_m]", "experiment=lab_m")
    assert ending.message == ""
    assert [note for note in plan.notes if "of this name is declared" in note] == [
        "lab_m/nrm (headline, figures.f): no metric of this name is declared; "
        "did you mean lab_m/norm?",
        "other/name (headline): no metric of this name is declared; "
        "if your code records it, add it to METRICS",
    ]


def test_two_folders_with_one_option_are_refused(site: Path):
    for name in ("lab_g", "lab_h"):
        write(site / name / "__init__.py", "")
        question_of(site / name / "conf", "same")
    ending = run_in_process(["plugins=[lab_g,lab_h]", *SMALL])
    assert "experiment=same is in two files, " in ending.message
    assert "lab_g/conf/experiment/same.yaml and " in ending.message
    assert find_faults(ending) == []
    question_of(Path("mine"), "same")
    ending = run_in_process(["plugins=[lab_h]", "--config-dir=mine", *SMALL])
    assert "same is in two files, mine/experiment/same.yaml and " in ending.message


def test_one_folder_that_is_named_twice_is_one(site: Path):
    write(site / "lab_i" / "__init__.py", "")
    question_of(site / "lab_i" / "conf", "twice")
    words = (f"--config-dir={site / 'lab_i' / 'conf'}", "plugins=[lab_i,lab_i]", *SMALL)
    assert run_in_process(words).message == ""


@pytest.mark.some(3)
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("experiment/moe.yaml", "question: x\n", "ablab has its own experiment=moe"),
        ("experiment/x.yml", "question: x\n", "rename it to x.yaml"),
        ("experiment/x.yaml", "_target_: os.system\n", "_target_ is not allowed"),
        ("experiment/x.yaml", f"{HEAD}outputs: /x\ncode: ffn\n", "set outputs on the command line"),
        ("experiment/x.yaml", f"{HEAD}hydra: {{verbose: true}}\ncode: ffn\n", "cannot be changed"),
        ("experiment/x.yaml", "a: &a [1]\n" * 9 + "b: *a\n", "found duplicate anchor"),
        ("experiment/x.yaml", "-> ../../../../elsewhere.yaml", "leads out of"),
        ("experiment/x.yaml", "q" * 2**21, "1,048,576 are read"),
    ],
)
def test_files_of_a_plug_in_are_checked_as_those_of_a_user(
    site: Path, tmp_path: Path, name: str, text: str, said: str
):
    write(site / "lab_j" / "__init__.py", "")
    write(tmp_path / "elsewhere.yaml", "question: secret\n")
    path = site / "lab_j" / "conf" / name
    if text.startswith("-> "):
        path.parent.mkdir(parents=True)
        path.symlink_to(text[3:])
    else:
        write(path, text)
    ending = run_in_process(["plugins=[lab_j]", "experiment=x", "scale=smoke"])
    assert said in ending.message
    assert ending.code == 2
    assert [*Path().iterdir()] == []


BROKEN = {
    "absent": (None, "plugins: lab_k cannot be imported: No module named 'lab_k'; is it installed"),
    "syntax": ("x = (\n", "plugins: lab_k cannot be imported: '(' was never closed (__init__.py, "),
    "exception": ("\n\n1 / 0\n", "division by zero (__init__.py, line 3)"),
    "silent": ("assert False\n", "no reason given (__init__.py, line 1)"),
    "exit": ("import sys\nsys.exit('bye')\n", "it calls sys.exit('bye') (__init__.py, line 2)"),
    "import": ("import not_there_at_all\n", "No module named 'not_there_at_all'; is it installed?"),
    "no run": (QUESTION.format(name="lab_k_page").partition("def run")[0], ""),
    "hides": (PART.format(kind="swiglu"), "in lab_k rename the kind, e.g. my_swiglu"),
    "metric": (
        METRIC.format(name="val/loss"),
        "plugins: lab_k declares the metric val/loss, which is declared already; choose another",
    ),
    "metric of a page": (METRIC.format(name="ffn/zero_share"), "lab_k declares the metric ffn/ze"),
    "shadows": (PART.format(kind="dense"), "experiments.parts.ffn has this kind already"),
    "page": (
        QUESTION.format(name="moe"),
        "experiments.moe has a question of this name already; choose another in lab_k",
    ),
}


def test_a_misspelled_plug_in_has_a_hint(site: Path):  # noqa: ARG001
    write(Path("my_lab.py"), "")
    ending = run_in_process(["plugins=[my_lap]", "experiment=moe"])
    assert "No module named 'my_lap'; did you mean my_lab?" in ending.message


@pytest.mark.some(4)
@pytest.mark.parametrize("case", list(BROKEN))
def test_a_named_plug_in_that_cannot_be_used_is_one_line(site: Path, case: str):
    text, said = BROKEN[case]
    if text is not None:
        write(site / "lab_k" / "__init__.py", text)
        question_of(site / "lab_k" / "conf", "lab_k_page", code="")
    ending = run_in_process(["plugins=[lab_k]", "experiment=lab_k_page"])
    assert (said or "experiment=lab_k_page: its module lab_k has no function run") in ending.message
    assert ending.code == 2
    assert len(ending.message.splitlines()) == 1
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize("name", ["queue", "json.tool", "torch", "hydra", "runner.config", "conf"])
def test_a_plug_in_with_the_name_of_python_or_of_a_needed_package_is_one_line(name: str):
    top = name.partition(".")[0]
    write(Path(f"{top}.py"), PART.format(kind="lab_k_part"))
    ending = run_in_process([f"plugins=[{name}]", *SMALL])
    assert ending.message.startswith(f"plugins: {top} is a module of ")
    assert ending.message.endswith(f"give your module another name, e.g. my_{top}")
    assert find_faults(ending) == []


def test_a_plug_in_that_a_package_hides_is_one_line(site: Path):
    write(site / "lab_k" / "__init__.py", PART.format(kind="lab_k_part"))
    write(Path("lab_k.py"), PART.format(kind="lab_k_own"))
    ending = run_in_process(["plugins=[lab_k]", *SMALL])
    assert ending.message == (
        f"plugins: {site}/lab_k/__init__.py hides the lab_k of this folder; rename yours, or "
        "remove the other"
    )
    write(Path("lab_k.py"), PART.format(kind="lab_k_part"))  # the same module
    assert run_in_process(["plugins=[lab_k]", *SMALL]).message == ""


def test_a_named_plug_in_that_fails_leaves_nothing_and_can_be_repaired(site: Path):
    write(site / "lab_k" / "__init__.py", "from lab_k import parts\nimport lab_k_more\n1 / 0\n")
    write(site / "lab_k" / "parts.py", PART.format(kind="lab_k_part"))
    more = PART.format(kind="lab_k_more") + METRIC.format(name="lab_k/score")
    write(site / "lab_k_more.py", more + QUESTION.format(name="lab_k_page"))
    ending = run_in_process(["plugins=[lab_k]", *SMALL])
    assert "division by zero" in ending.message
    assert not {name for name in sys.modules if name.startswith("lab_k")}
    assert not {"lab_k_part", "lab_k_more"} & {*registry.kinds("ffn")}
    assert "lab_k_page" not in registry.experiment_names()
    assert "lab_k/score" not in METRICS
    write(site / "lab_k" / "__init__.py", "from lab_k import parts\nimport lab_k_more\n")
    assert run_in_process(["plugins=[lab_k]", *SMALL]).message == ""
    assert {"lab_k_part", "lab_k_more"} <= {*registry.kinds("ffn")}
    del METRICS["lab_k/score"]


def test_a_folder_without_code_is_named(site: Path):
    write(site / "lab_l" / "readme.txt", "")
    ending = run_in_process(["plugins=[lab_l]", *SMALL])
    assert "plugins: lab_l is a folder without code" in ending.message
    assert "name a module in it, e.g. lab_l.<module>" in ending.message


def test_a_zipped_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with zipfile.ZipFile(tmp_path / "lab.zip", "w") as archive:
        archive.writestr("lab_m/__init__.py", "")
        archive.writestr("lab_m/conf/experiment/zipped.yaml", "question: x\n")
    monkeypatch.syspath_prepend(tmp_path / "lab.zip")
    ending = run_in_process(["plugins=[lab_m]", *SMALL])
    assert "plugins: lab_m is not a file on disk" in ending.message
    assert find_faults(ending) == []


def test_code_with_a_page_of_the_same_name_is_refused(site: Path):
    write(site / "lab_n" / "__init__.py", QUESTION.format(name="lab_n_page"))
    question_of(site / "lab_n" / "conf", "lab_n_page")
    ending = run_in_process(["plugins=[lab_n]", "experiment=lab_n_page"])
    assert "code=ffn: the question lab_n_page has a page of its own, in lab_n;" in ending.message


def test_a_page_of_a_plug_in_needs_neither_code_nor_a_preset(site: Path):
    write(site / "lab_o" / "__init__.py", QUESTION.format(name="lab_o_page"))
    write(site / "lab_o" / "conf" / "experiment" / "lab_o_page.yaml", HEAD + BODY)
    ending, plan = plan_with("plugins=[lab_o]", "experiment=lab_o_page", "arm=relu")
    assert (ending.message, plan.experiment, plan.page) == ("", "lab_o_page", "lab_o_page")
    question_of(Path("mine"), "about_it", code="code: lab_o_page\n")
    path = Path("mine/experiment/about_it.yaml")
    write(path, path.read_text().replace("options: {eps: 0.01}\n", ""))
    words = ("--config-dir=mine", "plugins=[lab_o]", "experiment=about_it", "arm=relu")
    ending, plan = plan_with(*words)
    assert (ending.message, plan.experiment, plan.page) == ("", "about_it", "lab_o_page")


def test_an_installed_plug_in_is_found_and_listed(site: Path):
    install(site, "lab_p", PART.format(kind="lab_p_part"))
    question_of(site / "lab_p" / "conf", "lab_p_question", "lab_p_part")
    ending, plan = plan_with("experiment=lab_p_question", "match.by=none")
    assert ending.message == ""
    assert [arm.plugins for arm in plan.arms] == [(), ("lab_p",)]
    (record,) = plan.plugins
    assert [record[key] for key in ("module", "package", "version")] == [
        "lab_p",
        "lab_p-dist",
        "1.0",
    ]
    text = list_experiments()
    assert "\nlab_p_question\n" in text
    assert "Installed plug-ins: lab_p (package lab_p-dist 1.0)" in text


def test_a_named_plug_in_that_is_installed_is_imported_once(site: Path):
    install(site, "lab_q", "import sys\nsys.n_lab_q = getattr(sys, 'n_lab_q', 0) + 1\n")
    for _ in range(2):
        assert run_in_process(["plugins=[lab_q]", *SMALL]).message == ""
    assert sys.n_lab_q == 1  # type: ignore[attr-defined]
    assert [plugin.module for plugin in plugin_packages.UsablePlugins.installed] == ["lab_q"]


def test_a_broken_installed_plug_in_is_left_out_with_all_that_it_registered(site: Path, capsys):
    install(site, "lab_r", PART.format(kind="lab_r_part") + "\n1 / 0\n")
    install(site, "lab_s", PART.format(kind="lab_s_part"))
    question_of(site / "lab_r" / "conf", "of_the_broken")
    assert run_in_process([*SMALL[:3], "arm=mine", "+arms.mine=['ffn=lab_s_part']"]).message == ""
    (note,) = capsys.readouterr().err.splitlines()
    assert "note: the installed plug-in lab_r (package lab_r-dist 1.0) cannot be imported: " in note
    assert "division by zero" in note
    assert "it is left out; repair it, or type pip uninstall lab_r-dist" in note
    assert "lab_r_part" not in registry.kinds("ffn")
    assert "of_the_broken" not in list_experiments()
    ending = run_in_process(["plugins=[lab_r]", *SMALL])
    assert (ending.code, "division by zero" in ending.message) == (2, True)


@pytest.mark.parametrize(
    ("value", "said"), [("lab_t:run", "is not a module"), ("not_there.at_all", "No module named")]
)
def test_an_entry_point_that_names_no_module_is_left_out(site: Path, capsys, value: str, said: str):
    install(site, "lab_t", "")
    write(site / "lab_t-1.0.dist-info" / "entry_points.txt", f"[ablab.plugins]\nx = {value}\n")
    assert run_in_process(SMALL).message == ""
    (note,) = capsys.readouterr().err.splitlines()
    assert said in note
    assert "lab_t-dist 1.0" in note


def test_two_installed_packages_with_one_name_are_both_named(site: Path):
    for name in ("lab_u", "lab_v"):
        install(site, name, PART.format(kind="same_part"))
    ending = run_in_process(SMALL)
    assert "the installed plug-in lab_v (package lab_v-dist 1.0): @part('ffn', 'same_part') on" in (
        ending.message
    )
    assert "lab_u has this kind already; choose another in lab_v" in ending.message
    assert "or type pip uninstall lab_v-dist or lab_u-dist" in ending.message
    assert find_faults(ending) == []


def test_an_installed_package_that_takes_a_name_of_ours_is_named(site: Path):
    install(site, "lab_w", PART.format(kind="moe"))
    ending = run_in_process(SMALL)
    assert "the installed plug-in lab_w (package lab_w-dist 1.0): @part(" in ending.message
    assert "experiments.parts.moe has this kind already" in ending.message
    assert ending.code == 2


def test_an_installed_package_that_declares_a_metric_of_ours_is_named(site: Path):
    install(site, "lab_q", METRIC.format(name="val/loss"))
    before = dict(registry.known_metrics())
    for _ in range(2):  # a second command in the same process refuses it too
        ending = run_in_process(SMALL)
        assert (
            "the installed plug-in lab_q (package lab_q-dist 1.0): lab_q declares the metric "
            in (ending.message)
        )
        assert ending.message.endswith("choose another name, or type pip uninstall lab_q-dist")
        assert find_faults(ending) == []
    assert registry.known_metrics() == before


def test_a_metric_of_ones_own_is_accepted(site: Path):
    install(site, "lab_q", METRIC.format(name="lab_q/score"))
    assert run_in_process(SMALL).message == ""
    assert METRICS.pop("lab_q/score").value == 1.0


def test_a_named_module_that_takes_the_name_of_an_installed_one_is_told_its_package(site: Path):
    install(site, "lab_x", PART.format(kind="taken_part"))
    write(Path("my_part.py"), PART.format(kind="taken_part"))
    ending = run_in_process(["plugins=[my_part]", *SMALL])
    assert "plugins: my_part: @part('ffn', 'taken_part') on Mine: lab_x has this" in ending.message
    assert "(it is in the package lab_x-dist)" in ending.message


def test_only_arms_that_use_an_installed_plug_in_depend_on_its_code(site: Path):
    install(site, "lab_y", "from lab_y import parts\n")
    parts = write(site / "lab_y" / "parts.py", PART.format(kind="lab_y_part"))
    hashes: list[dict[str, str]] = []
    words = (*SMALL[:3], "+arms.mine=['ffn=lab_y_part','match.by=none']", "arm=[relu,mine]")

    for new in ("nn.Linear(d_model, d_model)", "nn.Identity()"):
        parts.write_text(parts.read_text().replace("nn.Linear(d_model, d_model)", new))
        ending, plan = plan_with(*words)
        assert ending.message == ""
        hashes.append(code_hash.hash_arms({arm.name: arm.config for arm in plan.arms}))
    assert hashes[0]["relu"] == hashes[1]["relu"]
    assert hashes[0]["mine"] != hashes[1]["mine"]


def test_folders_are_those_of_the_last_command(site: Path):
    write(site / "lab_z" / "__init__.py", "")
    question_of(site / "lab_z" / "conf", "lab_z_question")
    user_options.load_user_options(None, ["lab_z"])
    assert option_folders.UserOptions.folders == (site / "lab_z" / "conf",)
    assert "lab_z_question" in option_folders.option_names("experiment")
    user_options.load_user_options(None, [])
    assert option_folders.UserOptions.folders == ()
    with pytest.raises(ConfigError, match="is not a folder"):
        user_options.load_user_options(Path("absent"), [])
