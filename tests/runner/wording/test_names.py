"""Tests of the hint about an unknown name."""

import pytest

from runner.wording.names import did_you_mean, name_hint, similar_names

ARMS = ["relu", "swiglu", "dense"]
MANY = [f"layer_{i:03}/{'x' * 20}" for i in range(20)]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("swigl", ARMS, "did you mean swiglu?"),
        ("glu", ["geglu", "reglu"], "did you mean reglu or geglu?"),
        ("waves", ARMS, "there are: dense, relu, swiglu"),
        ("waves", ["dense"], "there is only dense"),
        ("waves", [], "there are none"),
        ("waves", MANY, f"there are: {', '.join(MANY[:5])} and 15 more"),
        ("GPU", ["auto", "cpu", "cuda"], "did you mean cuda?"),
        ("apple", ["auto", "cpu", "cuda"], "there are: auto, cpu, cuda"),
    ],
)
def test_a_hint_names_similar_names_or_lists_the_known_ones(name, known, hint):
    assert name_hint(name, known) == hint


def test_a_hint_shortens_long_names():
    assert len(did_you_mean(["a" * 500, "b" * 500])) < 200


def test_similar_names_are_sorted_by_similarity():
    assert similar_names("steps", ["stop", "step", "n_steps"]) == ["step", "n_steps", "stop"]
    assert similar_names("MoE", ["moe", "more", "mode"]) == ["moe"]
