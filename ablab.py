"""The console command `ablab`, the same as `python -m runner`, and a check of its packages.

The packages of ablab are called `runner`, `experiments` and `conf`, and other projects use these
names too. This module has a name of its own, so that it can detect another package that hides
ablab's. The command then prints a message instead of running the other code.
"""

import importlib.util
import os
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
PACKAGES, CONF = ("runner", "experiments"), "conf"
SEALED = ("runner/__init__.py", "runner/__main__.py", "experiments/__init__.py", "conf/config.yaml")


def main() -> None:
    """Run the command, if its packages are those of ablab."""
    check()
    from runner.__main__ import run_main_process

    run_main_process()


def check() -> None:
    """Exit with code 2 and a message if another package hides `runner` or `experiments`.

    Another `conf` only gets a note: ablab reads its own `conf` by path. Imports from the current
    folder are turned off.
    """
    leave_out_current_folder()
    if message := find_foreign_package():
        print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201
        sys.exit(2)
    path = find_import_path(CONF)
    if path is not None and path.parent != HOME:
        print(f"note: another conf hides ablab's and is not used: {path}", file=sys.stderr)  # noqa: T201


def leave_out_current_folder() -> None:
    """Turn off imports from the current folder, in this process and in its child processes.

    `python -m runner` puts the folder first in the path. For plug-ins `runner.plugins` appends it
    at the end. A checkout that is not installed can still be imported from its own folder.
    """
    current = Path(os.path.realpath("."))
    if sys.path and current != HOME and os.path.realpath(sys.path[0]) == str(current):
        del sys.path[0]
    os.environ["PYTHONSAFEPATH"] = "1"
    path = os.environ.get("PYTHONPATH", "")
    if current == HOME and str(HOME) not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HOME), *([path] if path else [])])


def find_foreign_package() -> str:
    """Return a message and a hint about a package that replaces one of ablab's; else ""."""
    for name in PACKAGES:
        path = find_import_path(name)
        if path is not None and path.parent != HOME:
            return (
                f"another package {name} hides ablab's: {path}\nleave its folder out of "
                "PYTHONPATH, or use a separate environment for ablab"
            )
    for name in find_replaced_files():
        return (
            f"{name} is not ablab's: another package of that name was installed over it, or removed"
            "\nuninstall that package, then in the checkout of ablab type pip install "
            "--force-reinstall --no-deps ."
        )
    return ""


def find_import_path(name: str) -> Path | None:
    """Return the path that Python imports under a name; None for a folder without code."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # raised for a damaged package
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).resolve()
    return path.parent if path.name == "__init__.py" else path


def find_replaced_files() -> list[str]:
    """Return files of an installed ablab that are missing or have changed since."""
    if missing := [name for name in SEALED if not (HOME / name).is_file()]:
        return missing
    if (HOME / "pyproject.toml").exists():  # a checkout, whose files are edited
        return []
    import base64  # imported here, so that the command starts fast
    import hashlib
    import importlib.metadata

    try:
        files = importlib.metadata.files("ablab") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    changed = []
    for file in files:
        path = Path(str(file.locate()))
        if str(file) not in SEALED or file.hash is None or HOME not in path.resolve().parents:
            continue
        digest = hashlib.new(file.hash.mode, path.read_bytes()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
            changed.append(str(file))
    return changed


if __name__ == "__main__":
    main()
