"""A config names options and never code: what could run code or read the environment is refused.

Text is looked at as it is parsed, so that no way of writing it hides what it says. A YAML file is
looked at before its anchors are expanded, so that a small file cannot fill the memory.
"""

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

from runner.config import ConfigError
from runner.records.files import read_bytes
from runner.wording.output import truncate_middle

RUNS_CODE = "_target_"
AS_A_WORD = re.compile(rf"(?<![A-Za-z0-9]){RUNS_CODE}(?![A-Za-z0-9])")
BYTES, NODES, DEPTH = 2**20, 5_000, 60
"""The limits of a user's YAML file: its size, its values with anchors expanded, its nesting."""
MISREAD = re.compile(r"[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|0[0-7_]+)")


def refuse_code(text: str) -> None:
    """Raise ConfigError for text that could make a config run code or read the environment.

    `${name}` of another key is allowed. `${name:...}`, which calls a function of OmegaConf (a
    resolver, such as `${oc.env:HOME}`), is not, however it is nested.
    """
    refuse_key(text)
    refuse_resolver(text)


def refuse_key(text: str) -> None:
    """Raise ConfigError for a key, or an override, that would name code to run."""
    if AS_A_WORD.search(text):
        raise ConfigError(
            f"{RUNS_CODE} is not allowed in a config: a config names options, it never runs code"
        )


def refuse_resolver(text: str) -> None:
    """Raise ConfigError for a value that calls a function of OmegaConf."""
    if calls_resolver(text):
        raise ConfigError(
            f"{truncate_middle(text, 100)} is not allowed in a config: ${{...:...}} calls a function, "
            "such as one that reads the environment; write the value itself, or ${key} for the "
            "value of another key"
        )


def calls_resolver(text: str) -> bool:
    """Whether an interpolation in a text has a colon, and so is a resolver's."""
    if "${" not in text or ":" not in text:
        return False
    depth, place = 0, 0
    while place < len(text):
        if text.startswith("${", place):
            depth, place = depth + 1, place + 1
        elif depth and text[place] == "}":
            depth -= 1
        elif depth and text[place] == ":":
            return True
        place += 1
    return False


def refuse_code_in_values(value: Any) -> None:
    """Raise ConfigError where a parsed value, or a key or value within it, could run code."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key in item:
                refuse_code(str(key))
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        elif item is not None:
            refuse_resolver(str(item))


def check_yaml_file(path: Path) -> None:
    """Check a user's YAML file before anything is made of what it says.

    Raises:
        ConfigError: it cannot be read, is too large (see `BYTES`), or holds what could run code;
            the message names the file.
    """
    try:
        text = read_text(path)
        for document in yaml.compose_all(
            text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        ):
            if document is not None and not isinstance(document, yaml.MappingNode):
                raise ConfigError("it holds no keys with values, such as `seed: 1`")
            check_node(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: it is nested too deeply; {DEPTH} levels are allowed") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path} cannot be read as YAML: {truncate_middle(reason, 200)}"
        ) from error


def read_text(path: Path) -> str:
    """The text of a file that a user gave. Raises OSError, UnicodeError, ConfigError."""
    content = read_bytes(path, BYTES)
    if content.startswith(codecs.BOM_UTF8):
        raise ConfigError("it starts with a byte order mark; save it as UTF-8 without one")
    return content.decode("utf-8")


def refuse_misread(node: yaml.ScalarNode) -> None:
    """Raise ConfigError for a number that YAML reads otherwise than it looks: 1:30 is 90, 010 8."""
    if not node.style and MISREAD.fullmatch(node.value):
        raise ConfigError(
            f"line {node.start_mark.line + 1}: YAML reads {truncate_middle(node.value, 40)} to the base "
            "60 or 8; write a plain number, or put it in quotes"
        )


def refuse_keys(node: yaml.MappingNode) -> None:
    """Raise ConfigError for a key that would name code to run."""
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            refuse_key(key.value)


def check_node(node: yaml.Node | None) -> None:
    """Raise ConfigError for a YAML document that is too large, too deep, or could run code."""
    sizes: dict[int, int] = {}
    opened: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        """How many values a node holds once its anchors are expanded; each node is visited once."""
        if id(node) in opened:
            raise ConfigError("an anchor (&name) holds itself (*name); write its values out")
        if depth > DEPTH:
            raise ConfigError(f"it is nested too deeply; {DEPTH} levels are allowed")
        if id(node) not in sizes:
            opened.add(id(node))
            if isinstance(node, yaml.ScalarNode):
                refuse_resolver(node.value)
                refuse_misread(node)
                count = 1
            elif isinstance(node, yaml.MappingNode):
                refuse_keys(node)
                count = 1 + sum(size(part, depth + 1) for pair in node.value for part in pair)
            else:
                count = 1 + sum(size(part, depth + 1) for part in node.value)
            opened.remove(id(node))
            sizes[id(node)] = count
        if sizes[id(node)] > NODES:
            raise ConfigError(
                f"it holds more than {NODES:,} values once its anchors are expanded; write what is "
                "needed"
            )
        return sizes[id(node)]

    if node is not None:
        size(node, 0)
