"""What every question has: its name, its parts, its options. No torch."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from experiments.rules import check_dataclass

PACKAGE = __name__.rpartition(".")[0]

QUESTIONS: dict[str, type["Question"]] = {}
"""Name -> options. Ours are among them after `load`."""


class Question:
    """The base of an experiment's own options, a dataclass that stands in the experiment's page.

    The page is the module of this class. It also has `run(trial)`, and `timing(trial)` where the
    question is timed.

    Attributes:
        parts: the groups that the experiment has beside `model`.
        pairs: whether its tasks are pairs of sequences, a source and a target.
        timed: whether `timing` follows `run`, alone on the machine.
    """

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    pairs: ClassVar[bool] = False
    timed: ClassVar[bool] = False

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where options do not fit the parts of an arm (`groups["attention"]`)."""


Q = TypeVar("Q", bound=type)


def question(name: str) -> Callable[[Q], Q]:
    """Register a dataclass as the options of an experiment: `@question("moe")`.

    Raises:
        ValueError: the class is no dataclass that extends `Question`, its module has another
            question, or another question has this name.
    """

    def register(options: Q) -> Q:
        where = f"@question({name!r}) on {options.__name__}"
        if not issubclass(options, Question):
            raise ValueError(f"{where}: write class {options.__name__}(Question), from experiments")
        check_dataclass(where, options)
        if options.__module__.rpartition(".")[0] != PACKAGE:
            load()  # so that a name of ours is refused to a plug-in, and not the other way round
        page = [one for one, known in QUESTIONS.items() if known.__module__ == options.__module__]
        if page not in ([], [name]):
            raise ValueError(
                f"{where}: {options.__module__} is the page of {page[0]!r} already, and a page has "
                "one question; write another module"
            )
        other = QUESTIONS.get(name)
        if other and (other.__module__, other.__name__) != (options.__module__, options.__name__):
            raise ValueError(f"{where}: {other.__module__} has this name already; choose another")
        QUESTIONS[name] = options
        return options

    return register


def measurement_only(*affects: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field that only says what is measured.

    Arms may differ in it and still be compared, in all metrics but those whose names begin with one
    of `affects`: `rounds: int = field(metadata=measuring())`.
    """
    return {"affects": affects}


@functools.cache  # asked often, and the folder does not change
def load() -> None:
    """Import all pages, the modules beside this one, so that they are in `QUESTIONS`."""
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        if not module.ispkg:
            importlib.import_module(f"{PACKAGE}.{module.name}")
