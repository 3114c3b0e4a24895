"""Append-only files of JSON lines that an experiment keeps from run to run. No torch.

A damaged line, or one cut short by a kill or a full disk, is skipped; the next entry starts a line.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.records.files import read_bytes, replace_non_finite


def append(path: Path, record: Mapping[str, Any]) -> str:
    """Append a line and sync it to disk; return why that failed, or ""."""
    text = json.dumps(replace_non_finite(record), sort_keys=True, allow_nan=False) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            is_cut = False
            if size:
                file.seek(size - 1)
                is_cut = file.read(1) != b"\n"
            file.write(b"\n" * is_cut + text.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Return the readable lines, the oldest first; [] where the file is missing."""
    return _parse_lines(path)[0]


def describe_damage(path: Path) -> str:
    """Return a message that names the file and its damage; "" for an intact ledger."""
    _, damaged, unreadable = _parse_lines(path)
    if unreadable:
        return f"{path.name} cannot be read ({unreadable}): it counts as empty"
    if not damaged:
        return ""
    lines = "1 damaged line" if damaged == 1 else f"{damaged} damaged lines"
    return f"{path.name} has {lines}, skipped"


def _parse_lines(path: Path) -> tuple[list[dict[str, Any]], int, str]:
    """Return readable lines, the number of damaged ones, and why the file cannot be read."""
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
