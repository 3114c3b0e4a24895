"""No folder of YAML files and no command line runs code, reads the environment or writes elsewhere.

Each case goes through the command itself. Afterwards nothing may have changed but what it printed.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode

import runner.__main__
from runner import registry
from runner.config import ConfigError
from runner.plan import hydra_loader, option_folders
from runner.plan.hydra_sources import USER_PROVIDER
from runner.plan.security import calls_resolver, check_yaml_file, refuse_code, refuse_code_in_values
from runner.wording import names
from runner.wording.output import MAX_CHARACTERS, MAX_LINES

Refused = Callable[..., str]
SMALL = ("scale=smoke", "n_seeds=1", "arm=dense", "task=waves")
GLOBAL = "# @package _global_\n"
MINE = f"{GLOBAL}defaults: [moe]\n"
LOGGING = (
    "version: 1\nroot: {level: INFO, handlers: [f]}\n"
    "handlers: {f: {class: evil.Handler}}\nformatters: {}\n"
)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> Refused:
    """Run a command that must be refused; its message, after it was looked at what it left."""
    evil = "import pathlib\npathlib.Path('ran').touch()\nHandler = C = print\n"
    (tmp_path / "work" / "mine").mkdir(parents=True)
    (tmp_path / "work" / "evil.py").write_text(evil)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.yaml").write_text("question: secret\n")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SECRET", "the secret")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "work"), *sys.path])

    def files() -> dict[str, Path | bytes]:
        return {
            str(path): path.readlink() if path.is_symlink() else path.read_bytes()
            for path in tmp_path.rglob("*")
            if path.is_symlink() or path.is_file()
        }

    def command(*words: str) -> str:
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)  # `main` sets it
        before, environment = files(), dict(os.environ)
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["runner", *words])
        with pytest.raises(SystemExit) as end:
            runner.__main__.main()
        told = capsys.readouterr()
        monkeypatch.delenv("HYDRA_FULL_ERROR")
        assert end.value.code == 2, told
        assert files() == before
        assert not (tmp_path / "work" / "outputs").exists()
        assert "evil" not in sys.modules
        assert os.environ == environment
        assert "the secret" not in told.out + told.err
        lines = told.err.strip().splitlines()
        assert 1 <= len(lines) <= MAX_LINES
        assert all(len(line) <= MAX_CHARACTERS + len("ablab: ") for line in lines), lines
        return told.err

    return command


def write(files: dict[str, str]) -> None:
    """Write a user's folder `mine`; a text that starts with -> is a link."""
    for name, text in files.items():
        path = Path("mine", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)


def loader(folder: Path) -> hydra_loader.CheckedLoader:
    """What loads our options and those of a user's folder."""
    hydra_loader.install_checked_loader()
    Plugins.instance()  # registers where options are loaded from
    path = ConfigSearchPathImpl()
    for provider, place in (
        ("hydra", "pkg://hydra.conf"),
        ("main", f"file://{option_folders.CONF}"),
        (USER_PROVIDER, f"file://{folder}"),
        ("schema", "structured://"),
    ):
        path.append(provider, place)
    return hydra_loader.CheckedLoader(path)


