"""What the command line may say; everything here happens before Hydra reads it."""

from pathlib import Path

import pytest

from runner import arguments
from runner.config import ConfigError

HOSTILE = [
    "+_target_=os.system",
    "+x={_target_:os.system}",
    "+arms.x=['ffn._target_=builtins.exec']",
    "ffn._target_=subprocess.Popen",
    "hydra.callbacks.x._target_=os.system",
    "hydra/callbacks=x",
    "hydra.job_logging.handlers.x.class=os.system",
    "hydra/job_logging=colorlog",
    "hydra.run.dir=/tmp/elsewhere",
    "+hydra.callbacks.log._target_=x",
    "question=${oc.env:HOME}",
    "question=${oc.env:PATH,x}",
    "outputs=${oc.decode:'x'}",
    "hydra.output_subdir=x",
    "hydra.searchpath=[file:///tmp]",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_code_and_resolvers_are_refused(text: str):
    with pytest.raises(ConfigError):
        arguments.check(["experiment=moe", text])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("anything=1", "anything: there is no such key"),
        ("+anything=1", "anything: there is no such key"),
        ("n_sedes=3", "did you mean n_seeds"),
        ("ffn.tok_k=2", "did you mean top_k"),
        ("=3", "there is no such key"),
        ("experiment moe", "is not an override"),
    ],
)
def test_unknown_keys_are_one_clear_line(text: str, said: str):
    with pytest.raises(ConfigError, match=said) as caught:
        arguments.check([text])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("flag", ["--nonsense", "--config-path=/tmp", "--config-name=other"])
def test_flags_that_replace_the_config_are_refused(flag: str):
    with pytest.raises(ConfigError):
        arguments.check([flag])


def test_values_that_only_some_options_have_are_added_or_changed():
    given = ["experiment=moe", "ffn.n_experts=4,8", "ffn=moe", '+arms.x=["ffn=moe"]', "n_seeds=3"]
    mended = arguments.check(given)
    assert mended == [
        "experiment=moe",
        "++ffn.n_experts=4,8",
        "ffn=moe",
        '+arms.x=["ffn=moe"]',
        "n_seeds=3",
    ]


def test_a_users_config_folder_is_scanned(tmp_path: Path):
    (tmp_path / "ffn").mkdir()
    good = tmp_path / "ffn" / "mine.yaml"
    good.write_text("kind: dense\nd_ff: 3\n")
    arguments.check(["experiment=moe", f"--config-dir={tmp_path}"])
    good.write_text("_target_: os.system\n")
    with pytest.raises(ConfigError, match="_target_"):
        arguments.check(["experiment=moe", f"--config-dir={tmp_path}"])
    good.write_text("# @package _global_\nhydra:\n  callbacks: {}\n")
    with pytest.raises(ConfigError, match="Hydra's own settings"):
        arguments.check(["experiment=moe", f"--config-dir={tmp_path}"])
    with pytest.raises(ConfigError, match="is not a folder"):
        arguments.check(["experiment=moe", f"--config-dir={tmp_path / 'absent'}"])


def test_a_plugin_that_is_not_there_is_one_clear_line():
    with pytest.raises(ConfigError, match="nowhere cannot be imported"):
        arguments.check(["experiment=moe", "plugins=[nowhere]"])
