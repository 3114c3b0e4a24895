"""The user's YAML file that has the key or value of an error message. No torch."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from runner.plan import option_folders

GLOBAL = re.compile(r"^\s*#\s*@package\s+_global_\s*$", re.MULTILINE)
NAMED_KEY = re.compile(r"(headline|[A-Za-z_]\w*(?:\.\w+)+|[A-Za-z_]\w*(?=[=:\[]))(?=[=:\[\s])")
"""The key that a message begins with; another word without a dot is one of the sentence."""


def append_user_file(message: str) -> str:
    """Return a message with the user's YAML file that has its key or value.

    The message stays as it is if the command line has them.
    """
    if re.search(r"\w\(\)|\.py, line \d", message):  # a method of the user's code is at fault
        return message
    if ".yaml" in message or not option_folders.UserOptions.folders:
        return message
    if message.startswith("the input cannot be used"):
        files = [
            path
            for text in sys.argv[1:]
            if (path := option_folders.user_file(text.replace("=", "/")))
        ]
        return f"{message}; correct it in {files[0]}" if len(files) == 1 else message
    if option_match := re.match(r"(\w+)=(\S+): there is no such option", message):
        return append_choosing_file(option_match, message)
    if claim_match := re.match(r"(?:Claim '|claims\.)([^\s':=]+)", message):
        key = f"claims.{claim_match[1]}"
    else:
        key_match = NAMED_KEY.match(message)
        key = key_match[1] if key_match else ""
    value_match = re.match(rf"{re.escape(key)}=(\S*[^\s:;,])", message)
    path = find_file_at_fault(message, key, value_match[1] if value_match else "")
    return f"{message}; correct it in {path}" if path else message


def find_file_at_fault(message: str, key: str, value: str) -> Path | None:
    """Return the user's file whose arm or key a message is about.

    An arm takes precedence over other keys, and the command line over a file. None if the command
    line is at fault, no file is, or more than one may be.

    Args:
        message: the message; it may end with `(in arm relu)`.
        key: the dotted key that it is about.
        value: the value of the key in the message; empty if the message has none.
    """
    arm_match = re.search(r"\(in arms? ([\w.-]+)", message)
    arm_key = f"arms.{arm_match[1]}" if arm_match else ""
    if any(sets_key(text, key) for text in sys.argv[1:]):
        return None
    if any(split_override(text)[0] == arm_key for text in sys.argv[1:]):
        arm_key = ""  # the command line replaces the arm of the files
    arms = [(path, arm) for path, arm in find_values(arm_key) if isinstance(arm, list)]
    overrides = [(path, str(text)) for path, arm in arms[-1:] for text in arm]
    if own := [path for path, text in overrides if sets_key(text, key)]:
        return own[0]
    choices = [*sys.argv[1:], *(text for _, text in overrides)]
    if path := choose_file(find_values(key), value, choices):
        return path
    group = key.partition(".")[0]
    chosen = [option for name, option in map(split_override, choices) if name == group]
    if chosen and message.startswith(f"{key} has no value"):
        return option_folders.user_file(f"{group}/{chosen[-1]}")
    # A rule may name two keys, such as warmup_steps and steps, of which the arm sets the second.
    named = [path for path, text in overrides if is_named(text, message)]
    return named[0] if named else None


def split_override(text: str) -> tuple[str, str]:
    """Return the key of an override, without its plus or tilde, and its value."""
    key, _, value = text.lstrip("+~").partition("=")
    return key, value


def sets_key(text: str, key: str) -> bool:
    """Return whether an override sets a key, by itself or in a group: `training={steps: 3}`."""
    name, value = split_override(text)
    leaf = re.escape(key.rpartition(".")[2])
    has_leaf = re.search(rf"\b{leaf}\s*:", value) is not None
    return name == key or (key.startswith(f"{name}.") and value.startswith("{") and has_leaf)


def is_named(text: str, message: str) -> bool:
    """Return whether a message names the last part of an override's key, or its option."""
    name = split_override(text)[0].rpartition(".")
    return re.search(rf"\b{re.escape(name[2] if name[0] else text)}\b", message) is not None


def choose_file(
    files: Sequence[tuple[Path, Any]], value: str, choices: Sequence[str]
) -> Path | None:
    """Return the one of several files that set a key whose value is at fault; None if unclear.

    Args:
        files: each file, with its value of the key.
        value: the value in the message; empty if the message has none.
        choices: overrides, which choose options: `experiment=mine`.
    """
    files = [(path, own) for path, own in files if not is_other_number(own, value)]
    same = [(path, own) for path, own in files if value and str(own).lower() == value.lower()]
    files = same or files
    # A preset is composed last, so that its value is in use.
    files = [each for each in files if each[0].parent.name == "preset"] or files
    if len(files) > 1:
        words = " ".join(choices)
        files = [each for each in files if re.search(rf"={re.escape(each[0].stem)}\b", words)]
    return files[0][0] if len(files) == 1 else None


def is_other_number(own: object, value: str) -> bool:
    """Return whether the value of a file and the value of a message are different numbers."""
    try:
        return float(str(own)) != float(value)
    except ValueError:
        return False


def append_choosing_file(option: re.Match[str], message: str) -> str:
    """Return a message about an unknown option, with the user's file that chooses it."""
    if any(text.lstrip("+") == f"{option[1]}={option[2]}" for text in sys.argv[1:]):
        return message
    pattern = re.compile(rf"\b{option[1]}\s*[:=]\s*{re.escape(option[2])}\b")
    files = [
        path
        for path in option_folders.loaded_user_files()
        if pattern.search(option_folders.read_text_or_empty(path))
    ]
    return f"{message}; correct it in {files[0]}" if len(files) == 1 else message


def find_values(key: str) -> list[tuple[Path, Any]]:
    """Return the loaded files of the user that set a dotted key, each with its value."""
    files = option_folders.loaded_user_files() if key else []
    return [(path, value) for path in files for value in read_values(path, key)]


def read_values(path: Path, key: str) -> Iterator[Any]:
    """Yield the value of a dotted key in a file, if the file sets it.

    The header and the folder of the file say where its keys go.
    """
    try:
        document: Any = option_folders.read_yaml(path)
        is_global = GLOBAL.search(option_folders.read_text_or_empty(path)) is not None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return
    names = key.split(".")
    if not is_global:
        if names[0] != path.parent.name or len(names) == 1:
            return
        names = names[1:]
    yield from walk(document, names)


def walk(document: Any, names: Sequence[str]) -> Iterator[Any]:
    """Yield the values that names lead to in nested mappings; a key may have dots: `F1.better`."""
    if not names:
        yield document
    elif isinstance(document, dict):
        for end in range(1, len(names) + 1):
            if (name := ".".join(names[:end])) in document:
                yield from walk(document[name], names[end:])