OF_HYDRA = {
    "a package that is turned into hydra's": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{/scale@_global_.hydra.job_logging: p}}]",
        "scale/p.yaml": LOGGING,
    },
    "the environment, by a package": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{/scale@_global_.hydra.job: p}}]",
        "scale/p.yaml": "env_set: {PYTHONPATH: mine}\n",
    },
    "a package in a header": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, /ffn/p]",
        "ffn/p.yaml": "# @package hydra.job_logging\n" + LOGGING,
    },
    "a header that leads back to the root": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, /ffn/p]",
        "ffn/p.yaml": "# @package _global_.hydra.sweep\ndir: elsewhere\n",
    },
    "the key itself": {"experiment/my.yaml": f"{MINE}hydra: {{run: {{dir: ../elsewhere}}}}"},
    "the key, escaped": {"experiment/my.yaml": f'{MINE}"hydr\\x61": {{output_subdir: x}}'},
    "callbacks": {"experiment/my.yaml": f"{MINE}hydra: {{callbacks: {{x: {{a: evil.C}}}}}}"},
    "another launcher": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{override /hydra/launcher: joblib}}]"
    },
    "settings of a launcher": {
        "experiment/my.yaml": f"{MINE}hydra: {{launcher: {{n_jobs: 1000}}}}",
    },
    "what was typed": {
        "experiment/my.yaml": f"{MINE}hydra: {{overrides: {{task: [outputs=../elsewhere]}}}}"
    },
    "the mode": {"experiment/my.yaml": f"{MINE}hydra: {{mode: MULTIRUN}}"},
    "more folders of options": {
        "experiment/my.yaml": f"{MINE}hydra: {{searchpath: ['file://../elsewhere']}}"
    },
    "variables that are copied": {
        "experiment/my.yaml": f"{MINE}hydra: {{job: {{env_copy: [SECRET]}}}}"
    },
    "a file of claims with a header": {
        "experiment/my.yaml": MINE,
        "claims/my.yaml": "# @package hydra.job_logging\n" + LOGGING,
    },
    "a file of figures for the whole": {
        "experiment/my.yaml": MINE,
        "figures/my.yaml": f"{GLOBAL}hydra: {{run: {{dir: ../elsewhere}}}}",
    },
    "an option within the arm of an experiment": {
        "experiment/my.yaml": f"{MINE}arms: {{dense: ['+scale@hydra.job_logging=p']}}",
        "scale/p.yaml": LOGGING,
    },
    "a setting within the arm of an experiment": {
        "experiment/my.yaml": f"{MINE}arms: {{dense: ['hydra.run.dir=../elsewhere']}}",
    },
}


@pytest.mark.some(6)
@pytest.mark.parametrize("case", OF_HYDRA)
def test_no_yaml_makes_hydras_own_settings(refused: Refused, case: str):
    write(OF_HYDRA[case])
    told = refused("--config-dir=mine", "experiment=my", *SMALL)
    assert "hydra" in told.lower() or "my.yaml" in told


OVERRULED = {
    "a default of hydra's": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{override /hydra/job_logging: default}}]"
    },
    "a default of hydra's, in a group of their own": {
        "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{override /hydra/job_logging: p}}]",
        "hydra/job_logging/p.yaml": LOGGING,
    },
}


@pytest.mark.parametrize("case", OVERRULED)
def test_defaults_of_hydra_that_ours_overrule_do_no_harm(refused: Refused, case: str):
    write(OVERRULED[case])
    assert "n_seeds=0" in refused("--config-dir=mine", "experiment=my", "scale=smoke", "n_seeds=0")


CODE = {
    "a class": "x: {_target_: os.system}",
    "a class, escaped": '"x": {"_targ\\x65t_": os.system}',
    "an object of Python": "question: !!python/object/apply:os.system [touch ran]",
    "a module of Python": "question: !!python/module:evil",
    "a variable": "question: ${oc.env:SECRET}",
    "a variable, spaced": "question: '${ oc.env : SECRET }'",
    "a variable, its function named elsewhere": """question: oc.env
duration: '${${question}:SECRET}'""",
    "a variable, in a list": "not_tested: ['${oc.env:SECRET}']",
    "a variable, in a key": "arms: {'${oc.env:SECRET}': []}",
    "a variable, decoded": "question: ${oc.decode:'${oc.env:SECRET}'}",
    "the time": "question: ${now:%Y}",
    "hydra's own": "question: ${hydra:runtime.cwd}",
    "a variable of an arm": "arms: {dense: ['question=${oc.env:SECRET}']}",
    "a plug-in": "plugins: [evil]",
    "another folder for outputs": "outputs: ../elsewhere",
    "a figure elsewhere": (
        "figures: {../../evil: {kind: curve, metric: val/loss, title: t, caption: c, x_label: a, "
        "y_label: b}}"
    ),
    "a claim elsewhere": "claims: {../evil: {statement: s, kind: difference}}",
    "an arm elsewhere": "arms: {../evil: [ffn=dense]}",
    "an arm with a NUL": 'arms: {"a\\0b": [ffn=dense]}',
    "an option elsewhere": "defaults: [moe, ../../elsewhere/secret]",
    "an option elsewhere, absolutely": "defaults: [moe, /../../elsewhere/secret]",
    "an option with an extension": "defaults: [moe.yaml]",
}


