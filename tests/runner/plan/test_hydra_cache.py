"""The cache of compositions returns what Hydra composes, for any overrides."""

import copy
import dataclasses
import pickle
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra._internal import config_loader_impl, defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import OmegaConf

from runner.plan import hydra_cache, hydra_loader
from tests.fuzz.command import run_in_process
from tests.support.composition import compose_config
from tests.support.environment import ROOT

COMMANDS = [
    ("experiment=moe",),
    ("experiment=moe", "scale=smoke", "task=waves", "training.steps=7", '+arms.x=["ffn=dense"]'),
    ("experiment=moe", "scale=smoke", "task=waves", "training.steps=8", "~claims"),
    ("experiment=ffn", "scale=full", "ffn=swiglu", "ffn.d_ff=9", "model={d_model: 8}"),
    ("experiment=head_analysis", "attention=gqa", "tune=lr", "seed=3"),
]
MERGE = "_compose_config_from_defaults_list"


@pytest.fixture
def _empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_DEFAULTS_LISTS", "_MERGED_CONFIGS"):
        monkeypatch.setattr(hydra_cache, name, {})


@pytest.mark.slow
@pytest.mark.usefixtures("_empty_cache")
@pytest.mark.parametrize("change", [False, True])
def test_a_cached_config_equals_a_composed_one(tmp_path: Path, monkeypatch, change: bool):
    hydra_loader.install_checked_loader()
    cached = []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        with monkeypatch.context() as patch:
            patch.delattr(hydra_loader.CheckedLoader, MERGE)
            patch.setattr(
                config_loader_impl, "create_defaults_list", defaults_list.create_defaults_list
            )
            assert getattr(hydra_loader.CheckedLoader, MERGE) is getattr(ConfigLoaderImpl, MERGE)
            composed = [compose_config(tmp_path, command)[0] for command in COMMANDS]
        assert not hydra_cache._MERGED_CONFIGS
        for command in (*COMMANDS, *COMMANDS):
            config, _ = compose_config(tmp_path, command)
            cached.append(copy.deepcopy(config))
            if change:
                config.seed = 99  # the cache keeps its own copy
    assert 0 < len(hydra_cache._MERGED_CONFIGS) < len(COMMANDS)
    for one, two in zip([*composed, *composed], cached, strict=True):
        assert OmegaConf.to_yaml(one) == OmegaConf.to_yaml(two)
        assert list(one) == list(two)


@dataclasses.dataclass
class Settings:
    """Settings of a plug-in, as Hydra finds them in its store."""

    n_jobs: int = 2


def test_the_settings_of_a_plug_in_that_was_loaded_again_are_copied(monkeypatch):
    config = OmegaConf.create({"launcher": OmegaConf.structured(Settings)})
    # Hydra loads plug-ins a second time in the process of a launcher's job.
    again = dataclasses.make_dataclass("Settings", [("n_jobs", int, 2)])
    monkeypatch.setitem(globals(), "Settings", again)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(config)
    copy_config = hydra_cache._make_copier(config)
    config.launcher.n_jobs = 3
    first, second = copy_config(), copy_config()
    assert first == second == {"launcher": {"n_jobs": 2}}
    first.launcher.n_jobs = 4
    assert second.launcher.n_jobs == 2


@pytest.mark.usefixtures("_empty_cache")
def test_a_folder_of_a_user_is_read_each_time(tmp_path: Path):
    file = tmp_path / "mine" / "experiment" / "own.yaml"
    file.parent.mkdir(parents=True)
    steps: list[int] = []
    for number in (3, 4):
        file.write_text(
            "# @package _global_\ndefaults: [moe, _self_]\nexperiment: moe\n"
            f"training: {{steps: {number}}}\n"
        )
        ending = run_in_process(
            [f"--config-dir={tmp_path / 'mine'}", "experiment=own"],
            action=lambda config, _: steps.append(config.training.steps),
        )
        assert ending.code == 0, ending.message
    assert steps == [3, 4]
    assert not hydra_cache._MERGED_CONFIGS
