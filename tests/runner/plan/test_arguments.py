"""What the command line may say; everything here happens before Hydra reads it."""

from pathlib import Path

import pytest

from runner.config import ConfigError
from runner.plan import arguments

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
        arguments.check_arguments(["experiment=moe", text])


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
        arguments.check_arguments([text])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "flag", ["--nonsense", "--config-path=/tmp", "--config-name=other", "--experimental-rerun=x"]
)
def test_flags_that_replace_the_config_are_refused(flag: str):
    with pytest.raises(ConfigError):
        arguments.check_arguments([flag])


def test_values_that_only_some_options_have_are_added_or_changed():
    given = ["experiment=moe", "ffn.n_experts=4,8", "ffn=moe", '+arms.x=["ffn=moe"]', "n_seeds=3"]
    mended = arguments.check_arguments(given)
    assert mended == [
        "experiment=moe",
        "++ffn.n_experts=4,8",
        "ffn=moe",
        '+arms.x=["ffn=moe"]',
        "n_seeds=3",
    ]


def test_a_users_config_folder_has_to_be_there(tmp_path: Path):
    with pytest.raises(ConfigError, match="is not a folder"):
        arguments.check_arguments(["experiment=moe", f"--config-dir={tmp_path / 'absent'}"])


@pytest.mark.parametrize("name", ["[../x]", "[.x]", "[a],[b]"])
def test_plugins_are_modules_named_once(name: str):
    with pytest.raises(ConfigError, match="plugins"):
        arguments.check_arguments(["-m", "experiment=moe", f"plugins={name}"])


@pytest.mark.parametrize("text", ["ffn=null", "experiment=null", "scale=null"])
def test_a_group_needs_an_option(text: str):
    with pytest.raises(ConfigError, match="needs one of its options"):
        arguments.check_arguments(["experiment=moe", text])


def test_a_plugin_that_is_not_there_is_one_clear_line():
    with pytest.raises(ConfigError, match="nowhere cannot be imported"):
        arguments.check_arguments(["experiment=moe", "plugins=[nowhere]"])


def test_a_plugin_that_is_no_list_is_refused_before_it_is_imported(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("imported_too_early.py").write_text("raise SystemExit(3)\n")
    for value in ("imported_too_early", "[[imported_too_early]]", "{a: imported_too_early}"):
        with pytest.raises(ConfigError, match="plugins must be a list of modules"):
            arguments.check_arguments(["experiment=moe", f"plugins={value}"])


@pytest.mark.parametrize(("word", "meant"), [("moe", "experiment=moe"), ("cuda", "device=cuda")])
def test_a_name_alone_is_told_its_key(word: str, meant: str):
    with pytest.raises(ConfigError, match=f"'{word}' is not an override; .* here {meant}$"):
        arguments.check_arguments([word])
