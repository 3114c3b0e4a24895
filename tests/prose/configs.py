"""Read the prose of a YAML file: its comments, and the values that a person reads."""

import re
from collections.abc import Iterator

import yaml

from tests.prose.texts import Text

READ = {
    "question", "statement", "published", "source", "title", "caption", "not_tested", "duration",
    "label", "x_label", "y_label", "colour_label", "reference_label",
}  # fmt: skip
"""Keys whose values appear on a page or in the terminal."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
COMMAND = re.compile(r"\s*(?:python|ablab|tensorboard|pip|make|pytest)\s|\s*'?[+~\w.]+=\S")
COMMENT = re.compile(r"^\s*#|\s#(?=\s)")


def texts(path: str, source: str) -> Iterator[Text]:
    """Yield blocks of comments, and values."""
    for line, body in comments(source):
        yield Text(path, line, "conf", body)
    if (root := yaml.compose(source, Loader=LOADER)) is not None:
        for line, body in values(root, read=False):
            yield Text(path, line, "conf", body)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment; those of neighbouring lines are one text."""
    block: list[str] = []
    first = last = column = 0
    continues = False
    for number, line in enumerate(source.splitlines(), 1):
        match = COMMENT.search(line)
        if not match or line.startswith("# @package"):
            continue
        at = match.end() - 1
        if block and not (not line[:at].strip() and number == last + 1 and at == column):
            yield first, "\n".join(block)
            block, continues = [], False
        if not block:
            first = number
        content = line[at + 1 :].removeprefix(" ")
        block.append(description(content) if continues or COMMAND.match(content) else content)
        continues = content.endswith("\\") and not block[-1]
        last, column = number, at
    if block:
        yield first, "\n".join(block)


def description(command: str) -> str:
    """Return the text after a command in its line, behind two spaces or more."""
    _, gap, text = command.strip().partition("  ")
    text = text.strip(" \\")
    return f"- {text}" if gap and text else ""  # an item of a list: a block of its own


def values(node: yaml.Node, *, read: bool) -> Iterator[tuple[int, str]]:
    """Yield line and text of each string below a key of `READ`."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from values(value, read=read or key.value in READ)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from values(item, read=read)
    elif read and node.tag == "tag:yaml.org,2002:str":
        folded = node.style in (">", "|")
        yield node.start_mark.line + 1 + folded, node.value
