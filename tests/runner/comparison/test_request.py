"""The checks of `runner.compare`'s arguments: each is one clear line, and nothing is written."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import runner
from runner.comparison.request import OWN_KEYS, read_request


class Mine(nn.Module):
    def __init__(self, d_model: int, hidden: int = 24) -> None:
        super().__init__()
        self.up = nn.Linear(d_model, hidden)


class NeedsMore(nn.Module):
    def __init__(self, d_model: int, n_heads: int, *, bias: bool) -> None:  # noqa: ARG002
        super().__init__()


class Other:
    def __init__(self, d_model: int) -> None: ...


def without_size() -> nn.Module:
    return nn.Identity()


RELU = {"relu": "ffn=relu", "gelu": "ffn=gelu"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"arms": ["ffn=relu"]}, "arms is ['ffn=relu']; give a dictionary from names to arms"),
    ({"arms": {}}, "arms is empty; give two arms or more, to compare them"),
    ({"arms": {"relu": "ffn=relu"}}, "arms has only 'relu'; give two arms or more"),
    ({"arms": {**RELU, "a/b": "ffn=glu"}}, "the arm 'a/b': a name has at most 80 characters"),
    ({"arms": {**RELU, "..": "ffn=glu"}}, "the arm '..': a name has at most 80 characters"),
    ({"arms": {**RELU, 3: "ffn=glu"}}, "the arm 3 has a name that is not a text"),
    ({"arms": {**RELU, "3": "ffn=glu"}}, "the arm '3' has a name that reads as a number"),
    ({"arms": {**RELU, "null": "ffn=glu"}}, "the arm 'null' has a name that reads as"),
    ({"arms": {**RELU, "ReLU": "ffn=glu"}}, "differ in upper case only"),
    ({"arms": {**RELU, "mine": 3}}, "the arm mine is 3; give an option such as 'ffn=relu'"),
    ({"arms": {**RELU, "mine": None}}, "the arm mine is None; give an option"),
    ({"arms": {**RELU, "mine": "ffn"}}, "'ffn' is not an override; write key=value"),
    ({"arms": {**RELU, "mine": "ffn=rleu"}}, "ffn=rleu: there is no such option; did you mean"),
    ({"arms": {**RELU, "mine": [Mine, Other]}}, "the arm mine has 2 classes or factories"),
    (
        {"arms": {**RELU, "mine": ["ffn=glu", Mine]}},
        "the arm mine has Mine and ffn=glu, and an arm has one ffn; keep one of them, or make",
    ),
    ({"arms": {**RELU, "mine": (Mine, "ffn=glu")}}, "the arm mine has Mine and ffn=glu, and an"),
    ({"arms": {**RELU, "mine": ["ffn=glu", "ffn=relu"]}}, "has ffn=glu and ffn=relu, and an"),
    ({"arms": {**RELU, "mine": ["norm=pre", Mine, "norm=post"]}}, "has norm=pre and norm=post,"),
    ({"arms": {**RELU, "mine": NeedsMore}}, "NeedsMore needs more than d_model: n_heads, bias"),
    ({"arms": {**RELU, "mine": Other}}, "the class Other is not a torch.nn.Module"),
    ({"arms": {**RELU, "mine": nn.Identity()}}, "is a module that exists already"),
    ({"arms": {**RELU, "mine": lambda _: nn.Identity()}}, "the arm mine is a lambda"),
    ({"arms": {**RELU, "mine": without_size}}, "without_size takes no argument in first place"),
    ({"group": "fnn"}, "group='fnn': there is no such group; did you mean ffn?"),
    ({"group": None}, "group=None: give a name, one of attention, ffn, model, norm"),
    ({"task": "wave"}, "task='wave': there is no such task; did you mean waves?"),
    ({"experiment": "mo"}, "experiment='mo': there is no such experiment; did you mean moe?"),
    ({"baseline": "glu"}, "baseline='glu': there is no such baseline; did you mean"),
    ({"match": "parms"}, "match='parms': there is no such match; did you mean"),
    ({"scale": "fast"}, "scale='fast': there is no such scale"),
    ({"n_seeds": 0}, "n_seeds=0: give a whole number from 1"),
    ({"n_seeds": 1.5}, "n_seeds=1.5: give a whole number from 1"),
    ({"n_seeds": True}, "n_seeds=True: give a whole number from 1"),
    ({"outputs": ""}, "outputs='': give the path of a folder"),
    ({"overrides": "training.steps=3"}, "overrides='training.steps=3': give a list of texts"),
    ({"overrides": ["--multirun"]}, "--multirun is a flag of the command line"),
    ({"overrides": ["seed=0,1"]}, "seed=0,1 has several values; compare takes one study"),
    ({"overrides": ["n_seeds=3"]}, "n_seeds=3: use the argument n_seeds of compare"),
    ({"overrides": ["arms.x=[]"]}, "use the argument arms of compare"),
    ({"overrides": ["match={by:params}"]}, "use the argument match of compare"),
    ({"overrides": ["++match={by:params,to:gelu}"]}, "use the argument match of compare"),
    ({"overrides": ["trainin.steps=3"]}, "trainin.steps: there is no such key; did you mean"),
    ({"overrides": ["training.steps=3.5"]}, "training.steps"),
    ({"overrides": ["hydra.run.dir=x"]}, "Hydra's own settings cannot be changed"),
    ({"overrides": ["plugins=[no_such_plugin]"]}, "no_such_plugin cannot be imported"),
    ({"group": "model", "arms": {"a": Mine, "b": Mine}, "task": "waves"}, "waves has real numbers"),
    (
        {"group": "model", "arms": {"a": Mine, "b": Mine}, "overrides": ["model.d_model=3"]},
        "model.d_model=3 has no effect on whole models",
    ),
]


@pytest.mark.parametrize(("changed", "message"), BAD, ids=[text[:40] for _, text in BAD])
def test_bad_arguments_are_one_clear_line(
    changed: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    call: dict[str, Any] = {"arms": RELU, "group": "ffn", "task": "domains", **changed}
    with pytest.raises(runner.ConfigError) as caught:
        runner.compare(call.pop("arms"), **call)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out in ("", "preparing the arms and their data\n")


def test_no_override_sets_what_an_argument_sets() -> None:
    arguments = {*inspect.signature(runner.compare).parameters} - {"group", "overrides"}
    assert {*OWN_KEYS.values()} == arguments
    for name in arguments:
        with pytest.raises(runner.ConfigError, match=f"use the argument {name} of compare"):
            read_request(
                RELU,
                group="ffn",
                task="waves",
                experiment=None,
                baseline=None,
                match="none",
                n_seeds=1,
                scale="smoke",
                outputs="outputs",
                overrides=[f"{name}={{a:1}}"],
            )


def test_a_local_class_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Local(Mine):
        pass

    with pytest.raises(runner.ConfigError, match="Local is defined inside a function"):
        runner.compare({**RELU, "mine": Local}, group="ffn", task="waves")
