"""Append-only files of JSON lines: what an experiment remembers from run to run. No torch.

A line that is torn (a kill, a full disk) or damaged is skipped; the next one starts on its own.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.records.files import read_bytes, replace_non_finite


def append(path: Path, record: Mapping[str, Any]) -> str:
    """Add a line, and wait until it is on the disk; why that failed, "" if it did not."""
    text = json.dumps(replace_non_finite(record), sort_keys=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            torn = False
            if size:
                file.seek(size - 1)
                torn = file.read(1) != b"\n"
            file.write(b"\n" * torn + text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def read_entries(path: Path) -> list[dict[str, Any]]:
    """The lines that can be read, the oldest first; none where there is no file."""
    return _parsed(path)[0]


def describe_damage(path: Path) -> str:
    """What is wrong with a ledger, naming the file; "" if nothing is."""
    _, damaged, unreadable = _parsed(path)
    if unreadable:
        return f"{path.name} cannot be read ({unreadable}): it counts as empty"
    if not damaged:
        return ""
    lines = "1 damaged line" if damaged == 1 else f"{damaged} damaged lines"
    return f"{path.name} has {lines}, passed over"


def _parsed(path: Path) -> tuple[list[dict[str, Any]], int, str]:
    """The lines that can be read, how many cannot, and why the file cannot."""
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return [], 0, ""
    except OSError as error:
        return [], 0, error.strerror or str(error)
    lines, damaged = [], 0
    for line in filter(None, content.split(b"\n")):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            lines.append(record)
        else:
            damaged += 1
    return lines, damaged, ""
