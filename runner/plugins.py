"""Users' own parts: modules that register options when they are imported.

Named on the command line on purpose.
"""

import importlib
import os
import re
import sys
from collections.abc import Iterable

from runner.config import ConfigError
from runner.wording.output import shortened

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
    """Import plug-in modules, from the current folder where they are nowhere else.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    for name in modules:
        if (here := os.path.realpath(".")) not in sys.path:
            sys.path.append(here)  # at the end: nothing there can stand before what is installed
        if name == "__main__" or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(
                f"plugins: {shortened(name, 80)!r} is no module; write it as package.module"
            )
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"plugins: {name} cannot be imported: {_cure(error)}") from error
        except (Exception, SystemExit) as error:  # whatever a user's module does
            raise ConfigError(
                f"plugins: {name} cannot be imported: {shortened(error, 150)}; is it installed?"
            ) from error


def _cure(error: ImportError) -> str:
    """Return the new form of a module that plug-ins imported once, or what Python says."""
    module = error.name or ""
    if name := re.search(r"cannot import name '(\w+)'", str(error)):
        module = f"{module}.{name[1]}"  # `from package import module`
    for old, new in MOVED.items():
        if module == old or module.startswith(f"{old}."):
            return f"{old} is gone: {new} (README, Add a part)"
    return f"{shortened(error, 150)}; is it installed?"
