"""Costs and faults of the modules of foreign parts, as the plan learns them. No torch.

A part is foreign if its class is not ablab's own. The helper process builds its module. A cache
keeps the costs, and that a module has no fault, so that a second plan starts no process. The key of
an entry covers the source of the part and of the checks, the part's fields and the versions of
installed packages.
"""

import hashlib
import json
import math
import platform
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.config import ArmConfig, ConfigError
from runner.plan import code_hash, estimates
from runner.plan.composition import merge_arm_errors
from runner.plan.error_messages import ConfigErrors
from runner.plan.foreign_parts import describe_part, foreign_parts, width_of
from runner.plan.helper_process import HELPER, HelperError, HelperProcess
from runner.records.private_cache import PrivateCache

CACHE_FILE = "inspected_parts.json"


class PartInspector:
    """The inspection of the parts of one plan.

    plugins    the modules that the plan imports
    helper     the process that builds modules

    Attributes:
        notes: a sentence for each part that was too slow for some checks.
    """

    def __init__(self, plugins: Sequence[str], helper: HelperProcess = HELPER) -> None:
        self._plugins = tuple(plugins)
        self._helper = helper
        self._sources: dict[type, str] = {}
        self._answers: dict[str, Any] = {}
        self.notes: list[str] = []
        self._cache = PrivateCache(CACHE_FILE)

    def count_cost(self, part: Any, d_model: int, length: int) -> Any:
        """Return the `Cost` of one module of a part.

        Raises:
            ConfigError: the module cannot be built or run.
        """
        group = part.group
        answer = self._ask(part, group, {"do": "count", "d_model": d_model, "length": length})
        if "error" in answer:
            raise ConfigError(name_part(part, group, str(answer["error"])))
        numbers = [math.nan if number is None else number for number in answer["result"]]
        return estimates.make_cost(numbers)

    def check_arms(self, arms: Mapping[str, ArmConfig]) -> None:
        """Refuse foreign parts whose modules have a fault.

        Raises:
            ConfigErrors: a message for each fault, with the arms that have it.
        """
        errors: dict[str, str] = {}
        for name, arm in arms.items():
            for group, part in foreign_parts(arm).items():
                if fault := self.find_fault(part, group, arm):
                    errors.setdefault(name, name_part(part, group, fault))
        self.save()
        if errors:
            raise ConfigErrors(merge_arm_errors(errors))

    def find_fault(self, part: Any, group: str, arm: ArmConfig) -> str:
        """Return the fault of a part's module in an arm; "" if there is none."""
        task = getattr(arm.parts, "task", None)
        request = {
            "do": "inspect",
            "d_model": width_of(arm),
            "length": 0 if task is None else task.sizes().length,
            "is_padded": task is not None and task.pairs,
        }
        answer = self._ask(part, group, request)
        if "error" in answer:
            return str(answer["error"])
        fault, skipped, seconds = answer["result"]
        if skipped:
            note = (
                f"{group}={part.kind}: too slow to check within {seconds:g} s: not checked for "
                f"{', '.join(skipped)}"
            )
            self.notes += [note] if note not in self.notes else []
        return str(fault)

    def save(self) -> None:
        """Write the cache."""
        self._cache.save()

    def _ask(self, part: Any, group: str, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request about a part, from this plan, the cache or the process."""
        named = describe_part(part, group) | request
        source = self._source(part)
        key = hash_request(named, source)
        if key not in self._answers:
            self._answers[key] = self._cache.get(key) or self._ask_helper(named, source, key)
        answer: dict[str, Any] = self._answers[key]
        return answer

    def _ask_helper(self, request: dict[str, Any], source: str, key: str) -> dict[str, Any]:
        try:
            self._helper.load(self._plugins, {request["module"]: source})
            answer = self._helper.ask(request)
        except HelperError as error:
            return {"error": f"its module with d_model={request['d_model']} {error}"}
        # A cost that a module refuses is kept too: matching tries many widths. A module is not
        # kept as good if checks were left out: another time, or another machine, may be faster.
        is_kept = request["do"] != "inspect" or answer.get("result", [None])[:2] == ["", []]
        if is_kept and not answer.get("is_transient"):
            self._cache.add(key, answer)
        return answer

    def _source(self, part: Any) -> str:
        """Return a hash of the source of a part's class and modules, and of the checks."""
        if type(part) not in self._sources:
            own = code_hash.class_modules(type(part)) | code_hash.named_modules(part)
            roots = frozenset({*own, *self._plugins, estimates.__name__})
            self._sources[type(part)] = code_hash.hash_modules(roots)
        return self._sources[type(part)]


def name_part(part: Any, group: str, fault: str) -> str:
    """Return a fault of a part as a message that begins with the part."""
    name = f"{group}={part.kind}"
    return fault if fault.startswith(f"{name} (") else f"{name}: {fault}"


def begin_inspection(plugins: Sequence[str]) -> PartInspector:
    """Return the inspector of a new plan, which counts costs from now on in this process."""
    inspector = PartInspector(plugins)
    estimates.count_elsewhere(inspector.count_cost)
    return inspector


def hash_request(request: Mapping[str, Any], source: str) -> str:
    """Return the key of a request in the cache."""
    # Installing a package changes the time of this folder, and the module may come from a package.
    installed = [
        Path(sysconfig.get_path(name)).stat().st_mtime_ns for name in ("purelib", "platlib")
    ]
    inputs = [request, source, installed, platform.python_version()]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()
