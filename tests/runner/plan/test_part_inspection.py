"""Foreign parts in a plan: they are matched, and their faults are one clear line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.estimates import inspected_module
from experiments.parts import PARTS, load
from experiments.parts.counted_cost import CostCounter, count_in_this_process
from runner.config import ConfigError
from runner.plan import part_inspection
from runner.plan.error_messages import explain
from runner.plan.helper_process import HelperProcess
from runner.records.private_cache import cache_path
from tests.conftest import command

SOURCE = '''
from dataclasses import dataclass
from experiments.parts import part


def modules():
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, d_model, hidden):
            super().__init__()
            if hidden % 8:
                raise ValueError("hidden must be a multiple of 8")
            self.up, self.down = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)

        def forward(self, x):
            return self.down(self.up(x).relu())

    class Bag(nn.Linear):
        """Attention that sees all tokens."""

        def forward(self, x):
            return super().forward(x - x.mean(dim=1, keepdim=True))

    class Past(nn.Linear):
        """Attention by a cumulative sum, which passes no keys to a kernel."""

        def forward(self, x):
            return super().forward(x.cumsum(dim=1)) / (1 + torch.arange(x.shape[1]))[:, None]

    return Net, Bag, Past


@part("ffn", "net")
@dataclass
class NetPart:
    hidden: int = 64
    scale: float = 1.0

    def build(self, d_model):
        return modules()[0](d_model, self.hidden)


@part("ffn", "two")
@dataclass
class TwoPart(NetPart):
    layers: int = 2


@part("ffn", "doubling")
@dataclass
class DoublingPart(NetPart):
    def build(self, d_model):
        if self.hidden & (self.hidden - 1):
            raise ValueError("hidden must be a power of two")
        return modules()[0](d_model, self.hidden)


@part("ffn", "fixed")
@dataclass
class FixedPart:
    def build(self, d_model):
        return modules()[0](d_model, 64)


@part("attention", "bag")
@dataclass
class BagPart:
    def build(self, d_model):
        return modules()[1](d_model, d_model)


@part("attention", "past")
@dataclass
class PastPart:
    def build(self, d_model):
        return modules()[2](d_model, d_model)
'''
PLUGIN = "my_inspected_parts"
FFN = ("experiment=ffn", "scale=smoke", f"plugins=[{PLUGIN}]", "task=waves", "~claims")


class HelperHere(HelperProcess):
    """The server's answers from this process, so that no process starts; it counts requests."""

    n_requests = 0

    def load(self, *_: object) -> None: ...

    def ask(self, request, seconds=0.0):  # noqa: ARG002
        from runner.plan import helper_server

        HelperHere.n_requests += 1
        elsewhere, CostCounter.elsewhere = CostCounter.elsewhere, None
        try:
            return helper_server.answer_request(dict(request))
        finally:
            CostCounter.elsewhere = elsewhere


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{PLUGIN}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    load()  # before it is patched: a second call would add nothing
    for group, kinds in PARTS.items():
        monkeypatch.setitem(PARTS, group, dict(kinds))
    monkeypatch.setattr(CostCounter, "elsewhere", None)
    cache_path(part_inspection.CACHE_FILE).unlink(missing_ok=True)
    helper = HelperHere()
    monkeypatch.setattr(
        part_inspection, "PartInspector", lambda plugins: REAL_INSPECTOR(plugins, helper)
    )
    HelperHere.n_requests = 0
    yield
    sys.modules.pop(PLUGIN, None)


REAL_INSPECTOR = part_inspection.PartInspector
Plan = Callable[..., object]


def test_the_only_whole_number_field_is_matched(plan):
    new_plan = plan(*FFN, '+arms.mine=["ffn=net"]')
    mine = next(arm for arm in new_plan.arms if arm.name == "mine")
    assert mine.config.parts.ffn.hidden % 8 == 0
    assert f"ffn.hidden={mine.config.parts.ffn.hidden}" in mine.overrides
    assert "arm mine: its only whole-number field hidden is matched" in new_plan.notes
    costs = {arm.name: arm.config.parts.ffn.cost(64, 0).parameters for arm in new_plan.arms}
    assert costs["mine"] == pytest.approx(costs["relu"], rel=0.04)


