"""What the tests remember of Hydra's work is what Hydra makes, whatever is typed."""

import copy
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from runner.plan import hydra_loader
from tests.support import hydra_cache
from tests.support.composition import compose_config
from tests.support.environment import ROOT

TYPED = [
    ("experiment=moe",),
    ("experiment=moe", "scale=smoke", "task=waves", "training.steps=7", '+arms.x=["ffn=dense"]'),
    ("experiment=moe", "scale=smoke", "task=waves", "training.steps=8", "~claims"),
    ("experiment=ffn", "scale=full", "ffn=swiglu", "ffn.d_ff=9", "model={d_model: 8}"),
    ("experiment=head_analysis", "attention=gqa", "tune=lr", "seed=3"),
]


@pytest.mark.slow
@pytest.mark.parametrize("around", [False, True])
def test_composed_once_is_as_composed_anew(tmp_path: Path, monkeypatch, around: bool):
    for name in ("DEFAULTS_LISTS", "CONFIGS"):
        monkeypatch.setattr(hydra_cache, name, {})
    hydra_loader.install_checked_loader()
    found = []
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        honest = [compose_config(tmp_path, typed)[0] for typed in TYPED]
        with hydra_cache.cached_hydra():
            for typed in (*TYPED, *TYPED):
                config, _ = compose_config(tmp_path, typed)
                found.append(copy.deepcopy(config))
                if around:
                    config.seed = 99  # what becomes of a config is not remembered
    assert len(hydra_cache.CONFIGS) < len(TYPED)
    for one, two in zip([*honest, *honest], found, strict=True):
        assert OmegaConf.to_yaml(one) == OmegaConf.to_yaml(two)
        assert list(one) == list(two)
