"""Whether the code that computed a trial has changed since: the hash that a run would compute.

The parts, the task and the experiment of an arm are known from its `arm.json`. A part of a plug-in
that is not imported is unknown, and so is the hash.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from runner import registry
from runner.config import ArmConfig
from runner.plan import code_hash
from runner.records import module_source
from runner.records.arm_folders import read_arm_record


class CurrentCode:
    """The hashes of the current code of arms, each computed once.

    `plugins` are the modules of `plugins=[...]`.
    """

    def __init__(self, plugins: Sequence[str] = ()) -> None:
        self._plugins = tuple(plugins)
        self._hash = cache(code_hash.hash_modules)

    def find_hash(self, arm_folder: Path) -> str | None:
        """Return the hash of the code that would compute an arm now; None if it is unknown."""
        record = read_arm_record(arm_folder)
        if record is None:
            return None
        try:
            return self._hash(self._root_modules(record["config"]))
        except (KeyError, TypeError, AttributeError, module_source.MissingModuleError):
            return None

    def save(self) -> None:
        """Save the digests of the modules for later commands."""
        module_source.CACHE.save()

    def _root_modules(self, config: Mapping[str, Any]) -> frozenset[str]:
        """Return the modules at which the search for an arm's code starts.

        Raises:
            KeyError, TypeError: an option is not registered in this command.
        """
        parts: dict[str, object] = {}
        for group in (*registry.group_names(), "model"):
            if group in config:
                kind = "" if group == "model" else config[group]["kind"]
                options = registry.kinds(group)[kind]
                parts[group] = object.__new__(options)  # only its class counts
        arm = SimpleNamespace(experiment=config["experiment"], parts=SimpleNamespace(**parts))
        return code_hash.root_modules(cast(ArmConfig, arm), self._plugins)