def test_a_second_plan_asks_nothing(plan):
    first = plan(*FFN, '+arms.mine=["ffn=net"]')
    assert HelperHere.n_requests > 5
    HelperHere.n_requests = 0
    second = plan(*FFN, '+arms.mine=["ffn=net"]')
    assert HelperHere.n_requests == 0
    assert [arm.config for arm in first.arms] == [arm.config for arm in second.arms]


def test_a_changed_source_is_inspected_again(plan, tmp_path: Path):
    plan(*FFN, '+arms.mine=["ffn=net"]')
    HelperHere.n_requests = 0
    (tmp_path / f"{PLUGIN}.py").write_text(SOURCE.replace("relu()", "sigmoid()"))
    plan(*FFN, '+arms.mine=["ffn=net"]')
    assert HelperHere.n_requests > 5


def test_several_whole_number_fields_need_a_choice(plan):
    with pytest.raises(ConfigError) as caught:
        plan(*FFN, '+arms.mine=["ffn=two"]')
    message = explain(caught.value)[0]
    assert message == (
        "arm mine: ffn=two has no d_ff to match; choose one of its whole-number fields hidden, "
        "layers in the arm's overrides, e.g. match.solve=ffn.hidden"
    )
    new_plan = plan(*FFN, '+arms.mine=["ffn=two","match.solve=ffn.hidden"]')
    mine = next(arm for arm in new_plan.arms if arm.name == "mine")
    assert mine.config.parts.ffn.hidden != 64
    assert mine.config.parts.ffn.layers == 2


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ('["ffn=fixed"]', "ffn=fixed has no whole-number field: match by the width of a part, or "),
        (
            '["ffn=two","match.solve=ffn.layers"]',
            "no other ffn.layers changes this cost: set another match.solve, or ",
        ),
        (
            '["ffn=net","match.tolerance=1e-6"]',
            "one step of ffn.hidden changes this cost by 2.5 %: set match.tolerance=0.01 or "
            "another match.solve, or ",
        ),
        (
            '["ffn=doubling","match.tolerance=1e-6"]',
            "one step of ffn.hidden changes this cost by 40 %: set match.tolerance=0.2 or "
            "another match.solve, or ",
        ),
        ('["ffn=net","ffn.hidden=16"]', "the arm sets ffn.hidden itself: leave that out, or "),
        (
            '["ffn=net","match.to=tiny"]',
            "even with the smallest ffn.hidden it costs more: set another match.solve, or ",
        ),
    ],
)
def test_an_unmatched_arm_is_told_why_and_how_to_mend_it(plan, arm: str, reason: str):
    tiny = '+arms.tiny=["ffn=none","match.by=none"]'
    (note,) = [n for n in plan(*FFN, f"+arms.mine={arm}", tiny).notes if "mine is unmatched" in n]
    assert "it has" in note
    assert note.endswith(f"; {reason}set match.by=none in the arm")


def test_an_arm_that_sets_the_width_keeps_it(plan):
    new_plan = plan(*FFN, '+arms.mine=["ffn=net","ffn.hidden=16"]')
    mine = next(arm for arm in new_plan.arms if arm.name == "mine")
    assert mine.config.parts.ffn.hidden == 16


