"""The one door for errors: whatever goes wrong, a user reads a short and clear text. No torch.

Every text passes `format_message` before it is printed: at most three lines and 300 letters, never empty,
and without the words of Python, Hydra or OmegaConf. What is not expected (`describe_unexpected_error`) is told by
what it says of the input.
"""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.config import ConfigError, StudyError
from runner.plan import option_folders
from runner.plan.composition_errors import describe_composition_error
from runner.wording.output import (
    MAX_CHARACTERS,
    MAX_ERRORS,
    MAX_LINES,
    escape_unprintable,
    truncate_middle,
)

PREFIX, LONGEST = "ablab: ", 4000
SHOWS = "HYDRA_FULL_ERROR=1 shows where"
UNKNOWN = "an error that ablab does not expect has ended it"
NO_REASON = f"the input is refused, but nothing says why; {SHOWS}"
WRONG_KIND = "a value is of a kind that does not belong there"
# The first is cut out with its value; the others make a whole clause unreadable for a user.
NOISE = re.compile(r"\s*\b(full_key|reference_type|object_type)\s*[:=]\s*\S*")
RAW = re.compile(
    r"unhashable type|has no attribute|not subscriptable|not iterable|not callable"
    r"|indices must be|unsupported operand|positional argument|unexpected keyword argument"
    r"|not supported between|invalid literal|could not convert string|maximum recursion"
    r"|integer string conversion|must be str, not|os\.PathLike|index out of range"
    r"|cannot convert float|values to unpack|<class '|<object |object at 0x|argument of type"
    r"|is not in struct|Invalid value assigned|raised while composing|AnyNode|DictConfig|ListConfig"
    r"|a bytes-like|can't be used in 'await'|not JSON serializable|codec can't"
)
NO_HOME = ("Could not determine home directory.", "~ is followed by no user's name")
TYPES = re.compile(
    r"\b(?:\w+\.)*(?:Type|Value|Key|Attribute|Index|Recursion|Memory|Overflow|Validation|Assertion"
    r"|ConfigKey|ConfigAttribute|UnsupportedValueType|Interpolation\w*|GrammarParse|Unicode\w*)"
    r"Error\b:?\s*"
)
TELLING = (
    (RecursionError, "it is nested too deeply, or refers to itself"),
    (MemoryError, "it takes more memory than there is"),
    (OverflowError, "a number in it is too large"),
    (ZeroDivisionError, "a number in it is zero that must not be"),
    (UnicodeError, "it holds text that is no UTF-8"),
)