@pytest.mark.some(8)
@pytest.mark.parametrize("case", CODE)
def test_no_yaml_runs_code_or_reaches_elsewhere(refused: Refused, case: str):
    text = CODE[case]
    write({"experiment/my.yaml": (GLOBAL if "defaults" in text else MINE) + text + "\n"})
    refused("--config-dir=mine", "experiment=my", *SMALL)


@pytest.mark.some(3)
@pytest.mark.parametrize("key", ["claims", "figures"])
@pytest.mark.parametrize(
    "text",
    [
        "x: {_target_: os.system}",
        "x: '${oc.env:SECRET}'",
        "x: !!python/object/apply:os.system [touch ran]",
        f"{GLOBAL}outputs: ../elsewhere",
        f"{GLOBAL}plugins: [evil]",
        "../evil: {kind: curve, statement: s}",
    ],
)
def test_files_of_claims_and_figures_are_checked_too(refused: Refused, key: str, text: str):
    write({"experiment/my.yaml": MINE, f"{key}/my.yaml": text + "\n"})
    refused("--config-dir=mine", "experiment=my", *SMALL)


@pytest.mark.parametrize(
    "files",
    [
        {"experiment": "->../../elsewhere"},
        {"experiment/secret.yaml": "->../../../elsewhere/secret.yaml"},
        {
            "experiment/secret.yaml": MINE,
            "claims/secret.yaml": "->../../../elsewhere/secret.yaml",
        },
    ],
    ids=["a folder", "a file", "claims"],
)
def test_no_link_leads_out_of_a_users_folder(refused: Refused, files: dict[str, str]):
    write(files)
    assert "leads out" in refused("--config-dir=mine", "experiment=secret", *SMALL)


def test_a_users_folder_may_itself_be_a_link(tmp_path: Path, refused: Refused):
    write({"experiment/my.yaml": f"{MINE}n_seeds: 0\n"})
    (tmp_path / "work" / "link").symlink_to("mine")
    assert "n_seeds=0" in refused("--config-dir=link", "experiment=my", "scale=smoke")


def test_an_option_of_an_arm_cannot_change_the_experiment(refused: Refused):
    """Its file may be merged at the root; what it says of the experiment led to files outside."""
    write(
        {
            "experiment/my.yaml": f"{MINE}arms: {{dense: [ffn=p]}}",
            "ffn/p.yaml": f"{GLOBAL}experiment: ../../../elsewhere/secret\nffn: {{kind: dense}}\n",
        }
    )
    message = refused("--config-dir=mine", "experiment=my", *SMALL)
    assert "ffn.d_ff has no value" in message
    assert "correct it in mine/ffn/p.yaml" in message


