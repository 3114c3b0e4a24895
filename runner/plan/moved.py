"""What plug-ins once imported, and its new form.

Apart from `runner.plugins`, which is part of every trial's code: a name more makes no trial stale.
"""

import re
from collections.abc import Iterable

from runner import plugins

MOVED = {
    "experiments.config": "use `part` from experiments.parts, `task` from experiments.tasks, "
    "`question` from experiments",
    "experiments.cost": "a part has a method `cost`, and Cost is in experiments.parts",
    "experiments.nn.build": "a part has a method `build`, with `part` from experiments.parts",
    "experiments.tasks.build": "a task's options have a method `build`, with `task` from "
    "experiments.tasks; a page takes `task_of` from experiments.start",
    "experiments.corpora": "a task's options have `prepare` and `fingerprint`; text is read by "
    "experiments.tasks.corpora",
}


def load(modules: Iterable[str]) -> None:
    """Import plug-in modules as `runner.plugins` does; an error names the new form of what moved.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    plugins.load(modules, cure)


def cure(error: ImportError) -> str:
    """Return the new form of a module that plug-ins imported once, or what Python says."""
    module = error.name or ""
    if name := re.search(r"cannot import name '(\w+)'", str(error)):
        module = f"{module}.{name[1]}"  # `from package import module`
    for old, new in MOVED.items():
        if module == old or module.startswith(f"{old}."):
            return f"{old} is gone: {new} (README, Add a part)"
    return plugins.plain(error)
