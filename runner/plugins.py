"""Plug-ins: modules of users that register parts, tasks and questions when they are imported.

Users name them on the command line, because they run code.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterable

from runner.config import ConfigError
from runner.wording.output import truncate_middle


def describe_import_error(error: ImportError) -> str:
    """Return Python's message about a failed import, with a hint."""
    return f"{truncate_middle(error, 150)}; is it installed?"


def import_plugins(
    modules: Iterable[str], explain: Callable[[ImportError], str] = describe_import_error
) -> None:
    """Import plug-in modules, from the current folder if they are not installed.

    Args:
        modules: dotted names of the modules.
        explain: returns the message for an import that fails, with a hint.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for name in modules:
        if (folder := os.path.realpath(".")) not in sys.path:
            sys.path.append(folder)  # at the end, so that installed modules take precedence
        if name == "__main__" or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(
                f"plugins: {truncate_middle(name, 80)!r} is not a module; write it as "
                "package.module"
            )
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"plugins: {name} cannot be imported: {explain(error)}") from error
        except ValueError as error:  # raised by the decorators of ablab
            raise ConfigError(f"plugins: {name}: {truncate_middle(error, 220)}") from error
        except (Exception, SystemExit) as error:  # a user's module may raise any error
            raise ConfigError(
                f"plugins: {name} cannot be imported: {truncate_middle(error, 150)}; "
                "is it installed?"
            ) from error
