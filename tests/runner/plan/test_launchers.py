"""Presets of launchers: they compose, with a fake plug-in where the real one is absent."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from runner.config import ConfigError, DeviceName
from runner.plan import arguments, launchers
from runner.plan.error_messages import explain
from runner.plan.hydra_loader import CheckedLoader
from tests.support.environment import ROOT

PRESETS = sorted((ROOT / "conf" / "hydra" / "launcher").glob("*.yaml"))
SUBMITIT = {"submitit_folder": "", "timeout_min": 60, "gpus_per_node": None}
SLURM = dict.fromkeys(
    ("partition", "cpus_per_task", "mem_gb", "signal_delay_s", "max_num_timeout"), 0
) | {"array_parallelism": 256, "additional_parameters": {}}
PLUGINS: dict[str, Any] = {
    "joblib": {"n_jobs": -1},
    "submitit_local": SUBMITIT,
    "submitit_slurm": SUBMITIT | SLURM,
    "ray": {"ray": {"init": {"address": None}, "remote": {}}},
}
"""The fields of the plug-ins' options that the presets may set."""


@pytest.fixture
def _plugins() -> Iterator[None]:
    """Store a fake option for each plug-in that is not installed."""
    Plugins.instance()
    options = ConfigStore.instance().repo["hydra"]["launcher"]
    absent = [name for name in PLUGINS if f"{name}.yaml" not in options]
    for name in absent:
        node = {"_target_": f"hydra_plugins.{name}", **PLUGINS[name]}
        ConfigStore.instance().store(name, node, group="hydra/launcher")
    yield
    for name in absent:
        del options[f"{name}.yaml"]


def compose(*texts: str) -> Any:
    loader = GlobalHydra.instance().config_loader()
    assert isinstance(loader, CheckedLoader)
    return loader.load_configuration("config", ["experiment=moe", *texts], RunMode.MULTIRUN)


def test_each_preset_has_a_file_and_an_engine():
    assert {path.stem for path in PRESETS} == set(launchers.PRESETS)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
@pytest.mark.usefixtures("_plugins", "hydra")
def test_a_preset_extends_the_option_of_its_plug_in(path: Path):
    base, own = yaml.safe_load(path.read_text())["defaults"]
    assert own == "_self_"
    engine = launchers.engine_of(path.stem)
    assert engine is not None
    assert engine is launchers.engine_of(base)
    settings = compose(f"hydra/launcher={path.stem}").hydra.launcher
    assert "_target_" in settings
    written = {k: v for k, v in yaml.safe_load(path.read_text()).items() if k != "defaults"}
    composed = OmegaConf.to_container(settings, resolve=False)
    assert OmegaConf.merge(composed, written) == composed
    header = path.read_text().partition("\n" + "defaults")[0].splitlines()
    assert f"hydra/launcher={path.stem}" in header[1]


@pytest.mark.usefixtures("_plugins", "hydra")
def test_the_settings_of_a_preset_can_be_typed():
    typed = ["hydra/launcher=slurm", "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=9"]
    config = compose(*arguments.check_arguments(["-m", *typed[1:]])[1:], typed[0])
    assert (config.hydra.launcher.partition, config.hydra.launcher.timeout_min) == ("gpu", 9)
    folder = OmegaConf.to_container(config.hydra.launcher)["submitit_folder"]
    assert folder == "${hydra.sweep.dir}/jobs/%j"
    cluster = compose("hydra/launcher=ray_cluster", "hydra.launcher.ray.init.address=a:1")
    init = cluster.hydra.launcher.ray.init
    assert (init.address, init.object_store_memory) == ("a:1", None)


@pytest.mark.usefixtures("_plugins", "hydra")
def test_only_launchers_that_write_no_logs_get_a_temporary_folder():
    for name in launchers.PRESETS:
        folder = compose(f"hydra/launcher={name}").hydra.sweep.dir
        assert ("ablab-sweep-" in folder) == (name == "processes"), name


def refusal(monkeypatch: pytest.MonkeyPatch, value: str, *, installed: bool = True) -> str:
    monkeypatch.setattr(launchers, "is_installed", lambda _: installed)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        arguments.check_arguments(["-m", "experiment=moe", f"hydra/launcher={value}"])
    return str(caught.value)


@pytest.mark.parametrize("name", launchers.PRESETS | launchers.PLUGIN_OPTIONS)
def test_an_absent_plug_in_names_the_command_that_installs_it(monkeypatch, name: str):
    engine = launchers.engine_of(name)
    assert engine is not None
    assert refusal(monkeypatch, name, installed=False) == (
        f"hydra/launcher={name} is not installed; in the checkout of ablab type "
        f"pip install -c constraints.txt -e '.[{engine.extra}]'"
    )


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("slurmm", "did you mean slurm"),
        ("quark", "there are: basic, processes, ray_cluster, ray_local, slurm, slurm_local"),
        ("[slurm]", "give one launcher of basic, processes"),
        ("null", "hydra/launcher=null: give one launcher of basic, processes"),
        ("slurm", "this machine has no Slurm (no command srun)"),
        ("submitit_slurm", "use hydra/launcher=slurm_local"),
    ],
)
def test_a_launcher_that_cannot_be_is_refused_in_one_line(monkeypatch, value: str, words: str):
    said = refusal(monkeypatch, value)
    assert words in said
    assert said.startswith("hydra/launcher=")
    assert len(said.splitlines()) == 1


