"""The planned families of tests of the quick presets, and their power."""

import tempfile
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner import registry
from runner.config import flatten
from runner.plan import arguments, planning
from runner.plan.plan import Plan, effective_baseline
from runner.plan.report_spec import read_report_spec
from runner.report.headlines import headline_arms
from runner.report.study_record import StudyRecord

from .answers import Family, simulate_effect
from .cells import Bound, Cell

CONF = Path(__file__).resolve().parents[2] / "conf"
EFFECT = 3.0  # SDs of the paired differences
POWER = f"Power of the quick presets at {EFFECT:g} SD of the paired differences, in % (90 asked)"
EMPTY = pd.DataFrame(columns=["arm", "seed", "metric", "value", "status"])


def planned(experiment: str, folder: str) -> Plan:
    """Plan the quick preset of an experiment as the command line does."""
    overrides = [f"experiment={experiment}", "scale=quick", f"outputs={folder}"]
    mended = arguments.check_arguments(overrides)
    return planning.make_plan(compose("config", overrides=mended), mended)


def family(plan: Plan) -> Family:
    """Count the arms of each headline that needs a test; an arm without the metric counts too."""
    spec = read_report_spec(plan.study)
    study = StudyRecord(
        **{**vars(spec), "scale": "quick"},
        experiment=plan.experiment,
        command="",
        arms={arm.name: list(arm.overrides) for arm in plan.arms},
        baseline=effective_baseline(plan.arms, plan.study),
        results=EMPTY,
        history=EMPTY,
        trials=EMPTY,
        config_yaml="",
        environment={},
        controls=plan.study.controls,
        conditions={arm.name: arm.conditions for arm in plan.arms},
        hparams={arm.name: flatten(arm.config.signature_tree()) for arm in plan.arms},
    )
    sizes = [
        len(headline_arms(study, headline))
        for headline in study.headline
        if not registry.metric(headline.metric).deterministic
    ]
    return tuple(size for size in sizes if size)


def families() -> dict[str, tuple[Family, int]]:
    """Return the family and the number of seeds of each quick preset that compares arms."""
    GlobalHydra.instance().clear()
    hydra_conf = initialize_config_dir(str(CONF), version_base="1.3")
    no_data = patch.object(
        planning.PreparedData, "prepare", return_value=""
    )  # no count depends on them
    with tempfile.TemporaryDirectory() as folder, hydra_conf, no_data:
        plans = {name: planned(name, folder) for name in registry.experiment_names()}
    family_sizes = {name: (family(plan), len(plan.seeds)) for name, plan in plans.items()}
    return {name: (sizes, n) for name, (sizes, n) in family_sizes.items() if sizes}


def preset_cells() -> list[Cell]:
    """Return a cell for each quick preset that compares arms."""
    return [
        Cell(
            {"found": (POWER, Bound(0.9, is_minimum=True))},
            f"{name}: {sum(sizes)} comparisons, {n} seeds",
            "power",
            partial(simulate_effect, effect=EFFECT, n=n, family=sizes),
        )
        for name, (sizes, n) in families().items()
    ]
