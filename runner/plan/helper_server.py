"""The helper process of a plan: it imports torch and plug-ins, and builds and inspects modules.

`runner.plan.helper_process` starts it. A request is one line of JSON, and so is its answer: a
`result`, or an `error` in words. Nothing is unpickled. A request names a part by its group and
kind, the class by its module and name, and has the values of its fields.
"""

import importlib
import json
import multiprocessing
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

from omegaconf import OmegaConf

from runner import plugins, registry
from runner.plan import config_reader, estimates
from runner.plan.helper_process import HELPER_NAME
from runner.plan.user_code import describe_user_error
from runner.wording.output import describe_error

IDLE_SECONDS = 30.0  # after this pause it ends
TRANSIENT_ERRORS = (ImportError, OSError, MemoryError)
"""Errors that may vanish without a change of the source, so that no cache keeps them."""


def serve(requests: int, answers: int) -> None:
    """Answer requests until the pipe has no writer, or no request comes for a while.

    Args:
        requests: the file descriptor of the pipe with requests.
        answers: the file descriptor of the pipe for answers.
    """
    multiprocessing.current_process().name = HELPER_NAME
    estimates.import_torch()
    send_answer(answers, {"result": "ready"})
    unread = b""
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        piece = os.read(requests, 1 << 16)
        if not piece:
            break
        *lines, unread = (unread + piece).split(b"\n")
        for line in lines:
            request = json.loads(line)
            # The kernel ends this process if the command was killed and the module hangs.
            signal.setitimer(signal.ITIMER_REAL, request["seconds"] + 5)
            send_answer(answers, answer_request(request))
            signal.setitimer(signal.ITIMER_REAL, 0)
    # Without the interpreter's teardown, which takes long and may return another exit code.
    os._exit(0)


def send_answer(answers: int, value: dict[str, Any]) -> None:
    """Write an answer; end the process if the command has ended."""
    text = json.dumps(value).encode() + b"\n"
    try:
        while text:
            text = text[os.write(answers, text) :]
    except OSError:
        os._exit(0)


def answer_request(request: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request.

    `is_transient` says whether an error may vanish without a change of the source.
    """
    try:
        return {"result": COMMANDS[request["do"]](request)}
    except BaseException as error:
        text = str(error) if isinstance(error, ValueError) else describe_error(error)
        if isinstance(error, SystemExit):
            text = describe_user_error(error) or text
        causes = (error, error.__cause__)
        return {
            "error": text,
            "is_transient": any(isinstance(one, TRANSIENT_ERRORS) for one in causes),
        }


def import_requested_plugins(request: dict[str, Any]) -> None:
    """Import the plug-ins of a request."""
    sys.path[:] = request["path"]
    plugins.import_plugins(request["plugins"])


def count_requested_cost(request: dict[str, Any]) -> list[float | None]:
    """Return the cost of a part: parameters, active ones, FLOPs, bytes of keys and values."""
    part = read_part(request)
    return estimates.count_part(part, request["d_model"], request["length"])


def inspect_requested_part(request: dict[str, Any]) -> list[Any]:
    """Return the fault of a part's module, "" without one, skipped checks and the time limit."""
    part, group = read_part(request), request["group"]
    sizes = request["d_model"], request["length"]
    return [*estimates.inspect_module(group, part, *sizes, is_padded=request["is_padded"])]


def inspect_requested_task(request: dict[str, Any]) -> str:
    """Return the fault of a plain task's loss or metrics; "" if there is none."""
    return estimates.find_task_fault(read_part(request))


def read_part(request: dict[str, Any]) -> Any:
    """Return the part that a request names.

    Raises:
        ValueError: the kind belongs to another class here.
    """
    group, kind = request["group"], request["kind"]
    importlib.import_module(request["module"])
    schema = registry.kinds(group).get(kind)
    if schema is None or (schema.__module__, schema.__qualname__) != (
        request["module"],
        request["qualname"],
    ):
        raise ValueError(f"the class {request['qualname']} cannot be imported in another process")
    values = OmegaConf.create({"kind": kind, **request["fields"]})
    return config_reader.to_dataclass(schema, values, group)


COMMANDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "load": import_requested_plugins,
    "count": count_requested_cost,
    "inspect": inspect_requested_part,
    "task": inspect_requested_task,
}
