"""Users' own parts: modules that register options when they are imported.

Named on the command line on purpose.
"""

import importlib
from collections.abc import Iterable

from runner.config import ConfigError


def load(modules: Iterable[str]) -> None:
    """Import plug-in modules.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(
                f"plugins: {name} cannot be imported: {error}; is it installed?"
            ) from error
