"""Plain classes under `@part`: what they may define, and one clear error for each mistake."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from experiments import parts
from experiments.parts import Cost, NormSlots, Part, part
from experiments.parts.plain import PlainPart, derive_part
from experiments.parts.plain_rules import read_writers


class Colour(StrEnum):
    red = "red"


class Plain:
    """Not decorated, without fields."""

    def build(self, d_model):
        return nn.Linear(d_model, d_model)


@dataclass
class WithFields:
    d_ff: int = 8
    colour: Colour = Colour.red
    widths: list[int] = field(default_factory=lambda: [1, 2])
    name: str | None = None

    def __post_init__(self):
        if self.d_ff < 1:
            raise ValueError("d_ff must be at least 1")

    def build(self, d_model):
        return nn.Sequential(nn.Linear(d_model, self.d_ff), nn.Linear(self.d_ff, d_model))


@pytest.fixture(autouse=True)
def _own_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    parts.load()
    monkeypatch.setattr(
        parts, "PARTS", {group: dict(known) for group, known in parts.PARTS.items()}
    )


def test_a_class_with_fields_becomes_a_part():
    derived = part("ffn", "mine")(WithFields)
    assert parts.PARTS["ffn"]["mine"] is derived
    assert (derived.__name__, derived.__module__) == ("WithFields", __name__)
    assert [each.name for each in dataclasses.fields(derived)] == [
        *("kind", "d_ff", "colour", "widths", "name")
    ]
    mine: Any = derived(d_ff=4)
    assert isinstance(mine, Part)
    assert mine.kind == "mine"
    assert mine == dataclasses.replace(mine, kind="mine")
    assert mine.build(6)(torch.ones(1, 3, 6))[0].shape == (1, 3, 6)
    # A config holds it, and gives it back.
    config = OmegaConf.merge(OmegaConf.structured(derived), {"d_ff": 5, "colour": "red"})
    assert OmegaConf.to_object(config) == derived(d_ff=5)
    with pytest.raises(ValueError, match="d_ff must be at least 1"):
        derived(d_ff=0)


def test_a_class_without_fields_needs_no_dataclass():
    derived = part("norm", "mine")(Plain)
    assert dataclasses.is_dataclass(derived)
    assert derived().norm_slots == NormSlots(before=True, final=True)
    # A decorator in the wrong order changes nothing here.
    assert dataclass(derived)().build(4).source.d_model == 4


def test_a_plain_class_may_extend_another():
    first: Any = part("ffn", "first")(WithFields)

    @part("ffn", "second")
    @dataclass
    class Second(first):
        depth: int = 2

    second: Any = Second(d_ff=3)
    assert (second.kind, second.d_ff, second.depth) == ("second", 3, 2)
    assert second.build(4).module[0].out_features == 3
    assert second.build(4).source.name == "ffn=second"


def test_the_defaults_are_those_of_part():
    mine: Any = derive_part("attention", "mine", Plain)()
    simple: Any = SimpleNamespace()
    for name in ("norm_slots", "sinusoids", "heads", "experts", "nonlinearity"):
        assert getattr(mine, name) == vars(Part)[name].fget(simple), name
    for name in ("writes_to_residual", "supports_cross_attention"):
        assert getattr(mine, name) == getattr(Part, name), name
    assert mine.is_plain
    assert not Part.is_plain


VALUES = {
    "writes_to_residual": False,
    "supports_cross_attention": True,
    "keeps_initial_weights": True,
    "residual_writers": ("out",),
    "norm_slots": NormSlots(outer=True),
    "sinusoids": True,
    "heads": 4,
    "experts": 3,
    "nonlinearity": "relu",
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("how", ["attribute", "property", "inherited"])
def test_a_value_of_the_users_class_wins(name: str, how: str):
    value = VALUES[name]
    member = property(lambda _: value) if how == "property" else value
    mine = type("Mine", (Plain,), {name: member})
    options = type("Heir", (mine,), {}) if how == "inherited" else mine
    assert getattr(derive_part("ffn", "mine", options)(), name) == value


@pytest.mark.parametrize("value", [("out",), ["out"], {"out"}, ()])
def test_residual_writers_are_a_collection_of_names(value: Any):
    assert read_writers("ffn=mine", value) == tuple(value)


@pytest.mark.parametrize("value", ["out", 3, None, ("out", 3), {"out": 1}, b"out"])
def test_other_residual_writers_are_refused(value: Any):
    """A text would be a list of its letters."""
    mine: Any = derive_part("ffn", "mine", type("Mine", (Plain,), {"residual_writers": value}))()
    with pytest.raises(ValueError, match=r"^ffn=mine: residual_writers=.* a tuple of names") as e:
        mine.build(8)
    assert str(e.value).endswith(
        f"write residual_writers = ({'out' if value == 'out' else 'proj'!r},)"
    )


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize("name", ["heads", "experts", "sinusoids"])
def test_a_value_may_be_a_field(name: str, *, default: bool):
    fields = [(name, int, field(default=2))] if default else [(name, int)]
    mine = dataclasses.make_dataclass("Mine", fields, bases=(Plain,))
    derived: Any = derive_part("ffn", "mine", mine)
    assert getattr(derived(**{name: 5}), name) == 5
    if default:
        assert getattr(derived(), name) == 2


def test_methods_of_the_users_class_win():
    class Mine(Plain):
        def cost(self, d_model, length):
            return Cost(d_model, length)

        def check(self, d_model):
            if d_model % 2:
                raise ValueError("odd")

        def saved_activations_per_token(self, d_model):
            return d_model

        def saved_activations_per_sequence(self, length):
            return length

    mine: Any = derive_part("ffn", "mine", Mine)()
    assert mine.cost(3, 4) == Cost(3, 4)
    assert (mine.saved_activations_per_token(5), mine.saved_activations_per_sequence(6)) == (5, 6)
    with pytest.raises(ValueError, match="odd"):
        mine.check(3)


def test_attention_says_whether_it_needs_positions():
    silent = derive_part("attention", "mine", Plain)()
    assert silent.notes == (
        "attention=mine: the model adds no positions; declare sinusoids = True or False",
    )
    for value in (True, False):
        said = derive_part("attention", "mine", type("Mine", (Plain,), {"sinusoids": value}))
        assert said().notes == ()
    assert derive_part("ffn", "mine", Plain)().notes == ()


def no_build() -> type:
    return type("Mine", (), {})


def no_width() -> type:
    return type("Mine", (), {"build": lambda self: None})  # noqa: ARG005


def static_build() -> type:
    return type("Mine", (), {"build": staticmethod(lambda d_model: None)})  # noqa: ARG005


def frozen() -> type:
    return dataclass(frozen=True)(type("Mine", (Plain,), {"__annotations__": {"d_ff": int}}))


def own_init() -> type:
    return dataclass(init=False)(type("Mine", (Plain,), {"__annotations__": {"d_ff": int}}))


def no_dataclass() -> type:
    return type("Mine", (Plain,), {"__annotations__": {"d_ff": int}, "d_ff": 8})


def untyped() -> type:
    return dataclass(type("Mine", (Plain,), {"d_ff": 256}))


def with_field(name: str, annotation: Any, **default: Any) -> Callable[[], type]:
    def make() -> type:
        members = [(name, annotation, field(**default))]
        return dataclasses.make_dataclass("Mine", members, bases=(Plain,))

    return make


def with_member(name: str, member: Any) -> Callable[[], type]:
    return lambda: type("Mine", (Plain,), {name: member})


BROKEN = [
    (no_build, "it has no build; write def build(self, d_model)"),
    (no_width, "build takes other arguments; write def build(self, d_model)"),
    (static_build, "ablab calls build as a method"),
    (frozen, "a part is not frozen; write @dataclass without frozen=True"),
    (own_init, "a part has the __init__ of @dataclass; leave out init=False"),
    (no_dataclass, "not a dataclass; write @dataclass below the decorator"),
    (untyped, "d_ff has no type, so it is not a field; write d_ff: int = 256"),
    (with_field("layer", nn.Module), "a config cannot hold the type of layer; use int, float"),
    (with_field("act", Callable), "a config cannot hold the type of act; use int, float"),
    (with_field("d_ff", "NoSuch"), "a type of a field is unknown: name 'NoSuch'"),
    (with_field("d_ff", int, default="x"), "a default has the wrong type"),
    (with_field("kind", str), "ablab defines kind itself; rename your kind"),
    (with_field("group", str), "ablab defines group itself; rename your group"),
    (with_field("cost", float, default=1.0), "ablab calls cost as a method, so cost cannot be"),
    (with_field("check", bool), "ablab calls check as a method, so check cannot be"),
    (with_member("heads", lambda self: 4), "heads is a value; write @property above def heads"),  # noqa: ARG005
    (with_member("cost", lambda self: 4), "write def cost(self, d_model, length)"),  # noqa: ARG005
    (with_member("build_plain", 1), "ablab defines build_plain itself; rename your build_plain"),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_a_mistake_has_one_clear_line(make: Callable[[], type], message: str):
    before = {group: dict(known) for group, known in parts.PARTS.items()}
    with pytest.raises(ValueError, match="on Mine") as caught:
        part("ffn", "mine")(make())
    said = str(caught.value)
    assert said.startswith("@part('ffn', 'mine') on Mine: ")
    assert message in said
    assert "\n" not in said
    assert len(said) <= 300
    assert before == parts.PARTS


def test_class_variables_and_constants_are_no_fields():
    class Mine(Plain):
        SIZES = (1, 2)
        N_PARTS = 3
        scale: ClassVar[int] = 2
        _cache = 4

    derived = derive_part("ffn", "mine", Mine)
    assert [each.name for each in dataclasses.fields(derived)] == ["kind"]


def test_a_slotted_dataclass_becomes_a_part():
    options = dataclass(slots=True)(
        type("Mine", (), {"__annotations__": {"d_ff": int}, "d_ff": 3, "build": Plain.build})
    )
    derived: Any = derive_part("ffn", "mine", options)
    assert (derived().d_ff, derived(d_ff=4).d_ff) == (3, 4)


@pytest.mark.parametrize("kind", ["my part", "2nd", "null", "NaN", "inf", "", "a/b", "a=b"])
def test_a_name_that_no_command_line_can_choose_is_refused(kind: str):
    with pytest.raises(ValueError, match="cannot be the name of an option; begin with a letter"):
        part("ffn", kind)(Plain)


def test_an_unknown_group_is_refused():
    with pytest.raises(ValueError, match="no such group; choose one of attention, ffn, norm"):
        part("gate", "mine")(Plain)


def test_two_modules_cannot_define_one_name():
    for _ in range(2):  # the same line, as when a module is imported again
        part("ffn", "mine")(Plain)
    other = type("Other", (Plain,), {"__module__": "other_plug_in"})
    with pytest.raises(ValueError, match=r"has this kind( in line \d+)? already") as caught:
        part("ffn", "mine")(other)
    assert __name__ in str(caught.value)
    assert "other_plug_in" in str(caught.value)
    with pytest.raises(ValueError, match=r"parts\.ffn has this kind already; .* other_plug_in"):
        part("ffn", "dense")(other)


def test_a_plain_part_is_not_one_of_ours():
    classes = [each for known in parts.PARTS.values() for each in known.values()]
    ours = [each for each in classes if each.__module__.startswith("experiments.")]
    assert len(ours) >= 5
    assert not any(issubclass(each, PlainPart) for each in ours)