ATTENTION = ("experiment=ffn", "scale=smoke", f"plugins=[{PLUGIN}]", "task=waves", "~claims")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            '["ffn=net","ffn.hidden=12"]',
            "ffn=net: build(32) raises an error, ValueError: hidden must be a multiple of 8; "
            "correct it, or give other values (in arm mine)",
        ),
        (
            '["attention=bag"]',
            "attention=bag: its output at position {position} depends on later tokens (at position "
            "{cut} or later); make it causal, e.g. is_causal=True (in arm mine)",
        ),
        (
            '["attention=past","match.by=kv_bytes"]',
            "match.by=kv_bytes: the bytes of keys and values a token of attention=past are unknown;"
            " define cost(self, d_model, length), call scaled_dot_product_attention, or give the "
            "arm match.by=params (in arm mine)",
        ),
    ],
)
def test_a_fault_is_one_line(plan, overrides: str, message: str):
    with pytest.raises(ConfigError) as caught:
        plan(*ATTENTION, "model.d_model=32", f"+arms.mine={overrides}")
    text, code = explain(caught.value)
    assert code == 2
    start, _, end = message.partition("{position}")
    assert text.startswith(start)
    assert text.endswith(end.rpartition("}")[2])
    assert "\n" not in text


def test_both_processes_count_the_same(plan):
    new_plan = plan(*FFN, '+arms.mine=["ffn=net"]')
    part = next(arm for arm in new_plan.arms if arm.name == "mine").config.parts.ffn
    assert CostCounter.elsewhere is not None
    assert part.cost(64, 48) == count_in_this_process(part, 64, 48)


def test_a_plan_without_foreign_parts_starts_no_process(plan):
    plan("experiment=ffn", "scale=smoke", "task=waves", "~claims")
    assert HelperHere.n_requests == 0


def test_an_edit_of_a_module_that_a_part_names_is_inspected_again(plan, tmp_path: Path):
    """A part of `runner.compare` does not import its module, but names it."""
    file = tmp_path / "module_of_mine.py"
    file.write_text("SCALE = 1.0\n")
    named = SOURCE.replace(
        "    hidden: int", '    code_modules = ("module_of_mine",)\n    hidden: int'
    )
    (tmp_path / f"{PLUGIN}.py").write_text(named)
    arm = '+arms.mine=["ffn=net"]'
    plan(*FFN, arm)
    HelperHere.n_requests = 0
    plan(*FFN, arm)
    assert HelperHere.n_requests == 0
    file.write_text("SCALE = 2.0\n")
    plan(*FFN, arm)
    assert HelperHere.n_requests > 5


def test_skipped_checks_are_a_note_and_are_not_kept(plan, monkeypatch: pytest.MonkeyPatch):
    arm = '+arms.mine=["ffn=net"]'
    with monkeypatch.context() as patch:
        patch.setattr(inspected_module.InspectedModule, "is_late", lambda _: True)
        notes = plan(*FFN, arm).notes
    (note,) = [each for each in notes if "too slow" in each]
    assert note.startswith("ffn=net: too slow to check within 8 s: not checked for state between")
    assert note.endswith(
        "changes in training, a look at other sequences, a look at later tokens at most positions"
    )
    HelperHere.n_requests = 0
    assert not [each for each in plan(*FFN, arm).notes if "too slow" in each]
    assert HelperHere.n_requests == 1


@pytest.mark.slow
def test_the_command_names_the_fault_and_a_second_one_is_fast(runner, tmp_path: Path):
    words = ("experiment=ffn", "scale=smoke", "plan=only", f"plugins=[{PLUGIN}]", "task=waves")
    refused = runner(*words, '+arms.mine=["attention=bag"]')
    assert refused.returncode == 2
    assert "plan of" not in refused.stdout
    errors = [line for line in refused.stderr.splitlines() if "ablab:" in line]
    assert len(errors) == 1
    assert "depends on later tokens" in errors[0]
    assert runner(*words, '+arms.mine=["ffn=net"]').returncode == 0
    # Nothing can start a process now.
    code = (
        "import sys, runpy; from runner.plan.helper_process import HelperProcess; "
        "HelperProcess._start = None; sys.argv[0] = 'runner'; runpy.run_module('runner', "
        "run_name='__main__')"
    )
    again = command([sys.executable, "-c", code, *words, '+arms.mine=["ffn=net"]'], tmp_path, 120)
    assert again.returncode == 0, again.stderr
