"""`python -m runner schema`: all YAML of conf/ and of the tests is valid, faulty YAML is not."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.parts import PARTS
from runner import registry
from runner.commands import comments
from runner.commands.schema import HELP, print_schema
from runner.commands.yaml_schemas import file_kinds, make_schema
from runner.config import ConfigError
from runner.plan.option_folders import CONF
from tests.support.environment import ROOT

jsonschema = pytest.importorskip("jsonschema")

FILES = sorted(CONF.rglob("*.yaml"))
ROOT_FILE = CONF / "config.yaml"  # it has the keys of an experiment, and those of Hydra
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


class YamlOfHydra(yaml.SafeLoader):
    """Reads 1e-3 as a number, as Hydra and YAML 1.2 do."""


YamlOfHydra.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$|[-+]?\.(inf|nan)$"),
    list("-+.0123456789"),
)
YamlOfHydra.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?\d+$"), list("-+0123456789")
)


def load(text: str) -> Any:
    return yaml.load(text, Loader=YamlOfHydra)


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    kinds = ["", "scale", *file_kinds()]
    return {kind: jsonschema.Draft202012Validator(make_schema(kind)) for kind in kinds}


def messages(validator: Any, document: Any) -> list[str]:
    return [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(document)]


@pytest.mark.slow
def test_the_schema_is_a_schema(validators: dict[str, Any]):
    jsonschema.Draft202012Validator.check_schema(validators[""].schema)


def test_the_help_names_every_kind_of_file():
    assert set(re.findall(r"\w+", HELP)) >= set(file_kinds())


def test_every_folder_of_conf_has_a_schema():
    folders = {path.parent.name for path in FILES if path != ROOT_FILE}
    assert folders == {*file_kinds(), "scale"}


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_the_files_of_conf_are_valid(file: Path, validators: dict[str, Any]):
    document = load(file.read_text(encoding="utf-8"))
    kind = "experiment" if file == ROOT_FILE else file.parent.name
    assert messages(validators[kind], document) == []
    assert messages(validators[""], document) == []


def yaml_of_pages() -> Iterator[tuple[str, str]]:
    """Yield the page and text of each block of YAML in README.md and docs/."""
    for page in PAGES:
        for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            yield page.name, text


def test_the_yaml_of_the_pages_is_valid(validators: dict[str, Any]):
    blocks = list(yaml_of_pages())
    assert len(blocks) >= 2
    assert {page: messages(validators[""], load(text)) for page, text in blocks} == {
        page: [] for page, _ in blocks
    }


def edited(file: str, old: str, new: str) -> tuple[str, Any]:
    """Return the folder of a file of conf/, and its content with one change."""
    text = (CONF / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old)
    folder = "experiment" if file == "config.yaml" else file.split("/")[-2]
    return folder, load(text.replace(old, new))


FAULTS = [
    ("experiment/moe.yaml", "question: >-", "questoin: >-"),
    ("experiment/moe.yaml", "by: active_params", "by: parameters"),
    ("experiment/moe.yaml", "n_permutations: 200", "n_permutations: many"),
    ("experiment/moe.yaml", "n_permutations: 200", "n_permutation: 200"),
    ("experiment/moe.yaml", "{copy_of: moe_top2}", "{copyof: moe_top2}"),
    ("experiment/moe.yaml", "[ffn=dense]  ", "ffn=dense  "),
    ("experiment/moe.yaml", "yes_if: worse", "yes_if: worst"),
    ("experiment/moe.yaml", "    label: load", "    lable: load"),
    ("preset/moe_quick.yaml", "n_seeds: 8", "n_seeds: eight"),
    ("preset/moe_quick.yaml", "family: M2", "famly: M2"),
    ("preset/norm_stability_full.yaml", "steps: 400", "stepz: 400"),
    ("claims/moe.yaml", "equal_cost: active_params", "equal_cost: active"),
    ("claims/moe.yaml", "  arm: moe_bias\n", ""),
    ("claims/flash_attention.yaml", "  band: [0.9, 1.1]", "  band: [0.9]"),
    ("claims/moe.yaml", "M2.bias_balances_better:\n", "M2.bias_balances_better:\n  log: both\n"),
    ("figures/moe.yaml", "seeds: first\n  title: Share", "seeds: frist\n  title: Share"),
    ("figures/moe.yaml", "colour_label: share of assignments", "color_label: share of assignments"),
    ("figures/moe.yaml", "  title: Cost against quality\n", ""),
    ("figures/moe.yaml", "kind: bars", "kind: bar"),
    ("ffn/moe.yaml", "kind: moe", "kind: mow"),
    ("ffn/moe.yaml", "top_k: 2", "top_k: 2.5"),
    ("ffn/moe.yaml", "top_k: 2", "topk: 2"),
    ("ffn/moe.yaml", "balance: aux", "balance: loss"),
    ("ffn/swiglu.yaml", "gated: true", "gated: maybe"),
    ("ffn/dense.yaml", "bias: false ", "# bias: false "),
    ("attention/gqa.yaml", "n_kv_heads: 2", "n_kv_head: 2"),
    ("norm/post.yaml", "placement: post", "placement: behind"),
    ("task/waves.yaml", "length: 20", "length: long"),
    ("device/cpu.yaml", "name: cpu", "name: cpux"),
    ("tune/lr.yaml", "direction: less        #", "direction: fewer    #"),
    ("config.yaml", "\nn_seeds: ", "\nn_sedes: "),
    ("experiment/moe.yaml", "question: >-", "hydra: {}\nquestion: >-"),
    ("hydra/launcher/processes.yaml", "defaults: [joblib, _self_]", "defaults: [jolib, _self_]"),
    ("hydra/launcher/slurm.yaml", "defaults: [submitit_slurm, _self_]", "mem: 3"),
    ("sweep/moe_experts.yaml", "grid:\n", "gird:\n"),
    ("sweep/moe_experts.yaml", "n_experts: [4, 8, 16]", "n_experts: 4"),
]


@pytest.mark.parametrize(("file", "old", "new"), FAULTS)
def test_a_fault_is_found(file: str, old: str, new: str, validators: dict[str, Any]):
    folder, document = edited(file, old, new)
    assert messages(validators[folder], document) != []
    assert messages(validators[""], document) != []


def test_a_question_about_a_page_has_the_options_of_that_page(validators: dict[str, Any]):
    document = {"code": "ffn", "experiment": "my_gate", "options": {"eps": 0.1}}
    assert messages(validators["experiment"], document) == []
    document["options"] = {"n_permutations": 3}
    assert messages(validators["experiment"], document) != []
    document = {"experiment": "my_own_page", "options": {"anything": 3}}
    assert messages(validators["experiment"], document) == []


def test_keys_have_types_values_and_meanings():
    definitions = make_schema()["$defs"]
    study = definitions["study_file"]["properties"]
    assert study["n_seeds"]["description"].startswith("number of seeds")
    assert study["training"]["properties"]["lr"]["description"] == "peak learning rate"
    assert study["timing"]["properties"]["steady"]["description"].startswith("target: standard err")
    moe = definitions["ffn_moe"]["properties"]
    assert moe["top_k"]["description"].startswith("experts per token; their weights")
    assert {"enum": ["none", "aux", "bias"]} in moe["balance"]["anyOf"]
    claim = definitions["claim_difference"]
    assert set(claim["required"]) >= {"statement", "metric", "n", "arm", "direction"}
    assert claim["properties"]["differs"]["description"].startswith("keys in which the arms may")
    figure = definitions["figure_bars"]["properties"]
    assert figure["rank"]["description"].endswith("the busiest, the second, ...")
    described = [name for name, each in study.items() if "description" in each]
    assert len(described) > 25


def test_every_field_of_an_option_is_described():
    """The comments of conf/ are read for each field of each kind of ablab."""
    definitions = make_schema()["$defs"]
    missing = [
        f"{group}.{kind}.{name}"
        for group in registry.group_names()
        for kind, cls in registry.kinds(group).items()
        if cls.__module__.startswith("experiments.")
        for name, schema in definitions[f"{group}_{kind}"]["properties"].items()
        if name != "kind" and "description" not in schema
    ]
    assert missing == []


PLUGIN = '''"""A part."""

from dataclasses import dataclass
from enum import StrEnum

from experiments.parts import part


class Shape(StrEnum):
    """A shape."""

    round = "round"
    square = "square"


@part("ffn", "schema_gate")
@dataclass
class SchemaGate:
    """A gate.

    Attributes:
        shape: its shape.
    """

    d_ff: int
    shape: Shape = Shape.round

    def build(self, d_model):
        raise NotImplementedError
'''


def test_the_parts_of_plugins_are_included(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "schema_plugin.py").write_text(PLUGIN)
    registry.kinds("ffn")
    try:
        print_schema(["ffn", "plugins=[schema_plugin]"])
    finally:
        PARTS["ffn"].pop("schema_gate", None)
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    assert messages(validator, {"kind": "schema_gate", "d_ff": 3, "shape": "square"}) == []
    assert messages(validator, {"kind": "schema_gate", "d_ff": 3}) == []
    assert messages(validator, {"kind": "schema_gate", "shape": "square"}) != []
    assert messages(validator, {"kind": "schema_gate", "d_ff": 3, "shape": "oval"}) != []
    assert "its shape." in json.dumps(validator.schema)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("experimnt", "did you mean experiment?"),
        ("ffn norm", "norm is too much; type python -m runner schema"),
        ("plugins=[absent_module]", "absent_module cannot be imported"),
        ("group=ffn", "group=ffn: there is no such key"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: str, said: str):
    with pytest.raises(ConfigError, match=re.escape(said)):
        print_schema(arguments.split())


def test_comments_are_read_by_key(tmp_path: Path):
    file = tmp_path / "options.yaml"
    file.write_text(
        "# Header.\na: 1   # first |\n       # and more\nb:\n  c: '#5'   # third\n  d: 2\n"
        "# not a comment of d\ne: x#y\n"
    )
    assert comments.key_comments(file) == {"a": "first | and more", "b.c": "third"}
