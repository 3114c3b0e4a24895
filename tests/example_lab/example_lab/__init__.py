"""A package of a user of ablab: a part, a task, and a question with its page.

The import registers them. The folder `conf` has the YAML files of the package.
"""

from . import cycles, flatness, quick_gelu

__all__ = ["cycles", "flatness", "quick_gelu"]
