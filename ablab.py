"""The console command `ablab`, the same as `python -m runner`; and what stands before our code.

The packages of ablab are called `runner`, `experiments` and `conf`, names that others use too. This
module has a name of its own, so that the command can say so instead of running another's code.
"""

import importlib.util
import os
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent
PACKAGES, CONF = ("runner", "experiments"), "conf"
SEALED = ("runner/__init__.py", "runner/__main__.py", "experiments/__init__.py", "conf/config.yaml")


def main() -> None:
    """Run the command, if the code behind it is ours."""
    check()
    from runner.__main__ import run_main_process

    run_main_process()


def check() -> None:
    """Import nothing from the current folder; say what stands before our code, and end for it.

    `conf` holds YAML files that are read by their place, so that another one does no harm.
    """
    leave_out_current_folder()
    if why := stranger():
        print("\n".join(f"ablab: {line}" for line in why.splitlines()), file=sys.stderr)  # noqa: T201
        sys.exit(2)
    place = found(CONF)
    if place is not None and place.parent != HOME:
        print(f"note: another conf stands before ablab's and is not used: {place}", file=sys.stderr)  # noqa: T201


def leave_out_current_folder() -> None:
    """Import nothing from the current folder, here and in processes that are started from here.

    `python -m runner` puts it first in the path. For plug-ins `runner.plugins` appends it at the
    end. A checkout that is not installed is found all the same.
    """
    here = Path(os.path.realpath("."))
    if sys.path and here != HOME and os.path.realpath(sys.path[0]) == str(here):
        del sys.path[0]
    os.environ["PYTHONSAFEPATH"] = "1"
    known = os.environ.get("PYTHONPATH", "")
    if here == HOME and str(HOME) not in known.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([str(HOME), *([known] if known else [])])


def stranger() -> str:
    """What stands where our packages should be, and the cure; "" where all is ours."""
    for name in PACKAGES:
        place = found(name)
        if place is not None and place.parent != HOME:
            return (
                f"another {name} stands before ablab's: {place}\nleave its folder out of "
                "PYTHONPATH, or use an environment of its own for ablab"
            )
    for name in replaced():
        return (
            f"{name} is not ablab's: another package of that name was installed over it, or removed"
            "\nuninstall the other, then in the checkout of ablab type pip install "
            "--force-reinstall --no-deps ."
        )
    return ""


def found(name: str) -> Path | None:
    """The folder, or the file, that Python imports under a name; None for a folder of no code."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # whatever stands there
        return None
    if spec is None or spec.origin is None:
        return None
    place = Path(spec.origin).resolve()
    return place.parent if place.name == "__init__.py" else place


def replaced() -> list[str]:
    """Files of an installed ablab that are missing, or no longer what was installed."""
    if missing := [name for name in SEALED if not (HOME / name).is_file()]:
        return missing
    if (HOME / "pyproject.toml").exists():  # a checkout, whose files are edited
        return []
    import base64  # imports of what only this needs: the command is to start fast
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
