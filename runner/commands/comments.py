"""The comments of YAML files as texts: the header of a file, and the meaning of each key."""

import re
from pathlib import Path

from runner.plan.option_folders import read_text_or_empty

ENDS = re.compile(r"(?<=[.?!])\s+(?=[A-Z(])")
COMMAND = "  "  # commands are indented


def header_of(file: Path) -> str:
    """Return the first paragraph of a file's header, without commands and Hydra's directives."""
    words: list[str] = []
    for line in read_text_or_empty(file).splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("#").removeprefix(" ")
        if text.startswith("@package") and not words:
            continue
        if text.startswith((COMMAND, "- ", "* ")) or not text.strip():
            break
        words.append(text.strip())
    return " ".join(words)


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    return ENDS.split(" ".join(text.split()), maxsplit=1)[0]


KEY = re.compile(r"^(?P<indent> *)(?P<name>\w+):(?=\s|$)(?P<rest>.*)$")
COMMENT = re.compile(r"(?:^|\s)#\s?(?P<text>.*)$")
ENTRY = re.compile(r"^\s*(?P<names>\w+(?:, \w+)*)(?:: | {2,})(?P<text>\S.*)$")


def key_comments(file: Path) -> dict[str, str]:
    """Return the comment after each key of a YAML file, by its dotted name, on one line."""
    texts: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    name = ""
    for line in read_text_or_empty(file).splitlines():
        key, comment = KEY.match(line), COMMENT.search(line)
        text = comment["text"].strip() if comment else ""
        if key:
            indent = len(key["indent"])
            stack = [entry for entry in stack if entry[0] < indent]
            name = ".".join([*(entry[1] for entry in stack), key["name"]])
            stack.append((indent, key["name"]))
            if text:
                texts[name] = text
        elif text and name in texts and line.lstrip().startswith("#"):
            texts[name] += f" {text}"  # a continued comment
        else:
            name = ""
    return {key: text.removesuffix("|").strip() for key, text in texts.items()}


def docstring_fields(cls: type) -> dict[str, str]:
    """Return the description of each field in the docstrings of a class and its base classes.

    A field has a line `name: text`, or `name  text` with two spaces. Lines with more indentation
    continue it.
    """
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        texts |= read_docstring(vars(base).get("__doc__") or "")
    return texts


def read_docstring(docstring: str) -> dict[str, str]:
    """Return the descriptions of fields in one docstring."""
    texts: dict[str, str] = {}
    names: list[str] = []
    indent = 0
    for line in docstring.splitlines()[1:]:
        entry = ENTRY.match(line)
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            names = []
        elif names and depth > indent:
            texts |= {name: f"{texts[name]} {line.strip()}" for name in names}
        elif entry:
            names, indent = entry["names"].split(", "), depth
            texts |= dict.fromkeys(names, entry["text"])
        else:
            names = []
    return texts
