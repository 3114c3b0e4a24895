"""Users' own parts: modules that register options when they are imported.

Named on the command line on purpose.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterable

from runner.config import ConfigError
from runner.wording.output import truncate_middle


def describe_import_error(error: ImportError) -> str:
    """Return what Python says of a failed import."""
    return f"{truncate_middle(error, 150)}; is it installed?"


def import_plugins(
    modules: Iterable[str], cure: Callable[[ImportError], str] = describe_import_error
) -> None:
    """Import plug-in modules, from the current folder where they are nowhere else.

    `cure` says how to mend an import that fails.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    for name in modules:
        if (here := os.path.realpath(".")) not in sys.path:
            sys.path.append(here)  # at the end: nothing there can stand before what is installed
        if name == "__main__" or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(
                f"plugins: {truncate_middle(name, 80)!r} is no module; write it as package.module"
            )
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"plugins: {name} cannot be imported: {cure(error)}") from error
        except ValueError as error:  # what our decorators refuse
            raise ConfigError(f"plugins: {name}: {truncate_middle(error, 220)}") from error
        except (Exception, SystemExit) as error:  # whatever a user's module does
            raise ConfigError(
                f"plugins: {name} cannot be imported: {truncate_middle(error, 150)}; is it installed?"
            ) from error
