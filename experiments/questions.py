"""The base class of questions, and the decorator that registers one. This module has no torch."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from experiments.rules import (
    NOT_GIVEN,
    check_dataclass,
    check_is_class,
    check_name_is_free,
    check_names_are_given,
    check_option_name,
)

PACKAGE = __name__.rpartition(".")[0]

QUESTIONS: dict[str, type["Question"]] = {}
"""Maps names to classes of options. `load` adds the questions of this package."""


class Question:
    """The base class of an experiment's options, which are a dataclass in the experiment's page.

    The page is the module of the class. It also defines `run(trial)`, and `timing(trial)` if the
    question is timed.

    Attributes:
        parts: the groups that an arm has in addition to `model`.
        has_body: whether an arm has `model`, the body of ablab's own models.
        pairs: whether its tasks are pairs of sequences, a source and a target.
        timed: whether `timing` follows `run`, under an exclusive lock of the machine.
        code_modules: further modules whose code is part of the code hash of its trials.
    """

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    has_body: ClassVar[bool] = True
    pairs: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    code_modules: ClassVar[tuple[str, ...]] = ()

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where options do not fit the parts of an arm, e.g. `groups["ffn"]`."""


Q = TypeVar("Q", bound=type)


def question(name: str = NOT_GIVEN) -> Callable[[Q], Q]:
    """Register a dataclass as the options of an experiment: `@question("moe")`.

    Raises:
        ValueError: the class is not a dataclass that extends `Question`, its module has another
            question, or another question has this name.
    """
    check_names_are_given('@question("mine")', name)

    def register(options: Q) -> Q:
        mark = f"@question({name!r})"
        check_is_class(mark, options, "class Mine(Question)")
        where = f"{mark} on {options.__name__}"
        if not issubclass(options, Question):
            raise ValueError(f"{where}: write class {options.__name__}(Question), from experiments")
        check_dataclass(where, options)
        check_option_name(where, name)
        if options.__module__.rpartition(".")[0] != PACKAGE:
            # A plug-in may not use a built-in name, so built-in questions are registered first.
            load()
            check_members(where, options)
        names = [key for key, known in QUESTIONS.items() if known.__module__ == options.__module__]
        if names not in ([], [name]):
            raise ValueError(
                f"{where}: {options.__module__} already has the question {names[0]!r}, and a page "
                "has one question; write another module"
            )
        check_name_is_free(where, options, QUESTIONS.get(name), "a question of this name")
        QUESTIONS[name] = options
        return options

    return register


def check_members(where: str, options: type[Question]) -> None:
    """Raise ValueError where a member of a plug-in's question is not as `Question` describes it."""
    rules = importlib.import_module(f"{PACKAGE}.class_rules")  # by name: no trial depends on it
    rules.check_class_values(where, options, has_body=bool, pairs=bool, timed=bool)
    rules.check_no_fields(where, options, "parts", "code_modules")
    names = rules.check_names(where, "parts", options.parts)
    groups = (*importlib.import_module(f"{PACKAGE}.parts").PARTS, "task")
    if unknown := set(names) - set(groups):
        raise ValueError(
            f"{where}: parts has {min(unknown)!r}, and there are only {', '.join(groups)}"
        )
    rules.check_method(where, options, "check", ("groups",))
    rules.check_fields(where, options, Question)


def measurement_only(*affects: str) -> dict[str, tuple[str, ...]]:
    """Return the metadata of a field that changes measurements only, not the trained model.

    Arms may differ in the field and still be compared, except in metrics whose names begin with one
    of `affects`. Example: `rounds: int = field(metadata=measurement_only())`.
    """
    return {"affects": affects}


@functools.cache  # called often, and the folder does not change
def load() -> None:
    """Import all modules of this package, so that their questions are in `QUESTIONS`."""
    for module in pkgutil.iter_modules(importlib.import_module(PACKAGE).__path__):
        if not module.ispkg:
            importlib.import_module(f"{PACKAGE}.{module.name}")
