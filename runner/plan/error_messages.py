"""Error messages for users: every error is printed through this module. No torch.

`format_message` limits each message to three lines and 300 characters. `describe_unexpected_error`
writes the message of an exception that is not a ConfigError, without the jargon of Python, Hydra
and OmegaConf. A ConfigError is finished: it may quote an error of the user's own code.
"""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.config import ConfigError, StudyError
from runner.plan.composition_errors import describe_composition_error
from runner.plan.file_at_fault import append_user_file
from runner.plan.user_code import describe_user_error
from runner.wording.output import (
    MAX_CHARACTERS,
    MAX_ERRORS,
    MAX_LINES,
    escape_unprintable,
    truncate_middle,
)

PREFIX, MAX_INPUT_CHARACTERS = "ablab: ", 4000
TRACEBACK_HINT = "HYDRA_FULL_ERROR=1 shows where"
UNEXPECTED = "the command ended with an unexpected error"
NO_REASON = f"the input is not valid, for an unknown reason; {TRACEBACK_HINT}"
WRONG_TYPE = "a value has the wrong type"
# HYDRA_FIELDS are removed with their values; PYTHON_JARGON makes a whole clause unreadable.
HYDRA_FIELDS = re.compile(r"\s*\b(full_key|reference_type|object_type)\s*[:=]\s*\S*")
PYTHON_JARGON = re.compile(
    r"unhashable type|has no attribute|not subscriptable|not iterable|not callable"
    r"|indices must be|unsupported operand|positional argument|unexpected keyword argument"
    r"|not supported between|invalid literal|could not convert string|maximum recursion"
    r"|integer string conversion|must be str, not|os\.PathLike|index out of range"
    r"|cannot convert float|values to unpack|<class '|<object |object at 0x|argument of type"
    r"|is not in struct|Invalid value assigned|raised while composing|AnyNode|DictConfig|ListConfig"
    r"|a bytes-like|can't be used in 'await'|not JSON serializable|codec can't"
)
NO_HOME = ("Could not determine home directory.", "no user has the name after ~")
ERROR_NAMES = re.compile(
    r"\b(?:\w+\.)*(?:Type|Value|Key|Attribute|Index|Recursion|Memory|Overflow|Validation|Assertion"
    r"|ConfigKey|ConfigAttribute|UnsupportedValueType|Interpolation\w*|GrammarParse|Unicode\w*)"
    r"Error\b:?\s*"
)
REASONS = (
    (RecursionError, "it is nested too deeply, or refers to itself"),
    (MemoryError, "it needs more memory than this machine has"),
    (OverflowError, "a number in it is too large"),
    (ZeroDivisionError, "a number in it must not be zero"),
    (UnicodeError, "it has text that is not UTF-8"),
)


