"""Errors that the code of a user raises while a plan is made. No torch.

A message names the part, task or question, its file and method, and quotes the error itself.
"""

import contextlib
import inspect
import itertools
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from runner import registry
from runner.config import ConfigError
from runner.plugins import describe_place, is_of_user, module_of
from runner.wording.output import describe_error, describe_exit, truncate_middle

RULES_MODULE = "experiments.rules"
"""The checks that options share; an error of theirs is a broken rule, in its own words."""
RULE_METHODS = ("check", "__post_init__")
"""Methods that refuse values by a ValueError."""
MOST_SECONDS = 15.0  # of the processor, for one call of the plan
CHECK_SECONDS = 1.0  # between two looks at the time
MAX_QUOTE = 180  # characters of the quoted error


@contextlib.contextmanager
def named_errors() -> Iterator[None]:
    """Turn an error that a user's code raises in the `with` block into a ConfigError.

    Other errors stay as they are, and so do broken rules and Ctrl-C. A method that computes without
    end has an error too.
    """
    try:
        with limited_time():
            yield
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if message := describe_user_error(error):
            raise ConfigError(message) from error
        raise


@contextlib.contextmanager
def limited_time() -> Iterator[None]:
    """Raise TimeoutError in code that computes for more than `MOST_SECONDS` in the `with` block.

    The seconds are those of this thread. A wait for the helper process does not count, and neither
    do the threads of NumPy. Python delivers signals to the main thread only, so other threads have
    no limit.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "SIGVTALRM"):
        yield
        return
    start = time.thread_time()

    def check_time(*_: object) -> None:
        if time.thread_time() - start > MOST_SECONDS:
            raise TimeoutError(f"no result after {MOST_SECONDS:g} s; do less when a plan is made")

    handler = signal.signal(signal.SIGVTALRM, check_time)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, CHECK_SECONDS, CHECK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.signal(signal.SIGVTALRM, handler or signal.SIG_DFL)


def explain_error(error: BaseException) -> str:
    """Return the message of an error of the user's code, or the text of another error."""
    return describe_user_error(error) or str(error)


def describe_user_error(error: BaseException, *, is_within: bool = False) -> str:
    """Return a line on an error that the user's code has raised; "" for any other error.

    `is_within` says that the traceback begins within ablab. Otherwise it may begin in a script of
    the user, and only the code that ablab has called counts.
    """
    steps = list(traceback.walk_tb(error.__traceback__))
    if not is_within:
        steps = list(itertools.dropwhile(lambda step: not is_of_ablab(step[0]), steps))
    own = [(frame, line) for frame, line in steps if is_of_user(frame)]
    if not own or isinstance(error, KeyboardInterrupt):
        return ""
    if isinstance(error, ValueError) and module_of(steps[-1][0]) == RULES_MODULE:
        return ""
    frame, line = own[-1]
    name = frame.f_code.co_name
    place = describe_place(frame, line)
    subject = find_subject(own[0][0])
    start = f"{subject} ({place})" if subject else place
    if isinstance(error, ValueError) and frame is steps[-1][0] and name in RULE_METHODS:
        return f"{start}: {name}() refuses the values: {truncate_middle(str(error), MAX_QUOTE)}"
    return f"{start}: {name_function(own[0][0])} {describe_failure(error)}"


def describe_failure(error: BaseException) -> str:
    """Return the end of a sentence on a call that raised an error."""
    if isinstance(error, SystemExit):
        return f"called {describe_exit(error)}"
    kind = type(error).__name__
    text = " ".join(describe_error(error).split()).removeprefix(kind).removeprefix(": ")
    return f"failed with {truncate_middle(f'{kind}: {text}' if text else kind, MAX_QUOTE)}"


def is_of_ablab(frame: FrameType) -> bool:
    """Return whether a frame runs a function of ablab, and not one of its context managers."""
    is_generator = bool(frame.f_code.co_flags & inspect.CO_GENERATOR)
    return not is_generator and module_of(frame).partition(".")[0] in ("runner", "experiments")


def name_function(frame: FrameType) -> str:
    """Return the name of a frame's function as a subject, such as `cost()`."""
    name = frame.f_code.co_name
    return {"<module>": "its import", "<lambda>": "its lambda"}.get(name, f"{name}()")


def find_subject(frame: FrameType) -> str:
    """Return the option that a method of a frame belongs to, such as `ffn=mine`; "" if unknown."""
    code = frame.f_code
    if not code.co_argcount:
        return ""
    first = frame.f_locals.get(code.co_varnames[0])
    return name_option(first if inspect.isclass(first) else type(first))


def name_option(options: Any) -> str:
    """Return the option that a class registers, such as `ffn=mine`; "" for another class."""
    groups = {group: registry.kinds(group, load_tasks=False) for group in registry.group_names()}
    questions = {"experiment": registry.question_classes()}
    return next(
        (
            f"{group}={kind}"
            for group, kinds in {**groups, **questions}.items()
            for kind, known in kinds.items()
            if known is options
        ),
        "",
    )
