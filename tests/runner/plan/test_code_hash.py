"""The code hash follows imports, ignores words, and is of each arm alone."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import metrics
from experiments.metrics import METRICS
from runner import registry
from runner.config import ConfigError
from runner.plan import code_hash, moved_imports
from runner.records import module_source
from tests.support.environment import ROOT, child_environment

PLUGIN = "mine_abc.parts.attention"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write a plug-in that imports a sibling, relatively, and another module by name."""
    folder = tmp_path / "mine_abc"
    (folder / "parts").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "parts" / "__init__.py").write_text("from .. import constants\n")
    (folder / "parts" / "attention.py").write_text(
        "import json\nfrom .kernel import run\n"
        "TABLE = 'table.json'\nOTHER = 'a sentence. No file.'\n"
    )
    (folder / "parts" / "kernel.py").write_text("from mine_abc.more import x\nrun = x\n")
    (folder / "parts" / "table.json").write_text("{}")
    for name in ("constants", "more", "unrelated"):
        (folder / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("mine_abc")]:
        del sys.modules[name]


def hashed(*modules: str) -> str:
    return code_hash.hash_modules(frozenset(modules))


def test_what_is_imported_is_part_of_the_hash(package: Path):
    before = hashed(PLUGIN)
    for changed in [*package.rglob("*.py"), package / "parts" / "table.json"]:
        text = changed.read_text()
        changed.write_text(f"{text}\nadded = 1\n")
        same = hashed(PLUGIN) == before
        assert same == (changed.name == "unrelated.py"), changed
        changed.write_text(text)
    assert hashed(PLUGIN) == before


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("def f(x):\n    return x + 1\n", True),
        ("def f(x):  # a comment\n\n    return (x + 1)\n", True),
        ('"""Words."""\n\n\ndef f(x):\n    """More words."""\n    return x + 1\n', True),
        ("def f(x):\n    return x + 2\n", False),
        ("def f(x, y=0):\n    return x + 1\n", False),
        ("def f(x):\n    'a docstring'\n    'an expression'\n    return x + 1\n", False),
        ("def g(x):\n    return x + 1\n", False),
    ],
)
def test_comments_and_docstrings_do_not_count(package: Path, text: str, same: bool):
    file = package / "constants.py"
    file.write_text("def f(x):\n    return x + 1\n")
    before = hashed(PLUGIN)
    assert len(module_source.syntax_digest(file)) == 64
    file.write_text(text)
    assert (hashed(PLUGIN) == before) is same


DECLARED = """
from runner.metric_names import Metric, DivergedValue

METRICS["mine/score"] = Metric(
    DivergedValue.fixed, 0.0, {texts}
)
"""
IMPORT = "from runner.metric_names import Metric, DivergedValue"
TEXTS = 'meaning="A score.", unit="1", formula="a / b", source="Me 2024", better="less"'


def of_declaration(package: Path, arguments: str) -> str:
    """The hash of a plug-in that declares a metric with these arguments."""
    (package / "constants.py").write_text(DECLARED.format(texts=arguments))
    return hashed(PLUGIN)


@pytest.mark.parametrize(
    "texts",
    [
        'meaning="Other words.", unit="1", formula="a / b", source="Me 2024", better="less"',
        'better="greater", meaning="A score.", unit="ms"',
        'meaning=("In " "parts."), source="table.json"',  # the name of a file beside it, too
        "",
    ],
)
def test_texts_of_metrics_do_not_count(package: Path, texts: str):
    (package / "table.json").write_text("{}")
    assert of_declaration(package, texts) == of_declaration(package, TEXTS)


@pytest.mark.parametrize("argument", ["deterministic=True", "curve='val/loss'", "value='x'"])
def test_what_a_metric_counts_as_is_part_of_the_hash(package: Path, argument: str):
    assert of_declaration(package, f"{TEXTS}, {argument}") != of_declaration(package, TEXTS)


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (" Other(", IMPORT),
        (" mine.Metric(", IMPORT),
        (" Metric(", "from mine import Metric, DivergedValue"),
        (" Metric(", "from .metric_names import Metric, DivergedValue"),
        (" Metric(", "import mine as Metric"),
        (" Metric(", f"{IMPORT}\nfrom mine import Other as Metric"),
        (" Metric(", f"{IMPORT}\nMetric = dict"),
        (" Metric(", f"{IMPORT}\nclass Metric:\n    unit = 'm'"),
        (" Metric(", f"{IMPORT}\ndef Metric(*_, **words):\n    return words"),
        (" (lambda Metric: Metric)(", IMPORT),
    ],
)
def test_the_same_arguments_of_other_calls_count(tmp_path: Path, call: str, line: str):
    first, second = (
        module_source.syntax_digest(written(tmp_path, DECLARED.format(texts=texts), call, line))
        for texts in ('meaning="One."', 'meaning="Two."')
    )
    assert first != second