class ConfigErrors(ConfigError):  # noqa: N818 - several of them
    """Several errors of one config, with a message for each."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)


def explain(error: BaseException, *, planning: bool = False) -> tuple[str, int]:
    """Return the message of an error for the user, and the exit code.

    The exit code is 2 for an error of the input and 1 otherwise. With `planning`, every error is
    one of the input, except StudyError.
    """
    if isinstance(error, ConfigError):
        return format_config_error(error), 2
    if isinstance(error, StudyError):
        return format_message(str(error)), 1
    if planning or top_package(error) in ("hydra", "omegaconf"):
        return format_message(append_user_file(describe_unexpected_error(error))), 2
    reason = describe_user_error(error) or remove_jargon(describe_reason(error)) or UNEXPECTED
    return format_message(f"{reason} (HYDRA_FULL_ERROR=1 shows the traceback)"), 1


def format_config_error(error: ConfigError) -> str:
    """Return the message of an error of the input: its first five errors, and how many follow."""
    messages = error.messages if isinstance(error, ConfigErrors) else [str(error)]
    lines = [format_message(append_user_file(message)) for message in messages[:MAX_ERRORS]]
    if len(messages) > MAX_ERRORS:
        lines.append(f"and {len(messages) - MAX_ERRORS} more")
    return "\n".join(lines)


def format_message(message: str) -> str:
    """Return a message of one to three lines and at most 300 characters, prefixes included."""
    lines = [
        " ".join(line.split()) for line in escape_unprintable(shorten_paths(message)).splitlines()
    ]
    lines = [line for line in lines if line.strip(" .:;,")] or [NO_REASON]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], "; ".join(lines[MAX_LINES - 1 :])]
    max_total = MAX_CHARACTERS - (len(PREFIX) + 1) * len(lines)
    while (excess := sum(map(len, lines)) - max_total) > 0:
        longest = max(range(len(lines)), key=lambda i: len(lines[i]))
        lines[longest] = truncate_middle(lines[longest], max(len(lines[longest]) - excess, 40))
    return "\n".join(lines)


def shorten_paths(message: str) -> str:
    """Return a message without the current folder in its paths, and without fields of OmegaConf."""
    if len(message) > MAX_INPUT_CHARACTERS:  # the patterns are slow on long texts
        message = (
            f"{message[: MAX_INPUT_CHARACTERS // 2]} ... {message[-MAX_INPUT_CHARACTERS // 2 :]}"
        )
    message = HYDRA_FIELDS.sub("", message).split("Config search path:")[0]
    with contextlib.suppress(OSError):  # the current folder was deleted
        folder = re.escape(str(Path.cwd()).rstrip("/"))
        message = re.sub(rf"(?<![\w./~-]){folder}/(?=[^\s/])", "", message) if folder else message
    return message.replace(*NO_HOME).replace(' in "<unicode string>"', "")


def remove_jargon(message: str) -> str:
    """Return a message without the jargon of Python, Hydra and OmegaConf."""
    lines = shorten_paths(message).split("\n")
    return ERROR_NAMES.sub("", "\n".join(map(replace_raw_clauses, lines)))


def replace_raw_clauses(line: str) -> str:
    """Return a line with each clause of Python's jargon replaced by a plain one."""
    for _ in range(5):
        match = PYTHON_JARGON.search(line)
        if match is None:
            return line
        start = 1 + max(line.rfind(end, 0, match.start()) for end in ":;(")
        ends = [at for end in ";()" if (at := line.find(end, match.end())) >= 0]
        line = f"{line[:start]} {WRONG_TYPE}{line[min(ends, default=len(line)) :]}"
    return WRONG_TYPE


def top_package(error: BaseException) -> str:
    """Return the top-level package that defines the class of an error."""
    return type(error).__module__.split(".")[0]


def describe_unexpected_error(error: BaseException) -> str:
    """Return a message for an error of the input that is not a ConfigError."""
    return describe_user_error(error) or remove_jargon(describe_raw_error(error))


def describe_raw_error(error: BaseException) -> str:
    """Return a message for an error of Python, Hydra, OmegaConf or YAML; it may have jargon."""
    if top_package(error) in ("hydra", "omegaconf") or "default" in str(error):
        return describe_composition_error(error)
    if top_package(error) == "yaml":
        return describe_yaml_error(error)
    if isinstance(error, OSError):
        return describe_reason(error)
    return (
        f"the input cannot be used: {describe_reason(error) or f'{WRONG_TYPE} ({TRACEBACK_HINT})'}"
    )


def describe_reason(error: BaseException) -> str:
    """Return the reason of an error in words for a user; "" without one."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and "integer string conversion" in text:
        return "a number in it has more than 4300 digits"
    if not isinstance(error, RuntimeError | ValueError) or PYTHON_JARGON.search(text):
        return ""
    return text if remove_jargon(text).strip(" .:;,()") else ""


def describe_yaml_error(error: Any) -> str:
    """Return the file and line of a YAML error, and its reason."""
    position = getattr(error, "problem_mark", None)
    place = f"{position.name}, line {position.line + 1}" if position else "a YAML file"
    problem = str(getattr(error, "problem", None) or "this is not valid YAML")
    problem = problem.replace("found unhashable key", "a key is a list or a mapping")
    return f"{place}: {problem}; correct the file there"


@contextlib.contextmanager
def as_config_error(subject: str) -> Iterator[None]:
    """Turn any exception of the `with` block into a ConfigError about the input `subject`."""
    try:
        yield
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:
        if message := describe_user_error(error):
            raise ConfigError(message) from error
        if isinstance(error, SystemExit):
            raise
        if top_package(error) in ("hydra", "omegaconf", "yaml") or not subject:
            raise ConfigError(describe_unexpected_error(error)) from error
        reason = remove_jargon(describe_reason(error)) or f"{WRONG_TYPE} ({TRACEBACK_HINT})"
        raise ConfigError(f"{truncate_middle(subject, 100)}: {reason}") from error
