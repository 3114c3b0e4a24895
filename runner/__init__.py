"""The engine: it computes trials (arms x seeds), and reports statistics, verdicts and figures.

`runner.compare(arms, group=..., task=...)` computes a study from Python. The import of this package
takes milliseconds: `compare` and the classes below are imported when they are used.
"""

import importlib
from typing import Any

# `__init__.pyi` has the types. The modules are text and not imports: every trial's code hash
# follows the imports of this file.
_MODULES = {
    "Comparison": "runner.comparison.result",
    "ConfigError": "runner.config",
    "StudyError": "runner.config",
    "compare": "runner.comparison.compare",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
