"""Faults of the loss and metrics that plain tasks define, as the plan learns them. No torch.

The helper process tries both on a few sequences. A cache keeps that a task has no fault. The key of
an entry covers the task's source and fields, the checks and the versions of installed packages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.config import ArmConfig
from runner.plan import code_hash, estimates
from runner.plan.composition import merge_arm_errors
from runner.plan.error_messages import ConfigErrors
from runner.plan.foreign_parts import describe_part
from runner.plan.helper_process import HELPER, HelperError, HelperProcess
from runner.plan.part_inspection import hash_request
from runner.records.private_cache import PrivateCache

CACHE_FILE = "inspected_tasks.json"
TRIED_METHODS = ("loss", "metrics")


def check_tasks(
    arms: Mapping[str, ArmConfig], plugins: Sequence[str], helper: HelperProcess = HELPER
) -> None:
    """Refuse tasks whose own loss or metrics have a fault.

    Raises:
        ConfigErrors: a message for each fault, with the arms that have it.
    """
    cache = PrivateCache(CACHE_FILE)
    faults: dict[str, str] = {}
    errors: dict[str, str] = {}
    for name, arm in arms.items():
        task = getattr(arm.parts, "task", None)
        if not has_tried_methods(task):
            continue
        if repr(task) not in faults:
            faults[repr(task)] = find_task_fault(task, plugins, helper, cache)
        if faults[repr(task)]:
            errors[name] = faults[repr(task)]
    cache.save()
    if errors:
        raise ConfigErrors(merge_arm_errors(errors))


def has_tried_methods(task: Any) -> bool:
    """Return whether a task defines a loss or metrics in a plain class."""
    methods = getattr(task, "user_methods", {})
    return any(name in methods for name in TRIED_METHODS)


def find_task_fault(
    task: Any, plugins: Sequence[str], helper: HelperProcess, cache: PrivateCache
) -> str:
    """Return the fault of a task's loss or metrics; "" if there is none."""
    request = {"do": "task", **describe_part(task, "task")}
    modules = code_hash.class_modules(type(task)) | code_hash.named_modules(task)
    source = code_hash.hash_modules(frozenset({*modules, *plugins, estimates.__name__}))
    key = hash_request(request, source)
    if cache.get(key) is not None:
        return ""
    name = f"task={task.kind}"
    try:
        helper.load(plugins, {request["module"]: source})
        answer = helper.ask(request)
    except HelperError as error:
        return f"{name}: a trial of its loss() and metrics() {error}"
    fault = str(answer["error"] if "error" in answer else answer["result"])
    if not fault:
        cache.add(key, answer)
    return fault if not fault or fault.startswith(name) else f"{name}: {fault}"