@pytest.mark.usefixtures("refused")
def test_links_to_folders_are_no_groups(monkeypatch: pytest.MonkeyPatch, capsys):
    write({"ffn/x.yaml": "kind: dense\n", "ffn/l": "->.", "far": "->/usr"})
    monkeypatch.setattr(sys, "argv", ["runner", "--config-dir=mine", "--help"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        runner.__main__.main()
    assert not end.value.code
    assert "x" in capsys.readouterr().out


def test_hydras_own_help_works_beside_a_users_folder(tmp_path: Path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "my.yaml").write_text(MINE)
    loaded = loader(tmp_path).load_configuration(None, [], RunMode.RUN)
    assert "hydra" in loaded


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/thread-self/environ", "/dev/zero"])
def test_no_text_is_read_where_the_system_shows_itself(refused: Refused, path: str):
    write(
        {
            "experiment/my.yaml": f"{GLOBAL}defaults: [moe, {{override /task: text}}, _self_]\n"
            f"task: {{path: {path}}}\narm: [dense]\n"
        }
    )
    assert "operating system, which is not read" in refused(
        "--config-dir=mine", "experiment=my", "scale=smoke"
    )


ANCHORS = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10))
NO_HEADER = ("no mapping", "itself as a default", "a byte order mark")
BOMBS = {
    "anchors of anchors": f"a0: &a0 [x]\n{ANCHORS}\n",
    "an anchor that holds itself": "a: &a [*a]\n",
    "a key that holds itself": "&a {*a : 1}\n",
    "depth": "a: " + "[" * 5000 + "]" * 5000,
    "depth of mappings": "a: " + "{a: " * 900 + "1" + "}" * 900,
    "a long number": "n_seeds: " + "9" * 5000,
    "size": "question: " + "x" * 2**21,
    "many keys": "figures:\n" + "".join(f"  k{i}: 1\n" for i in range(20_000)),
    "interpolations of interpolations": "figures:\n  a0: xxx\n"
    + "".join(f"  a{i}: '${{figures.a{i - 1}}}${{figures.a{i - 1}}}'\n" for i in range(1, 40)),
    "lists of interpolations": "figures:\n  a0: xxx\n"
    + "".join(f"  a{i}: ['${{.a{i - 1}}}', '${{.a{i - 1}}}']\n" for i in range(1, 40)),
    "interpolations within interpolations": "question: " + "${" * 30 + "seed" + "}" * 30,
    "a byte order mark": "\ufeffseed: 1\n",
    "itself as a default": "# @package _global_\ndefaults: [moe, my]\n",
    "a key twice": "seed: 1\nseed: 2\n",
    "no mapping": "just text\n",
    "bytes": "question: \udcff\udcfe\n",
    "a tab": "\tseed: 1\n",
}


