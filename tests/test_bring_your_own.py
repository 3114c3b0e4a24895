"""docs/bring_your_own.md: every recipe runs as it stands, and its messages exist."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.support.environment import ROOT, child_environment
from tests.support.guide import PAGE, files_of_guide, sections_of_guide, write_guide

SECTIONS = sections_of_guide()


def test_the_page_is_read():
    """Without this test, a pattern that matches nothing would let the recipes pass."""
    assert set(files_of_guide()) == {
        *("my_modules.py", "my_ffn.py", "my_task.py", "mine/experiment/my_gate.yaml"),
        *("my_lab/__init__.py", "my_lab/conf/experiment/simple.yaml", "study.py", "lowrank.py"),
    }
    assert len(SECTIONS) == 7
    assert sum(map(len, SECTIONS.values())) == PAGE.count("\npython ")


def test_a_part_is_one_short_class():
    lines = [line for line in files_of_guide()["my_ffn.py"].splitlines() if line.strip()]
    assert len(lines) <= 15


def test_the_table_leads_to_sections_that_exist():
    anchors = re.findall(r"\]\(#([\w-]+)\) \|$", PAGE, re.MULTILINE)
    titles = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert len(anchors) == 7
    assert set(anchors) <= {title.lower().replace(" ", "-") for title in titles}


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_the_recipes_run_as_they_stand(section: str, tmp_path: Path):
    write_guide(tmp_path)
    words = np.random.default_rng(0).integers(1000, size=(2, 40_000))
    for folder in ("my", "data"):
        (tmp_path / folder).mkdir()
    for name, row in zip(("a.md", "b.md"), words, strict=True):
        (tmp_path / "my" / name).write_text(" ".join(f"word{i}" for i in row))
    words.astype(np.uint16).tofile(tmp_path / "data" / "train.bin")
    if "bpe" in " ".join(SECTIONS[section]):
        pytest.importorskip("tokenizers")
    for command in SECTIONS[section]:
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=tmp_path,
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_a_package_declares_plugins_as_the_example_package_does():
    (block,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    example = tomllib.loads((ROOT / "tests/example_lab/pyproject.toml").read_text())
    declared = tomllib.loads(block)["project"]["entry-points"]
    assert list(declared) == list(example["project"]["entry-points"])
    assert declared["ablab.plugins"] == {"my_lab": "my_lab"}


def texts_of_code() -> list[str]:
    """Return the texts in the code, with `...` in place of inserted values."""
    texts = []
    for folder in ("runner", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, "value", "") for part in node.values]
                    texts.append("".join(p if isinstance(p, str) else "..." for p in parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return texts


def test_the_messages_of_the_page_exist():
    rows = re.findall(
        r"^\| `([^`]+)` \| ", PAGE.partition("## Checks of the plan")[2], re.MULTILINE
    )
    assert len(rows) >= 8
    rows.append("has no ... to match")
    texts = texts_of_code()
    assert [row for row in rows if not any(row in text for text in texts)] == []
