"""Classes and factories of the user's that build a part, and their whole-number arguments."""

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner import registry
from runner.config import ConfigError
from runner.wording.output import truncate_middle

GROUPS = {"model": "language_model"}
"""Group of `runner.compare` -> group of options; other groups have their own names."""
SIZE = {"model": "vocabulary"}
"""Group -> name of the argument that a class or factory takes; other groups take `d_model`."""

GENERATED_NAMES = {"Any", "ClassVar", "int"}
"""Names in the body of a generated class, which its fields would hide."""


@dataclass(frozen=True)
class Builder:
    """A class or a function of the user's that takes a size and returns a module.

    Attributes:
        target: the class or function.
        name: its name.
        fields: its keyword arguments whose defaults are whole numbers, with these defaults.
    """

    target: Callable[..., Any]
    name: str
    fields: dict[str, int]

    def keys(self) -> dict[str, str]:
        """Return the name of each field as an option of its part.

        It is the argument's name. A name that has another meaning in ablab gets `n_` in front:
        `heads` becomes `n_heads`.
        """
        reserved = registry.reserved_field_names() | GENERATED_NAMES
        return {
            name: f"n_{name}" if name in reserved or name.startswith("_") else name
            for name in self.fields
        }


def read_builder(arm: str, target: Any, group: str) -> Builder:
    """Check that an object can build a part, and return it with its whole-number arguments.

    Args:
        arm: the name of its arm, for messages.
        target: the object that the user gives as the arm.
        group: the group of `runner.compare`.

    Raises:
        ConfigError: the object is not a class of modules or a function. Or it is a lambda, is
            defined inside a function, or needs more arguments than the size.
    """
    size, subject = SIZE.get(group, "d_model"), f"the arm {truncate_middle(arm, 80)}"
    _check_kind(subject, target, size)
    name = target.__name__
    if name == "<lambda>":
        raise ConfigError(
            f"{subject} is a lambda, whose source cannot be stored alone; write a function: "
            f"def {_as_identifier(arm)}({size}): ..."
        )
    if "<locals>" in target.__qualname__:
        raise ConfigError(
            f"{subject}: {name} is defined inside a function, where trials cannot import it; move "
            "it to the top level of its file"
        )
    if "." in target.__qualname__:
        raise ConfigError(
            f"{subject}: {target.__qualname__} is defined inside a class; move it to the top level "
            "of its file"
        )
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{subject}: the arguments of {name} are unknown; write a function around it: "
            f"def {_as_identifier(arm)}({size}): return {name}(...)"
        ) from error
    _check_parameters(subject, arm, name, parameters, size)
    keywords = [p for p in parameters[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Builder(target, name, {p.name: p.default for p in keywords if type(p.default) is int})


def _check_kind(subject: str, target: Any, size: str) -> None:
    torch = sys.modules.get("torch")  # imported, if the user has a module
    if inspect.isclass(target):
        if callable(getattr(target, "build", None)) and hasattr(target, "__dataclass_fields__"):
            raise ConfigError(
                f"{subject}: {target.__name__} is the options of a part; name its option, e.g. "
                "'ffn=mine', and its module in overrides=['plugins=[my_ffn]']"
            )
        if torch is None or not issubclass(target, torch.nn.Module):
            raise ConfigError(
                f"{subject}: the class {target.__name__} is not a torch.nn.Module; give a class "
                f"of modules, or a function f({size}) that returns one"
            )
        return
    if torch is not None and isinstance(target, torch.nn.Module):
        raise ConfigError(
            f"{subject} is a module that exists already; give its class {type(target).__name__}, "
            "so that each trial builds its own"
        )
    if not inspect.isfunction(target):
        raise ConfigError(
            f"{subject} is {truncate_middle(repr(target), 60)}; give an option such as 'ffn=relu', "
            f"a list of options, a class, or a function f({size})"
        )


def _check_parameters(
    subject: str, arm: str, name: str, parameters: list[inspect.Parameter], size: str
) -> None:
    """Raise ConfigError unless a builder can be called with its size alone."""
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    if not parameters or parameters[0].kind not in positional:
        raise ConfigError(
            f"{subject}: {name} takes no argument in first place; it is called as {name}({size})"
        )
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [
        p.name
        for p in parameters[1:]
        if p.default is inspect.Parameter.empty and p.kind not in several
    ]
    if missing:
        values = ", ".join(f"{each}=..." for each in missing)
        raise ConfigError(
            f"{subject}: {name} needs more than {size}: {', '.join(missing)}; give a function: "
            f"def {_as_identifier(arm)}({size}): return {name}({size}, {values})"
        )


def _as_identifier(name: str) -> str:
    return name if name.isidentifier() else "mine"
