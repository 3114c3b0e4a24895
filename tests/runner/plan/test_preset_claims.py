"""The claims that we ship: readable, decidable with their seeds, about arms that are computed."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runner.claims.claim import Tested
from runner.claims.kinds import read_claim
from runner.claims.rig import reachable

CONF = Path(__file__).parents[3] / "conf"
PRESETS = sorted((CONF / "preset").glob("*.yaml"))


def load(path):
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def arms_of(claim):
    """Every arm that a claim asks about."""
    named = set(claim.compared)
    pairs = (getattr(claim, part, None) for part in ("aa", "positive_control"))
    for pair in filter(None, pairs):
        named |= {pair.arm, pair.control}
    control = getattr(claim, "control", None)
    return named | ({getattr(control, "arm", control)} - {None})


@pytest.mark.some(7)
@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_claims_of_presets_can_be_read_and_decided(path):
    preset = load(path)
    experiment = load(CONF / "experiment" / f"{path.stem.rpartition('_')[0]}.yaml")
    arms = {**experiment["arms"], **preset.get("arms", {})}
    chosen = preset.get("arm") or list(arms)
    claims = [read_claim(name, written) for name, written in preset.get("claims", {}).items()]
    tested = [claim for claim in claims if isinstance(claim, Tested)]
    for claim in tested:
        reachable(claim, [other for other in tested if other.family == claim.family])
    for claim in claims:
        assert claim.n <= preset["n_seeds"]
        assert arms_of(claim) <= set(chosen)
        assert claim.source
