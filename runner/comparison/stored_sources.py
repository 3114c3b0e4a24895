"""The sources that a comparison stores with its results: generated modules, and the user's own."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.comparison.parts import GeneratedPart
from runner.plan.code_hash import find_user_modules
from runner.records import module_source
from runner.records.files import write_atomically
from runner.wording.names import format_count
from runner.wording.output import join_names

FOLDER = "sources"
IMPORTED = "imported-modules"
"""The folder of the user's own modules. No package can have this name, so no copy is imported."""
MOST_BYTES = 8 * 2**20


def find_imported_sources(parts: Iterable[GeneratedPart]) -> list[str]:
    """Return the user's modules that the classes of some parts import, directly or not.

    These are the modules that the code hash of their trials covers. Their own modules come first.
    """
    own = list(dict.fromkeys(module for part in parts for module in part.origin.imports))
    modules = find_user_modules(own)
    return sorted(modules, key=lambda module: (module not in own, module))


def read_sources(
    parts: Sequence[GeneratedPart], modules: Iterable[str]
) -> tuple[dict[str, bytes], list[str]]:
    """Return the files to store, by their paths, and the modules without a file among them.

    Files of `modules` are stored up to `MOST_BYTES` in total.
    """
    files = {name: text.encode() for part in parts for name, text in part.files().items()}
    n_bytes, left_out = 0, []
    for module in modules:
        path = module_source.locate(module)
        if path is None:  # a folder without code
            continue
        size = path.stat().st_size
        if path.suffix != ".py" or n_bytes + size > MOST_BYTES:
            left_out.append(module)
            continue
        n_bytes += size
        is_package = path.name == "__init__.py"
        name = module.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        files[f"{IMPORTED}/{name}"] = path.read_bytes()
    return files, left_out


def note_on_left_out(modules: Sequence[str]) -> list[str]:
    """Return a note on modules whose sources are not stored."""
    if not modules:
        return []
    count = format_count(len(modules), "imported module")
    size = f"{MOST_BYTES // 2**20} MiB"
    return [f"{FOLDER}: {count} left out (no Python file, or beyond {size}): {join_names(modules)}"]


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return a digest of files, which names their folder."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0".encode() + content + b"\0")
    return digest.hexdigest()[:12]


def write_sources(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, content)
