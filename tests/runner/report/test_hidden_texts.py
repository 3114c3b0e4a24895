"""`report.samples` is recorded with a run, respected by `redraw`, and changes no trial."""

from pathlib import Path

import pytest
import yaml

from runner.config import ConfigError
from runner.plan.composition import compose_arms
from runner.plan.config_reader import read_study
from runner.plan.report_spec import read_report_spec
from runner.report.untrusted_run import read_outline
from tests.support.composition import compose_config
from tests.support.tiny import TINY

OUTLINE = {
    "question": "q",
    "scale": "smoke",
    "headline": [],
    "claims": {},
    "figures": {},
    "not_tested": [],
}


@pytest.mark.parametrize(
    ("report", "samples"), [({"samples": False}, False), ({"samples": True}, True), (None, True)]
)
def test_a_run_folder_says_whether_passages_may_be_shown(
    report: object, samples: bool, tmp_path: Path
) -> None:
    text = yaml.safe_dump(OUTLINE | ({} if report is None else {"report": report}))
    assert read_outline(tmp_path, text).samples is samples


@pytest.mark.parametrize("report", [{"samples": "no"}, {}, [], "false"])
def test_a_damaged_setting_is_refused(report: object, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="report does not match the schema"):
        read_outline(tmp_path, yaml.safe_dump(OUTLINE | {"report": report}))


@pytest.mark.usefixtures("hydra")
def test_the_setting_reaches_the_report_and_no_trial(tmp_path: Path) -> None:
    trees, samples = [], []
    for extra in ((), ("report.samples=false",)):
        config, overrides = compose_config(tmp_path, [*TINY, *extra])
        study = read_study(config)
        samples.append(read_report_spec(study).samples)
        arms = compose_arms(study, overrides).arms
        trees.append({name: arm.signature_tree() for name, arm in arms.items()})
    assert samples == [True, False]
    assert trees[0] == trees[1]
    assert trees[0]