def test_the_launchers_of_other_plug_ins_of_hydra_are_allowed(monkeypatch):
    monkeypatch.setattr(launchers, "installed_options", lambda: {"basic", "rq"})
    arguments.check_arguments(["-m", "experiment=moe", "hydra/launcher=rq"])
    assert launchers.engine_of("rq") is launchers.engine_of("basic") is None


def test_installed_options_are_those_that_hydra_has_found():
    assert "basic" in launchers.installed_options()


def test_a_launcher_without_a_sweep_is_refused():
    for text in ("hydra/launcher=basic", "hydra.launcher.partition=gpu"):
        with pytest.raises(ConfigError, match="it needs -m"):
            arguments.check_arguments(["experiment=moe", text])
        arguments.check_arguments(["experiment=moe", text, "--cfg=hydra"])


def test_a_missing_m_is_said_before_a_missing_plug_in(monkeypatch):
    monkeypatch.setattr(launchers, "is_installed", lambda _: False)
    with pytest.raises(ConfigError, match="it needs -m"):
        arguments.check_arguments(["experiment=moe", "hydra/launcher=processes"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("launcher=processes", "hydra/launcher"),
        ("launcher.n_jobs=2", "hydra.launcher.n_jobs"),
        ("sweeper=basic", "hydra/sweeper"),
    ],
)
def test_a_launcher_without_its_prefix_is_named_with_it(typed: str, meant: str):
    with pytest.raises(ConfigError, match=re.escape(f"did you mean {meant}?")):
        arguments.check_arguments(["-m", "experiment=moe", "seed=0,1", typed])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hydra.launcher.n_jobs=0", "n_jobs must not be 0"),
        ("hydra.launcher.n_jobs=x", "n_jobs must be a number"),
        ("hydra.launcher.timeout_min=0", "timeout_min must be at least 1"),
        ("hydra.launcher.ray.remote.num_gpus=-1", "num_gpus must be at least 0"),
        ("hydra.launcher.mem_gb=true", "mem_gb must be a number"),
        ("+hydra.launcher.partition=gpu", "remove the plus: hydra.launcher.partition=gpu"),
    ],
)
def test_a_bad_setting_of_a_launcher_is_named(text: str, words: str):
    with pytest.raises(ConfigError, match=words):
        arguments.check_arguments(["-m", "experiment=moe", text])


@pytest.mark.parametrize(
    "text",
    [
        *("hydra.launcher.n_jobs=-1", "hydra.launcher.mem_gb=0.5e1", "hydra.launcher.mem_gb=null"),
        "+hydra.launcher.additional_parameters.reservation=mine",
    ],
)
def test_good_settings_of_a_launcher_pass(text: str):
    assert arguments.check_arguments(["-m", "experiment=moe", text])[-1] == text


@pytest.mark.usefixtures("hydra")
def test_a_setting_that_the_chosen_launcher_lacks_names_the_way_out():
    with pytest.raises(Exception, match="n_jobs") as caught:
        compose("hydra.launcher.n_jobs=2")
    message, code = explain(caught.value)
    assert "hydra.launcher.n_jobs: the chosen launcher has no such key; choose another" in message
    assert code == 2


@pytest.mark.parametrize(
    ("launcher", "is_elsewhere"),
    [("slurm", True), ("ray_cluster", True), ("processes", False), ("slurm_local", False)],
)
def test_a_login_node_plans_for_the_gpus_of_its_jobs(monkeypatch, launcher: str, is_elsewhere):
    monkeypatch.setattr("runner.device.may_have_cuda", lambda: False)
    cuda, auto = SimpleNamespace(name=DeviceName.cuda), SimpleNamespace(name=DeviceName.auto)
    overrides = ["hydra.launcher.x=1", f"hydra/launcher={launcher}"]
    with launchers.planning_for_jobs(overrides):
        assert launchers.resolve_device(auto) is DeviceName.cpu  # type: ignore[arg-type]
        if is_elsewhere:
            assert launchers.resolve_device(cuda) is DeviceName.cuda  # type: ignore[arg-type]
        else:
            with pytest.raises(ConfigError, match="there is none on this machine"):
                launchers.resolve_device(cuda)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is none on this machine"):
        launchers.resolve_device(cuda)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "expected"), [("", 8), ("3", 3), ("99", 8), ("0", 8), ("x", 8)])
def test_a_job_uses_its_share_of_the_cores(monkeypatch, share: str, expected: int):
    monkeypatch.setattr("runner.device.cores", lambda: 8)
    monkeypatch.setenv(launchers.CORES, share)
    assert launchers.job_cores() == expected