def written(folder: Path, text: str, call: str, line: str) -> Path:
    """A file that declares a metric by another import or call."""
    path = folder / "declares.py"
    path.write_text(text.replace(IMPORT, line).replace(" Metric(", call))
    return path


@pytest.mark.parametrize("argument", ["meaning=str(1)", 'meaning=f"{x}"', "**{'meaning': 'A'}"])
def test_a_text_that_is_computed_counts(package: Path, argument: str):
    assert of_declaration(package, argument) != of_declaration(package, "")


def test_a_module_that_is_missing_is_an_error(package: Path):
    with pytest.raises(module_source.MissingModuleError, match=r"mine_abc\.nothing"):
        hashed("mine_abc.nothing")
    (package / "more.py").write_text("from mine_abc import gone, constants\nx = constants\n")
    hashed(PLUGIN)  # `gone` may be a name of the package
    (package / "more.py").write_text("import mine_abc.gone\nx = 1\n")
    with pytest.raises(
        module_source.MissingModuleError, match=r"mine_abc\.more imports mine_abc\.gone"
    ):
        hashed(PLUGIN)
    (package / "more.py").write_text(
        "try:\n    import mine_abc.gone\nexcept ImportError:\n    x = 1\n"
    )
    hashed(PLUGIN)


def test_the_engine_is_found_whole():
    found = code_hash.find_imported_modules({code_hash.ENGINE_ENTRY})
    registry.experiment_names()  # loads all pages
    wanted = {"trial.training", "trial.optimizer", "trial.checkpoint", "trial.protocols", "device"}
    assert {f"runner.{name}" for name in wanted} <= found
    others = ("runner.report", "runner.figures", "runner.plan", "runner.registry")
    assert not {name for name in found if name.startswith((*others, "experiments.nn"))}
    # Names of metrics stand apart: a new one of a question makes no trial of another stale.
    assert not {name for name in METRICS if f'"{name}"' in Path(metrics.__file__).read_text()}


def test_the_file_of_a_module_is_found_without_importing_it(monkeypatch, tmp_path: Path):
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "__init__.py").write_text("raise RuntimeError('loud was imported')")
    (tmp_path / "loud" / "inner.py").write_text("")
    (tmp_path / "loud" / "folder").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert module_source.locate("loud.inner") == tmp_path / "loud" / "inner.py"
    assert module_source.locate("loud") == tmp_path / "loud" / "__init__.py"
    assert module_source.locate("loud.folder") is None
    for missing in ("loud.inner.name", "loud.nothing", "no_such_package", "sys"):
        with pytest.raises(module_source.MissingModuleError):
            module_source.locate(missing)


CHANGES = """
import json, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from runner.plan import code_hash, planning
root, outputs = Path(sys.argv[1]), sys.argv[2]
typed = ["experiment=moe", "scale=smoke", "task=waves", "plan=only", f"outputs={outputs}"]
with initialize_config_dir(str(root / "conf"), version_base="1.3"):
    plan = planning.make_plan(compose("config", overrides=typed), typed)
arms = {arm.name: arm.config for arm in plan.arms}
before = code_hash.hash_arms(arms)
assert before == {arm.name: arm.code for arm in plan.arms}
found = {}
for name, text in {
    "experiments/parts/mine.py": "x = 1\\n",
    "experiments/parts/no_ffn.py": "x = 1\\n",
    "experiments/tasks/waves.py": "x = 1\\n",
    "experiments/nn/moe/mixture.py": "x = 1\\n",
    "experiments/nn/encoder_decoder.py": "x = 1\\n",
    "experiments/parts/encoder_decoder.py": "x = 1\\n",
    "experiments/parts/transformer.py": "x = 1\\n",
    "experiments/ffn.py": "METRICS['ffn/new'] = KEPT\\n",
    "experiments/metrics/ffn.py": "x = 1\\n",
    "experiments/metrics/moe.py": "DECLARATIONS['moe/new'] = Metric()\\n",
    "runner/registry.py": "x = 1\\n",
    "runner/plan/moved_imports.py": "x = 1\\n",
    "experiments/parts/moe.py": "# a comment\\n",
    "experiments/parts/attention.py": "x = 1\\n",
    "experiments/tasks/domains.py": "x = 1\\n",
    "experiments/moe.py": "x = 1\\n",
    "runner/trial/training.py": "x = 1\\n",
    "runner/report/page.py": "x = 1\\n",
}.items():
    file = root / name
    old = file.read_text() if file.exists() else ""
    file.write_text(old + text)
    now = code_hash.hash_arms(arms)
    found[name] = sorted(arm for arm in arms if now[arm] != before[arm])
    file.write_text(old)
print(json.dumps(found))
"""