@pytest.mark.some(8)
@pytest.mark.parametrize("case", BOMBS)
def test_no_yaml_takes_long_to_refuse(refused: Refused, case: str):
    Path("mine/experiment").mkdir()
    text = ("" if case in NO_HEADER else MINE) + BOMBS[case]
    Path("mine/experiment/my.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    told = refused("--config-dir=mine", "experiment=my", *SMALL)
    assert "my.yaml" in told or "interpolation" in case


def test_defaults_that_double_end(refused: Refused):
    files = {f"experiment/d{i}.yaml": f"{GLOBAL}defaults: [d{i + 1}, d{i + 1}]" for i in range(20)}
    write(files | {"experiment/d20.yaml": GLOBAL, "experiment/my.yaml": f"{GLOBAL}defaults: [d0]"})
    assert "500 options" in refused("--config-dir=mine", "experiment=my", *SMALL)


@pytest.mark.parametrize("place", ["experiment/my.yaml", "ffn/my.yaml"])
def test_a_pipe_is_not_waited_for(refused: Refused, place: str):
    write({"experiment/other.yaml": MINE})
    Path("mine", place).parent.mkdir(exist_ok=True)
    os.mkfifo(Path("mine", place))
    refused("--config-dir=mine", "experiment=my", "ffn=my", *SMALL)


def test_a_file_that_is_not_used_does_no_harm(refused: Refused):
    write({"ffn/bomb.yaml": BOMBS["anchors of anchors"]})
    assert "n_seeds=0" in refused("--config-dir=mine", "experiment=moe", "n_seeds=0")


@pytest.mark.some(8)
@pytest.mark.parametrize(
    "words",
    [
        ("+scale@hydra.job_logging=quick",),
        ("+scale@_global_.hydra.job=quick",),
        ("hydra.job.env_set={A: b}",),
        ("+hydra.callbacks.x._target_=evil.C",),
        ("hydra.run.dir=../elsewhere",),
        ("hydra/job_logging=default",),
        ("+hydra/launcher@hydra.callbacks.x=basic",),
        ("+hydra/help@hydra.job.env_set=default",),
        ("+hydra.launcher._convert_=all",),
        ("-m", "hydra.sweep.dir=../elsewhere"),
        ("-m", "n_seeds=0,-1"),
        ("ffn=../task/waves",),
        ("ffn=/../../elsewhere/secret",),
        ("experiment=moe.yaml",),
        ("experiment=moe/../ffn",),
        ("question=${oc.env:SECRET}",),
        ("question='${oc.env:SECRET}'",),
        ("question=${oc.${x}:SECRET}",),
        ("+figures.../evil={kind: curve}",),
        ("plugins=[../evil]",),
        ("--config-path=mine",),
        ("--config-name=mine",),
        ("--experimental-rerun=mine",),
    ],
    ids=" ".join,
)
def test_the_command_line_makes_few_settings_of_hydra(refused: Refused, words: tuple[str, ...]):
    chosen = () if any(word.startswith("experiment=") for word in words) else ("experiment=moe",)
    refused(*chosen, *words)


def test_what_the_shipped_experiments_set_is_allowed(tmp_path: Path):
    """The comparison, which is left out where all files are ours, would hold for each of them."""
    loaded = loader(tmp_path)
    for experiment in registry.experiment_names():
        loaded.load_configuration("config", [f"experiment={experiment}"], RunMode.RUN)
    assert len(loaded._settings_cache) == 1


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("${a.b}", False),
        ("${.a}: text", False),
        ("a: ${b}", False),
        ("$\\frac{a}{b}$: text", False),
        ("${a:b}", True),
        ("${${a}:b}", True),
        ("${a.${b:c}}", True),
        ("x ${ oc.env : HOME } y", True),
    ],
)
def test_resolvers_are_told_from_keys(text: str, calls: bool):
    assert calls_resolver(text) is calls


def test_shipped_files_pass_the_check():
    for path in option_folders.CONF.rglob("*.yaml"):
        if path.name != "config.yaml":  # has the folder of a sweep, with its time
            check_yaml_file(path)


def test_the_rule_for_names_says_what_it_allows():
    for name in ("a", "1a", "_a", "a.b-c_", "a" * 80):
        names.check_file_name("arm", name)
    for name in ("", "-a", ".a", "a.", "a/b", "a" * 81):
        with pytest.raises(ConfigError, match=r"does not start with a dot or dash.*end with a dot"):
            names.check_file_name("arm", name)


HARMLESS = ["data/my_target_files/*.md", "my_target_", "Is _target_ x?"]


def test_target_is_refused_as_a_key_alone(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    for value in HARMLESS:
        refuse_code_in_values({"path": [value]})
        path.write_text(f"question: '{value}'\n")
        check_yaml_file(path)
    for text in [f"task.path={HARMLESS[0]}", "+my_target_=x"]:
        refuse_code(text)
    for text in ["+_target_=x", "ffn._target_=x", "+a={_target_: x}", '+a={"_target_":x}']:
        with pytest.raises(ConfigError, match="_target_ is not allowed"):
            refuse_code(text)
    for key in ["_target_", "'_target_'", '"\\x5ftarget_"', "? !!str _target_\n  "]:
        path.write_text(f"a: {{b: 1}}\nc:\n  {key}: x\n")
        with pytest.raises(ConfigError, match="_target_ is not allowed"):
            check_yaml_file(path)
    with pytest.raises(ConfigError, match="_target_ is not allowed"):
        refuse_code_in_values([{"a": {"_target_": 1}}])
