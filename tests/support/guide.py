"""The recipes of docs/bring_your_own.md: their files and commands, exactly as on the page."""

import re
from pathlib import Path

from tests.support.environment import ROOT

PAGE = (ROOT / "docs" / "bring_your_own.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"`([\w/]+\.(?:py|yaml))`")


def files_of_guide() -> dict[str, str]:
    """Return the text of each file on the page; the paragraph before its block begins its name."""
    files: dict[str, str] = {}
    end = 0
    for block in BLOCK.finditer(PAGE):
        before, end = PAGE[end : block.start()], block.end()
        if block[1] in ("python", "yaml"):
            files[NAME.findall(before)[-1]] = block[2]
    return files


def sections_of_guide() -> dict[str, list[str]]:
    """Return the commands of each section that has some."""
    commands: dict[str, list[str]] = {}
    for text in PAGE.split("\n## ")[1:]:
        title = text.split("\n", 1)[0]
        blocks = [content for language, content in BLOCK.findall(text) if not language]
        lines = [line for content in blocks for line in content.splitlines()]
        if lines:
            commands[title] = lines
    return commands


def write_guide(folder: Path, *names: str) -> None:
    """Write files of the page into a folder; without names all of them."""
    for name, text in files_of_guide().items():
        if not names or name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
