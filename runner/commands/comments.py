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
