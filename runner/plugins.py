"""Plug-ins: modules of users that register parts, tasks and questions when they are imported.

Users name them on the command line or install them, because they run code.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, ModuleType

from runner.config import ConfigError
from runner.wording.names import did_you_mean, similar_names
from runner.wording.output import describe_exit, truncate_middle

LIBRARIES = frozenset(
    (
        *("ablab", "runner", "experiments", "hydra", "omegaconf", "antlr4", "yaml"),
        *("hydra_plugins", "numpy", "torch", "tokenizers", "jaxtyping", "beartype"),
    )
)
"""Packages that ablab calls itself, so that their functions are never the user's."""


def describe_import_error(error: ImportError) -> str:
    """Return Python's message about a failed import, with a hint.

    The hint is a module of the current folder whose name is similar, such as a misspelled one.
    """
    local = [path.stem for path in Path().glob("*.py")]
    similar = similar_names(error.name or "", local)
    hint = did_you_mean(similar) if similar else "is it installed?"
    return f"{truncate_middle(error, 150)}; {hint}"


def import_plugins(
    modules: Iterable[str], explain: Callable[[ImportError], str] = describe_import_error
) -> None:
    """Import plug-in modules, from the current folder if they are not installed.

    Args:
        modules: dotted names of the modules.
        explain: returns the message for an import that fails, with a hint.

    Raises:
        ConfigError: a module cannot be imported.
    """
    for name in modules:
        if (folder := os.path.realpath(".")) not in sys.path:
            sys.path.append(folder)  # at the end, so that installed modules take precedence
        if name == "__main__" or name.endswith(".py") or not is_module_name(name):
            raise ConfigError(
                f"plugins: {truncate_middle(name, 80)!r} is not a module; {module_hint(name)}"
            )
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:  # a user's module may raise any error
            raise ConfigError(f"plugins: {name}{describe_failure(error, explain)}") from error
        check_source(name, module)


def is_module_name(name: str) -> bool:
    """Return whether a text has the form of a module's name, such as package.module."""
    return all(part.isidentifier() for part in name.split("."))


def module_hint(text: str) -> str:
    """Return how to write the module that a user may mean by the name or path of its file."""
    path = text.strip().replace("\\", "/").removesuffix(".py").removeprefix("./").strip("/")
    folder, _, name = path.rpartition("/")
    is_elsewhere = text.strip().startswith(("/", "~")) or ".." in folder.split("/")
    module = name if is_elsewhere else path.replace("/", ".")
    if not is_module_name(module) or module == "__main__":
        return "write it as package.module, with letters, digits and _"
    return f"{'go to its folder and ' * is_elsewhere}write plugins=[{module}]"


def describe_failure(
    error: BaseException, explain: Callable[[ImportError], str] = describe_import_error
) -> str:
    """Return the end of a message about a module that cannot be imported, with the line at fault.

    The message begins with the module's name.
    """
    if isinstance(error, ImportError):
        return f" cannot be imported: {explain(error)}"
    reason = truncate_middle(" ".join(str(error).split()), 150)
    if isinstance(error, SyntaxError):
        return f" cannot be imported: {reason}"  # which names file and line
    if isinstance(error, ValueError) and str(error).startswith("@"):  # of ablab's decorators
        return f": {truncate_middle(error, 220)}"
    steps = list(traceback.walk_tb(error.__traceback__))
    # A library may raise the error: the user's own line is more use.
    frames = [step for step in steps if is_of_user(step[0])] or steps
    place = describe_place(*frames[-1]) if frames else ""
    what = f"{type(error).__name__}: {reason or 'no reason given'}"
    if isinstance(error, SystemExit):
        what = f"it calls {describe_exit(error)}"
    return f" cannot be imported: {what}{place and f' ({place})'}"


def describe_place(frame: FrameType, line: int) -> str:
    """Return the file and line of a step of a traceback."""
    return f"{Path(frame.f_code.co_filename).name}, line {line}"


def module_of(frame: FrameType) -> str:
    """Return the name of the module whose code a frame runs."""
    name, spec = frame.f_globals.get("__name__", ""), frame.f_globals.get("__spec__")
    return str(spec.name if name == "__main__" and spec else name)  # as of `python -m runner`


def is_of_user(frame: FrameType) -> bool:
    """Return whether a frame runs code of the user, and not a generated `__init__`."""
    top = module_of(frame).partition(".")[0]
    is_known = top in LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")
    return bool(top) and not is_known and frame.f_code.co_filename != "<string>"


def check_source(name: str, module: ModuleType) -> None:
    """Raise ConfigError unless a module is a file, whose source the code hash can cover.

    A folder without `__init__.py` runs no code, so that it is accepted only for its folder `conf`.
    """
    spec = module.__spec__
    origin = spec.origin if spec else getattr(module, "__file__", None)
    folders = list(getattr(module, "__path__", ()))
    if origin is None and folders:
        if not any(Path(folder, "conf").is_dir() for folder in folders):
            raise ConfigError(
                f"plugins: {name} is a folder without code ({folders[0]}); name a module in it, "
                f"e.g. {name}.<module>"
            )
    elif origin is None or not Path(origin).is_file():
        raise ConfigError(
            f"plugins: {name} is not a file on disk ({origin or 'no source'}), so its source "
            "cannot be hashed; install it unpacked, e.g. with pip"
        )