def test_a_change_makes_stale_what_depends_on_it_and_nothing_else(tmp_path: Path):
    root = tmp_path / "checkout"
    for folder in ("runner", "experiments", "conf"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-c", CHANGES, str(root), str(tmp_path / "outputs")],
        env=child_environment() | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    both = ["dense", "moe_top2"]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "experiments/parts/mine.py": [],
        "experiments/parts/no_ffn.py": [],
        "experiments/tasks/waves.py": both,
        "experiments/nn/moe/mixture.py": ["moe_top2"],
        "experiments/nn/encoder_decoder.py": [],
        "experiments/parts/encoder_decoder.py": [],
        "experiments/parts/transformer.py": both,
        "experiments/ffn.py": [],
        "experiments/metrics/ffn.py": [],
        "experiments/metrics/moe.py": both,
        "runner/registry.py": [],
        "runner/plan/moved_imports.py": [],
        "experiments/parts/moe.py": [],
        "experiments/parts/attention.py": both,
        "experiments/tasks/domains.py": [],
        "experiments/moe.py": both,
        "runner/trial/training.py": both,
        "runner/report/page.py": [],
    }


def test_what_lies_beside_a_plugin_is_followed(package: Path):
    (package.parent / "helper_abc.py").write_text("SCALE = 1\n")
    (package / "more.py").write_text("import helper_abc\nimport torch\nx = helper_abc.SCALE\n")
    before = hashed(PLUGIN)
    (package.parent / "helper_abc.py").write_text("SCALE = 2\n")
    assert hashed(PLUGIN) != before
    assert not {
        name for name in code_hash.find_imported_modules({PLUGIN}) if name.startswith("torch")
    }


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import mine_abc.gone\nexcept ImportError:\n    x = 1\n",
        "import contextlib as c\nwith c.suppress(ImportError):\n    import mine_abc.gone\nx = 1\n",
        "import sys\nif sys.platform == 'win32':\n    import mine_abc.gone\nx = 1\n",
        "try:\n    import mine_abc.gone\nexcept* ImportError:\n    x = 1\n",
        f"x = {' + '.join(['1'] * 2000)}\n",
    ],
)
def test_imports_that_may_fail_and_deep_trees_stop_nothing(package: Path, text: str):
    (package / "more.py").write_text(text)
    hashed(PLUGIN)


def test_a_star_takes_all_of_a_package(package: Path):
    (package / "inner").mkdir()
    (package / "inner" / "__init__.py").write_text("__all__ = ['deep']\n")
    (package / "inner" / "deep.py").write_text("x = 1\n")
    (package / "more.py").write_text("from .inner import *\nx = 1\n")
    before = hashed(PLUGIN)
    (package / "inner" / "deep.py").write_text("x = 2\n")
    assert hashed(PLUGIN) != before


PART = """
from dataclasses import dataclass
from experiments.parts import Cost, Part, part

@part("ffn", "{kind}")
@dataclass
class {name}(Part):
    kind: str = "{kind}"

    def cost(self, d_model, length):
        return Cost()

    def build(self, d_model):
        from torch import nn

        class Module(nn.Module):
            def forward(self, x, keep):
                return x, None

        return Module()
"""


def test_a_plugin_counts_for_arms_that_use_its_parts_or_if_it_has_none(
    plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "with_part.py").write_text(PART.format(kind="of_plugin", name="OfPlugin"))
    (tmp_path / "patching.py").write_text("x = 1\n")
    typed = ("experiment=moe", "scale=smoke", "task=waves", "plan=only")
    added = ('+arms.own=["ffn=of_plugin","match.by=none"]', "arm=[dense,own]")
    try:
        plain = plan(*typed, "arm=dense").arms[0].code
        dense, own = plan(*typed, *added, "plugins=[with_part]").arms
        assert dense.code == plain
        assert own.code != plain
        assert plan(*typed, "arm=dense", "plugins=[patching]").arms[0].code != plain
    finally:
        registry.kinds("ffn").pop("of_plugin", None)
        for name in ("with_part", "patching"):
            sys.modules.pop(name, None)


def test_an_import_of_a_module_that_has_moved_names_its_new_place(package: Path):
    (package / "more.py").write_text("def run():\n    from runner.training import train\nx = 1\n")
    with pytest.raises(ConfigError, match=r"use runner\.trial\.training"):
        hashed(PLUGIN)


def test_what_has_moved_is_where_the_line_says():
    for text in moved_imports.MOVED_IMPORTS.values():
        if found := re.match(r"use ([\w.]+)(?::|$)", text):
            module_source.locate(found[1])
