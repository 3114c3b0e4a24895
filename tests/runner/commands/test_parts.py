"""`python -m runner parts`: every option of every group, its fields, and where it comes from."""

import re
from pathlib import Path

import pytest
from hydra import compose
from omegaconf import OmegaConf

from experiments.parts import PARTS
from runner import registry
from runner.commands.options import describe_option, list_options
from runner.commands.parts import print_parts
from runner.config import ConfigError
from runner.plan import option_folders

MINE = '''"""A part."""

from dataclasses import dataclass

from experiments.parts import part


@part("ffn", "listed_gate")
@dataclass
class ListedGate:
    """Gates the stream by \\x1b[31m itself. A second sentence."""

    d_ff: int = 12

    def build(self, d_model):
        raise NotImplementedError
'''


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A current folder with a plug-in and a folder of options; both are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "listed_plugin.py").write_text(MINE)
    for name, text in {
        "ffn/wide.yaml": "# Wide network. More words.\ndefaults: [dense, _self_]\nd_ff: 999\n",
        "ffn/mine.yaml": "kind: listed_gate\nd_ff: 7\n",
        "experiment/my_gate.yaml": "# @package _global_\nquestion: Is it better?\n",
    }.items():
        file = tmp_path / "mine" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    yield tmp_path
    PARTS["ffn"].pop("listed_gate", None)
    option_folders.UserOptions.reset()


def test_every_option_is_listed_on_a_line_of_80_columns(capsys: pytest.CaptureFixture[str]):
    print_parts([])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    group, listed = "", set()
    for line in lines:
        if line.endswith("=") and not line.startswith(" "):
            group = line.removesuffix("=")
        elif line.startswith("  "):
            listed.add((group, line.split()[0]))
            assert line.endswith("  ablab"), line
    expected = [*registry.group_names(), "experiment"]
    assert listed == {(g, name) for g in expected for name in option_folders.option_names(g)}


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("group", ["attention", "ffn", "norm", "task"])
def test_the_fields_are_those_that_hydra_composes(group: str):
    for option in list_options(group):
        config = compose("config", overrides=[f"{group}={option.name}"])
        composed = OmegaConf.to_container(config[group], resolve=False)
        assert option.fields == {key: composed[key] for key in composed if key != "kind"}
        assert option.description.endswith((".", "?"))
        assert option.origin == "ablab"


def test_options_of_plugins_and_folders_name_their_source(
    user_folder: Path, capsys: pytest.CaptureFixture[str]
):
    print_parts(["ffn", "plugins=[listed_plugin]", "--config-dir=mine"])
    blocks = dict(
        block.split("\n", 1) for block in capsys.readouterr().out.rstrip("\n").split("\n\n")
    )
    assert blocks["ffn=listed_gate"] == (
        "  Gates the stream by \\x1b[31m itself.\n"
        "  fields: d_ff=12\n"
        "  from:   listed_plugin.py (listed_plugin.ListedGate)"
    )
    assert "d_ff=7" in blocks["ffn=mine"]
    assert "from:   mine/ffn/mine.yaml, listed_plugin.py" in blocks["ffn=mine"]
    assert blocks["ffn=wide"].startswith("  Wide network.\n  fields: d_ff=999 activation=gelu")
    assert "from:   mine/ffn/wide.yaml (experiments.parts.ffn" in blocks["ffn=wide"]
    print_parts(["--config-dir", "mine"])
    assert re.search(r"^  my_gate +Is it better\? +mine/exp", capsys.readouterr().out, re.MULTILINE)
    assert {path.name for path in user_folder.iterdir()} >= {"mine", "listed_plugin.py"}


def test_an_installed_package_is_named_with_its_version(monkeypatch: pytest.MonkeyPatch):
    class Installed:
        __module__ = "hydra.utils"

    monkeypatch.setattr(registry, "kinds", lambda *_, **__: {"mha": Installed})
    from importlib.metadata import version

    from runner.commands.options import class_origin

    assert class_origin(Installed) == f"hydra-core {version('hydra-core')}"


def test_one_option_is_shown_alone(capsys: pytest.CaptureFixture[str]):
    print_parts(["ffn=moe"])
    printed = capsys.readouterr().out
    assert printed.startswith("ffn=moe\n  Mixture of experts:")
    assert "conf/ffn/moe.yaml, experiments.parts.moe." in printed
    assert describe_option("ffn", "moe").fields["n_experts"] == 8
    assert "\n\n" not in printed


BAD = {
    "fn": "fn: there is no such group; did you mean ffn",
    "ffn=swi": "ffn=swi: there is no such option; did you mean swiglu",
    "ffn task": "choose one; type python -m runner parts",
    "plugns=[a]": "did you mean plugins",
    "plugins=[absent_module]": "absent_module cannot be imported",
    "plugins=absent": "must be a list of modules",
    "plugins={a": "must be a list of modules",
    "plugins=[a] plugins=[b]": "plugins is set twice",
    "--config-dir=absent": "absent is not a folder",
    "--config-dir": "name a folder",
    "--colour": "there is no such flag; type python -m runner parts",
}


@pytest.mark.parametrize("arguments", list(BAD))
def test_bad_arguments_are_one_clear_line(user_folder: Path, arguments: str):
    with pytest.raises(ConfigError, match=re.escape(BAD[arguments])) as caught:
        print_parts(arguments.split())
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name for path in user_folder.iterdir()} == {"mine", "listed_plugin.py"}


def test_a_file_that_could_run_code_is_refused(user_folder: Path):
    (user_folder / "mine" / "ffn" / "bad.yaml").write_text("_target_: os.system\n")
    with pytest.raises(ConfigError, match="_target_ is not allowed"):
        print_parts(["--config-dir=mine"])
