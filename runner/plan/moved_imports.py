"""What plug-ins once imported, and its new form.

Apart from `runner.plugins`, which is part of every trial's code: a name more makes no trial stale.
"""

import re
from collections.abc import Iterable

from runner import plugins

MOVED_IMPORTS = {
    "experiments.config": "use `part` from experiments.parts, `task` from experiments.tasks, "
    "`question` from experiments",
    "experiments.cost": "a part has a method `cost`, and Cost is in experiments.parts",
    "experiments.nn.build": "a part has a method `build`, with `part` from experiments.parts",
    "experiments.tasks.build": "a task's options have a method `build`, with `task` from "
    "experiments.tasks; a page takes `task_of` from experiments.trial_setup",
    "experiments.probes.cost": "the engine records costs",
    "experiments.memory": "it is experiments.estimates.memory",
    "experiments.recorded": "it is experiments.estimates.expected_metrics",
    "experiments.nn.generate": "it is experiments.nn.decoding.generation",
    "experiments.nn.decode": "it is experiments.nn.decoding.translation",
    "experiments.nn.kv_cache": "it is experiments.nn.decoding.kv_cache",
    "experiments.nn.dispatch": "it is experiments.nn.moe.dispatch",
    "experiments.nn.routing": "it is experiments.nn.moe.routing",
    "experiments.nn.moe.MixtureOfExperts": "it is in experiments.nn.moe.mixture",
    "experiments.probes.head_scores": "it is experiments.probes.heads.scores",
    "runner.training": "it is runner.trial.training",
    "runner.measure": "it is runner.trial.measure",
    "runner.protocols": "it is runner.trial.protocols",
    "runner.optimizer": "it is runner.trial.optimizer",
    "runner.checkpoint": "it is runner.trial.checkpoint",
    "runner.trial.Trial": "it is in runner.trial.trial",
    "runner.study.run_and_report": "it is in runner.invocation",
    "runner.store": "it is runner.records.store",
    "runner.provenance": "it is runner.records.provenance",
    "runner.plots": "it is runner.figures",
    "experiments.corpora": "a task's options have `prepare` and `fingerprint`; text is read by "
    "experiments.tasks.corpora",
}


def load_plugins(modules: Iterable[str]) -> None:
    """Import plug-in modules as `runner.plugins` does; an error names the new form of what moved.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    plugins.import_plugins(modules, explain_import_error)


def explain_import_error(error: ImportError) -> str:
    """Return the new form of a module that plug-ins imported once, or what Python says."""
    module = error.name or ""
    if name := re.search(r"cannot import name '(\w+)'", str(error)):
        module = f"{module}.{name[1]}"  # `from package import module`
    return find_new_location(module) or plugins.describe_import_error(error)


def find_new_location(module: str) -> str:
    """Return where a module, or a name in one, has moved; "" for one that has not."""
    for old, new in MOVED_IMPORTS.items():
        if module == old or module.startswith(f"{old}."):
            return f"{old} is gone: {new} (docs/bring_your_own.md)"
    return ""
