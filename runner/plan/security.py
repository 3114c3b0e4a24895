"""Security checks: a config names options, and must not run code or read the environment.

Overrides are checked after parsing, so that quotes and escapes cannot hide their content. A YAML
file is checked before its anchors are expanded, so that a small file cannot fill the memory.
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
MAX_BYTES, MAX_NODES, MAX_DEPTH = 2**20, 5_000, 60
"""Limits of a user's YAML file: size, values once anchors are expanded, and nesting."""
YAML_TAGS = "tag:yaml.org,2002:"
MISREAD = re.compile(r"[-+]?(?:[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|0[0-7_]+)")


def refuse_code(text: str) -> None:
    """Raise ConfigError for text that could make a config run code or read the environment.

    `${name}`, the value of another key, is allowed. `${name:...}` calls a function of OmegaConf (a
    resolver, such as `${oc.env:HOME}`) and is refused at any depth.
    """
    refuse_key(text)
    refuse_resolver(text)


def refuse_key(text: str) -> None:
    """Raise ConfigError for a key or an override that names code to run."""
    if AS_A_WORD.search(text):
        raise ConfigError(f"{RUNS_CODE} is not allowed in a config, since it names code to run")


def refuse_resolver(text: str) -> None:
    """Raise ConfigError for a value that calls a function of OmegaConf."""
    if calls_resolver(text):
        raise ConfigError(
            f"{truncate_middle(text, 100)} is not allowed in a config: ${{...:...}} calls a "
            "function, e.g. one that reads the environment. Write the value itself, or ${key} for "
            "the value of another key"
        )


def calls_resolver(text: str) -> bool:
    """Return whether an interpolation in a text has a colon, and so calls a resolver."""
    if "${" not in text or ":" not in text:
        return False
    depth, index = 0, 0
    while index < len(text):
        if text.startswith("${", index):
            depth, index = depth + 1, index + 1
        elif depth and text[index] == "}":
            depth -= 1
        elif depth and text[index] == ":":
            return True
        index += 1
    return False


def refuse_code_in_values(value: Any) -> None:
    """Raise ConfigError if a parsed value, or a key or value within it, could run code."""
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
    """Check a user's YAML file before its content is used.

    Raises:
        ConfigError: the file cannot be read, is too large (see `MAX_BYTES`), or could run code. The
            message names the file.
    """
    try:
        text = read_text(path)
        for document in yaml.compose_all(
            text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        ):
            if document is not None and not isinstance(document, yaml.MappingNode):
                raise ConfigError("it has no keys with values, such as `seed: 1`")
            check_node(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(
            f"{path}: it is nested too deeply; at most {MAX_DEPTH} levels are allowed"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{path} cannot be read as YAML: {truncate_middle(reason, 200)}"
        ) from error


def read_text(path: Path) -> str:
    """Return the text of a user's file. Raises OSError, or ConfigError if it is not UTF-8."""
    content = read_bytes(path, MAX_BYTES)
    if content.startswith(codecs.BOM_UTF8):
        raise ConfigError("it starts with a byte order mark; save it as UTF-8 without one")
    if b"\0" in content[:4] or content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError("its encoding is UTF-16 or UTF-32; save it as UTF-8")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content.count(b"\n", 0, error.start) + 1, content[error.start]
        raise ConfigError(
            f"line {line} is not in UTF-8, but perhaps in Latin-1 (byte {byte:#x}); save the file "
            "as UTF-8"
        ) from error


def refuse_misread(node: yaml.ScalarNode) -> None:
    """Raise ConfigError for a number that YAML reads in base 60 or 8: 1:30 is 90, and 010 is 8."""
    if not node.style and MISREAD.fullmatch(node.value):
        raise ConfigError(
            f"line {node.start_mark.line + 1}: YAML reads {truncate_middle(node.value, 40)} in "
            "base 60 or 8; write a decimal number, or put it in quotes"
        )


def refuse_keys(node: yaml.MappingNode) -> None:
    """Raise ConfigError for a key that names code to run, or that is given twice."""
    known: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            refuse_key(key.value)
            if key.value in known:  # YAML would drop all but the last of them
                name = truncate_middle(key.value, 60)
                raise ConfigError(f"line {key.start_mark.line + 1}: {name} is given twice")
            known.add(key.value)


def refuse_tag(node: yaml.Node) -> None:
    """Raise ConfigError for a tag, such as `!new`, that is not one of YAML's own types."""
    if node.tag != "!" and (not node.tag.startswith(YAML_TAGS) or "python/" in node.tag):
        tag = truncate_middle(node.tag.replace(YAML_TAGS, "!!"), 60)
        raise ConfigError(f"line {node.start_mark.line + 1}: remove {tag}; tags are not allowed")


def check_node(node: yaml.Node | None) -> None:
    """Raise ConfigError for a YAML document that is too large, too deep, or could run code."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def count_values(node: yaml.Node, depth: int) -> int:
        """Return the number of values of a node once anchors are expanded; visit each node once."""
        if id(node) in open_nodes:
            raise ConfigError("an anchor (&name) contains itself (*name); write its values out")
        if depth > MAX_DEPTH:
            raise ConfigError(f"it is nested too deeply; at most {MAX_DEPTH} levels are allowed")
        if id(node) not in sizes:
            refuse_tag(node)
            open_nodes.add(id(node))
            if isinstance(node, yaml.ScalarNode):
                refuse_resolver(node.value)
                refuse_misread(node)
                count = 1
            elif isinstance(node, yaml.MappingNode):
                refuse_keys(node)
                count = 1 + sum(
                    count_values(part, depth + 1) for pair in node.value for part in pair
                )
            else:
                count = 1 + sum(count_values(part, depth + 1) for part in node.value)
            open_nodes.remove(id(node))
            sizes[id(node)] = count
        if sizes[id(node)] > MAX_NODES:
            raise ConfigError(
                f"it has more than {MAX_NODES:,} values once its anchors are expanded; write fewer"
            )
        return sizes[id(node)]

    if node is not None:
        count_values(node, 0)
