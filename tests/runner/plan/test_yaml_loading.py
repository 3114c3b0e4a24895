"""libyaml's parser gives OmegaConf the same values and refuses the same files."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.plan import option_folders, yaml_loading

TEXTS = (
    "a: 1e-3\nb: 1_000\nc: 0x1f\nd: .5\ne: 1:30\nf: [on, No, 'off', ~, null]",
    "when: 2026-11-26\ntime: 2026-11-26 10:00:00",  # OmegaConf keeps dates as text
    "a: &x {b: [1, 2.5, .inf, -.inf]}\nc: *x\nd: {<<: *x, e: '${a.b}'}\nf: ${a.b}",
    "a: |\n  two\n  lines\nb: >-\n  one\n  line\nc: '日本語'\n",
    "",
    "- 1\n- {a: b}\n",
)
BAD_TEXTS = (
    "a: 1\na: 2",
    "a: [1",
    "a: !!python/object/apply:os.system [x]",
    "a: !new 1",
    "a: *nothing",
    "a: 1\n\tb: 2",
    "a: \x07",
)


def load(text: str, loader: Any) -> Any:
    return yaml.load(text, Loader=loader)


@pytest.fixture(autouse=True)
def libyaml() -> None:
    if not yaml.__with_libyaml__:
        pytest.skip("this PyYAML has no libyaml")


@pytest.mark.parametrize("text", TEXTS)
def test_values_and_their_types_are_the_same(text: str):
    fast, slow = (load(text, one) for one in (yaml_loading.fast_loader(), LOADER))
    assert repr(fast) == repr(slow)


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_the_same_files_are_refused(text: str):
    for loader in (yaml_loading.fast_loader(), LOADER):
        with pytest.raises(yaml.YAMLError):
            load(text, loader)


def test_all_of_our_files_are_read_alike():
    paths: list[Path] = sorted(option_folders.CONF.rglob("*.yaml"))
    assert len(paths) > 50
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert repr(load(text, yaml_loading.fast_loader())) == repr(load(text, LOADER)), path


LOADER = yaml_loading.SLOW_LOADER()