class ConfigErrors(ConfigError):  # noqa: N818 - several of them
    """Several errors at once, one message each."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)


def explain(error: BaseException, *, planning: bool = False) -> tuple[str, int]:
    """What an error says to a user, and the exit code.

    With `planning` nothing has been computed yet, so that any error is one of the input.
    """
    if isinstance(error, ConfigError):
        return shown(error), 2
    if isinstance(error, StudyError):
        return format_message(str(error)), 1
    if planning or module_of(error) in ("hydra", "omegaconf"):
        return format_message(with_file(describe_unexpected_error(error))), 2
    return format_message(
        f"{reason_of(error) or UNKNOWN} (HYDRA_FULL_ERROR=1 shows the traceback)"
    ), 1


def shown(error: ConfigError) -> str:
    """The text of bad input; of more than five errors the first five and how many more."""
    messages = error.messages if isinstance(error, ConfigErrors) else [str(error)]
    lines = [format_message(with_file(message)) for message in messages[:MAX_ERRORS]]
    if len(messages) > MAX_ERRORS:
        lines.append(f"and {len(messages) - MAX_ERRORS} more")
    return "\n".join(lines)


def format_message(message: str) -> str:
    """A message of at most three lines and 300 letters, prefixes included, that is never empty."""
    lines = [" ".join(line.split()) for line in escape_unprintable(cleaned(message)).splitlines()]
    lines = [line for line in lines if line.strip(" .:;,")] or [NO_REASON]
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 1], "; ".join(lines[MAX_LINES - 1 :])]
    room = MAX_CHARACTERS - (len(PREFIX) + 1) * len(lines)
    while (over := sum(map(len, lines)) - room) > 0:
        longest = max(range(len(lines)), key=lambda i: len(lines[i]))
        lines[longest] = truncate_middle(lines[longest], max(len(lines[longest]) - over, 40))
    return "\n".join(lines)


def cleaned(message: str) -> str:
    """A message without the words that only a programmer of Python, Hydra or OmegaConf reads."""
    if len(message) > LONGEST:  # all below takes long on long texts
        message = f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 :]}"
    message = NOISE.sub("", message).split("Config search path:")[0]
    with contextlib.suppress(OSError):  # a current folder that is gone
        here = re.escape(str(Path.cwd()).rstrip("/"))
        message = re.sub(rf"(?<![\w./~-]){here}/(?=[^\s/])", "", message) if here else message
    message = message.replace(*NO_HOME).replace(' in "<unicode string>"', "")
    return TYPES.sub("", "\n".join(map(without_raw, message.split("\n"))))


def without_raw(line: str) -> str:
    """A line whose clauses of a programmer's words are told in a user's."""
    for _ in range(5):
        raw = RAW.search(line)
        if raw is None:
            return line
        start = 1 + max(line.rfind(end, 0, raw.start()) for end in ":;(")
        ends = [at for end in ";()" if (at := line.find(end, raw.end())) >= 0]
        line = f"{line[:start]} {WRONG_KIND}{line[min(ends, default=len(line)) :]}"
    return WRONG_KIND


def with_file(message: str) -> str:
    """A message, with the user's YAML file that sets its key where the command line does not."""
    found = re.match(r"([A-Za-z_]\w*(?:\.\w+)*)(?:\[\d+\])?(?==|:|\s)", message)
    if ".yaml" in message or option_folders.UserOptions.folder is None:
        return message
    if message.startswith("the input cannot be used"):
        files = [
            path
            for text in sys.argv[1:]
            if (path := option_folders.user_file(text.replace("=", "/")))
        ]
        return f"{message}; look at {files[0]}" if len(files) == 1 else message
    if option := re.match(r"(\w+)=(\S+): there is no such option", message):
        return chosen_by(option, message)
    if claim := re.match(r"Claim '([^']+)'", message):
        found, key = claim, f"claims.{claim[1]}"
    elif found is None:
        return message
    else:
        key = found[1]
    arm = re.search(r"\(in arm ([\w.-]+)", message)
    keys = [f"arms.{arm[1]}", key] if arm else [key]
    typed = [text.lstrip("+~").split("=")[0] for text in sys.argv[1:]]
    for name in keys:
        if name in typed:
            return message
        if path := option_folders.find_file_that_sets(name, sys.argv[1:]):
            return f"{message}; it stands in {path}"
    return message


def chosen_by(option: re.Match[str], message: str) -> str:
    """A message about an option that is not there, with the user's file that chooses it."""
    if any(text.lstrip("+") == f"{option[1]}={option[2]}" for text in sys.argv[1:]):
        return message
    chosen = re.compile(rf"\b{option[1]}\s*[:=]\s*{re.escape(option[2])}\b")
    files = [
        path
        for path in option_folders.loaded_user_files()
        if chosen.search(option_folders.read_text_or_empty(path))
    ]
    return f"{message}; it stands in {files[0]}" if len(files) == 1 else message


def module_of(error: BaseException) -> str:
    """The package that an error comes from."""
    return type(error).__module__.split(".")[0]


def describe_unexpected_error(error: BaseException) -> str:
    """What an error that is no ConfigError says of the input."""
    if module_of(error) in ("hydra", "omegaconf") or "default" in str(error):
        return describe_composition_error(error)
    if module_of(error) == "yaml":
        return yaml_reason(error)
    if isinstance(error, OSError):
        return reason_of(error)
    return f"the input cannot be used: {reason_of(error) or f'{WRONG_KIND} ({SHOWS})'}"


def reason_of(error: BaseException) -> str:
    """Why, in words for a user; empty where an error has none."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    for kind, words in TELLING:
        if isinstance(error, kind):
            return words
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and "integer string conversion" in text:
        return "a number in it has more than 4300 digits"
    if not isinstance(error, RuntimeError | ValueError) or RAW.search(text):
        return ""
    return text if cleaned(text).strip(" .:;,()") else ""


def yaml_reason(error: Any) -> str:
    """Which file is no YAML, where and why."""
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}, line {mark.line + 1}" if mark else "a YAML file"
    problem = str(getattr(error, "problem", None) or "this is no YAML")
    problem = problem.replace("found unhashable key", "a key is a list or has keys of its own")
    return f"{place}: {problem}; mend it there"


@contextlib.contextmanager
def as_config_error(what: str) -> Iterator[None]:
    """Turn whatever is raised within into a ConfigError that names the input it was about."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if module_of(error) in ("hydra", "omegaconf", "yaml") or not what:
            raise ConfigError(describe_unexpected_error(error)) from error
        reason = reason_of(error) or f"{WRONG_KIND} ({SHOWS})"
        raise ConfigError(f"{truncate_middle(what, 100)}: {reason}") from error
