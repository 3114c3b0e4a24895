"""The width that is set so that an arm of a comparison costs as much as the baseline."""

import re
from collections.abc import Iterable
from typing import Any

from runner.comparison.arms import ComparedArm
from runner.comparison.builders import GROUPS
from runner.comparison.parts import GeneratedPart
from runner.comparison.request import Request
from runner.plan import option_folders
from runner.plan.declared_options import find_declared_options
from runner.plan.overrides import parse_override

USUAL = "d_ff"


def width_overrides(
    request: Request, arm: ComparedArm, part: GeneratedPart | None
) -> tuple[str, ...]:
    """Return the overrides that choose the width of an arm; none if the user chooses it.

    A class has its first whole-number argument set, and a whole language model its `d_ff` or its
    first whole-number field. All other options have `ffn.d_ff` set, which is the default.
    """
    group = GROUPS.get(request.group, request.group)
    typed = [parse_override(text) for text in (*arm.overrides, *request.overrides)]
    if request.match == "none" or "match.solve" in {each.key_or_group for each in typed}:
        return ()
    if part is not None:
        keys: Iterable[str] = part.builder.keys().values()
    elif request.group == "model":
        options = [str(each.value()) for each in typed if each.key_or_group == group]
        keys = _whole_number_keys(group, (options or [_default(request.experiment, group)])[0])
    else:
        return ()
    if key := next(iter(keys), None):
        return (f"match.solve={group}.{key}",)
    # No width of another part takes its place.
    return ("match.by=none",) if request.group in ("ffn", "model") else ()


def _whole_number_keys(group: str, option: str) -> list[str]:
    """Return the whole-number fields of an option, the usual width first."""
    fields: dict[str, Any] = {}
    for layer in reversed(option_folders.read_option_layers(f"{group}/{option}")):
        fields |= layer
    declared = find_declared_options(group).get(fields.get("kind", option), {})
    keys = [key for key, value in (declared | fields).items() if type(value) is int]
    return sorted(keys, key=lambda key: key != USUAL)


def _default(experiment: str, group: str) -> str:
    """Return the option of a group that an experiment has by default; "" if it names none."""
    for layer in option_folders.read_option_layers(f"experiment/{experiment}"):
        for entry in layer.get("defaults") or ():
            for key, value in entry.items() if isinstance(entry, dict) else ():
                if re.fullmatch(rf"(override )?/?{group}", str(key)):
                    return str(value)
    return ""
