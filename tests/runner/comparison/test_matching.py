"""The widths that `runner.compare` sets so that arms cost the same."""

from pathlib import Path

import pytest
import torch
from torch import nn

import runner
from runner.comparison.command import list_overrides
from runner.comparison.parts import generate_parts
from runner.comparison.request import read_request


class Model(nn.Module):
    """A language model whose parameters depend on its width."""

    def __init__(self, vocabulary: int, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(tokens))


class Fixed(Model):
    def __init__(self, vocabulary: int) -> None:
        super().__init__(vocabulary, 32)


TRANSFORMER = "language_model=transformer"


def arms_of(arms: dict[str, object], *overrides: str, group: str = "model") -> str:
    """Return the override that has the arms of a call with match="params"."""
    request = read_request(
        arms,
        group=group,
        task="domains",
        experiment=None,
        baseline=None,
        match="params",
        n_seeds=1,
        scale="smoke",
        outputs="outputs",
        overrides=overrides,
    )
    parts = generate_parts(request.arms, group, ())
    (text,) = [each for each in list_overrides(request, parts) if each.startswith("++arms=")]
    return text.replace("\\", "").replace("'", "").replace('"', "")


def test_each_arm_of_whole_models_has_a_width_of_its_own() -> None:
    text = arms_of({"ours": TRANSFORMER, "none": "training.steps=3", "mine": Model, "rigid": Fixed})
    assert f"ours:[{TRANSFORMER},match.solve=language_model.d_ff]" in text
    assert "none:[training.steps=3,match.solve=language_model.d_ff]" in text
    assert "match.solve=language_model.width]" in text
    assert "match.by=none]" in text


def test_a_width_that_the_user_chooses_is_kept() -> None:
    arms = {"ours": [TRANSFORMER, "match.solve=language_model.n_layers"], "mine": Model}
    assert "language_model.d_ff" not in arms_of(arms)
    arms = {"ours": TRANSFORMER, "mine": Model}
    assert "match.solve" not in arms_of(arms, "match.solve=language_model.width")


def test_options_of_other_groups_keep_the_width_of_the_experiment() -> None:
    assert "match" not in arms_of({"pre": "norm=pre", "post": "norm=post"}, group="norm")


@pytest.mark.slow
@pytest.mark.parametrize("baseline", ["ours", "mine"])
def test_whole_models_are_matched_in_both_directions(
    baseline: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    # As a baseline it has more parameters than a Transformer of the narrowest d_ff.
    mine = Model if baseline == "ours" else [Model, "language_model.width=200"]
    runner.compare(
        {"ours": TRANSFORMER, "mine": mine},
        group="model",
        task="domains",
        match="params",
        baseline=baseline,
        scale="smoke",
        n_seeds=1,
        overrides=["plan=only"],
    )
    output = capsys.readouterr().out
    assert "plan of compare at scale=smoke" in output
    key, other = ("width", "mine") if baseline == "ours" else ("d_ff", "ours")
    assert f"matched: language_model.{key}=" in output
    assert f"(as {baseline} in params): {other}" in output
