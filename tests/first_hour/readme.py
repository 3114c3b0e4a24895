"""Read the steps of a README: its commands in order, and the files that it tells a reader to save.

An unlabelled or `bash` block whose first line begins with a program is a block of commands. Each of
its lines is one step. Other unlabelled blocks are output or a tree, and are not run. A block after
the words "save this as `path`" is a file, and the commands in the paragraph below it are steps.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

PROGRAMS = ("ablab", "git", "make", "pip", "pytest", "python", "tensorboard")
SERVERS = ("tensorboard",)
SHELLS = ("", "bash", "console", "sh", "shell")
FENCE = re.compile(r"^```(\w*)\s*$")
SAVE = re.compile(r"\bsave (?:this|it) as `([^`]+)`", re.IGNORECASE)
INLINE = re.compile(r"`([^`]+)`")
PLACEHOLDER = re.compile(r"<[A-Za-z][^<>|&;]*>|\.\.\.|…")


class ReadmeError(ValueError):
    """A README with lines that cannot be run as they stand."""


@dataclass(frozen=True)
class Step:
    """One command, one server, or one file to save; `line` is its line in the README."""

    line: int
    text: str
    path: str = ""

    @property
    def kind(self) -> str:
        """Return "file", "server" or "command"."""
        if self.path:
            return "file"
        return "server" if first_word(self.text) in SERVERS else "command"


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line in the README, language, lines, and the text around it."""

    line: int
    language: str
    lines: tuple[str, ...]
    before: str
    after: str
    after_line: int

    @property
    def is_commands(self) -> bool:
        """Return whether a reader types the lines of this block."""
        filled = [line for line in self.lines if line.strip()]
        return self.language in SHELLS and bool(filled) and first_word(filled[0]) in PROGRAMS


def read_steps(readme: str, *, skip: str | None = None) -> list[Step]:
    """Return the steps of a README in order, without commands that match the pattern `skip`.

    Raises ReadmeError for commands that cannot be run.
    """
    steps = [step for block in read_blocks(readme) for step in block_steps(block)]
    if skip is not None:
        steps = [step for step in steps if step.path or not re.search(skip, step.text)]
    wrong = [fault for step in steps for fault in step_faults(step)]
    if wrong:
        raise ReadmeError("\n".join(wrong))
    return steps


def read_blocks(readme: str) -> Iterator[Block]:
    """Yield the fenced blocks of a README."""
    lines = readme.splitlines()
    fences = [number for number, line in enumerate(lines) if FENCE.match(line)]
    if len(fences) % 2:
        raise ReadmeError(f"line {fences[-1] + 1}: the block has no end")
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        opening = FENCE.match(lines[start])
        assert opening is not None
        above, below = paragraph(lines[:start][::-1]), paragraph(lines[end + 1 :])
        skipped = len(lines) - len("\n".join(lines[end + 1 :]).lstrip().splitlines())
        yield Block(
            line=start + 2,
            language=opening[1],
            lines=tuple(lines[start + 1 : end]),
            before="\n".join(above[::-1]),
            after="\n".join(below),
            after_line=skipped + 1,
        )


def paragraph(lines: list[str]) -> list[str]:
    """Return the lines of the first paragraph, or none if a fenced block comes first."""
    filled = itertools.dropwhile(lambda line: not line.strip(), lines)
    return list(itertools.takewhile(lambda line: line.strip() and not FENCE.match(line), filled))


def block_steps(block: Block) -> Iterator[Step]:
    """Yield the steps of a block and, if it is a file, those of the paragraph below it."""
    if block.is_commands:
        yield from command_steps(block)
    elif path := SAVE.search(block.before):
        yield Step(block.line, "\n".join(block.lines) + "\n", path[1])
        for code in INLINE.finditer(block.after):
            if first_word(code[1]) in PROGRAMS:
                line = block.after_line + block.after.count("\n", 0, code.start())
                yield Step(line, code[1])


def command_steps(block: Block) -> Iterator[Step]:
    """Yield a step for each line; a backslash at its end joins the next line to it."""
    joined, first = "", 0
    for number, line in enumerate(block.lines):
        first = first if joined else number
        joined += line
        if joined.endswith("\\"):
            joined += "\n"
            continue
        if joined.strip() and not joined.lstrip().startswith("#"):
            yield Step(block.line + first, joined.strip())
        joined = ""


def step_faults(step: Step) -> Iterator[str]:
    """Yield the reasons why a step cannot be run as it stands."""
    if step.path:
        return
    if first_word(step.text) not in PROGRAMS:
        yield f"line {step.line}: no known program begins this line: {step.text}"
    if placeholder := PLACEHOLDER.search(without_comment(step.text)):
        yield f"line {step.line}: {placeholder[0]} is not a word to type: {step.text}"


def without_comment(command: str) -> str:
    """Return a command without its comment; a # within quotes or a word begins none."""
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"|(?P<comment>(?:^|(?<=\s))#.*)", re.DOTALL)
    return quoted.sub(lambda match: "" if match["comment"] else match[0], command).rstrip()


def first_word(command: str) -> str:
    """Return the first word of a command."""
    return command.split(maxsplit=1)[0] if command.strip() else ""


def with_scale(command: str, scale: str) -> str:
    """Return a command that runs at `scale`, unless it names another one or runs nothing."""
    typed = without_comment(command)
    if "experiment=" not in typed or "scale=" in typed:
        return command
    return re.sub(r"\bexperiment=\S+", rf"\g<0> scale={scale}", command, count=1)


def text_patterns(command: str) -> list[str]:
    """Return the patterns of the text files that a command reads, such as `my/*.md`."""
    patterns = re.findall(r"\btask\.path=('[^']+'|\"[^\"]+\"|\S+)", without_comment(command))
    return [pattern.strip("'\"") for pattern in patterns]
