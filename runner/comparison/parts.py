"""The generated modules of a comparison: a part for each class or factory of the user's.

Each class has a module of its own, so that a change of one class makes only its trials stale.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.comparison.arms import ComparedArm
from runner.comparison.builders import GROUPS, SIZE, Builder
from runner.comparison.origin import Origin, find_origin
from runner.records.files import write_atomically

MODULE_PREFIX = "compared_"
COPY_SUFFIX = "_source"
TEMPLATE = '''\
"""The part {kind} of the group {group}. `runner.compare` has written this file."""

from dataclasses import dataclass
from typing import Any, ClassVar

from experiments.parts import part


@part("{group}", "{kind}")
@dataclass
class {class_name}:
    """The options of {name}."""

    code_modules: ClassVar[tuple[str, ...]] = {code_modules}
{fields}
    def build(self, {size}: int) -> Any:
        """Return the module of a trial."""
        from {module} import {name}

        return {name}({arguments})
'''


@dataclass(frozen=True)
class GeneratedPart:
    """The part of one class or factory, as generated source.

    Attributes:
        kind: its name in its group.
        builder: the class or factory.
        origin: the place of the class.
        group: its group of options.
    """

    kind: str
    builder: Builder
    origin: Origin
    group: str

    @property
    def module(self) -> str:
        """The name of the generated module, which is a plug-in of the study."""
        return f"{MODULE_PREFIX}{self.kind}"

    def files(self) -> dict[str, str]:
        """Return the generated files: name -> text."""
        copied = f"{self.module}{COPY_SUFFIX}"
        size = SIZE.get("model" if self.group == GROUPS["model"] else self.group, "d_model")
        fields, keys = self.builder.fields, self.builder.keys()
        text = TEMPLATE.format(
            kind=self.kind,
            group=self.group,
            class_name="".join(word.capitalize() for word in self.kind.split("_")) + "Options",
            name=self.builder.name,
            code_modules=repr(self.origin.imports),
            fields="".join(f"    {keys[name]}: int = {value}\n" for name, value in fields.items()),
            size=size,
            module=self.origin.module or copied,
            arguments=", ".join([size, *(f"{name}=self.{keys[name]}" for name in fields)]),
        )
        files = {f"{self.module}.py": text}
        return files | ({f"{copied}.py": self.origin.source} if self.origin.source else {})


def generate_parts(
    arms: Sequence[ComparedArm], group: str, other_kinds: Iterable[str]
) -> dict[str, GeneratedPart]:
    """Return the part of each arm that has a class or factory, by the name of the arm.

    Two arms of one class share its part. `other_kinds` are the kinds of other parts of the group.
    """
    options_group = GROUPS.get(group, group)
    builders = {id(arm.builder.target): arm.builder for arm in arms if arm.builder is not None}
    # Classes of one name all get longer kinds, so that kinds do not depend on the order of arms.
    names = Counter(builder.name for builder in builders.values())
    used = {*other_kinds, *(name for name, count in names.items() if count > 1)}
    parts: dict[str, GeneratedPart] = {}
    by_target: dict[int, GeneratedPart] = {}
    for arm in arms:
        if arm.builder is None:
            continue
        key = id(arm.builder.target)
        if key not in by_target:
            origin = find_origin(arm.name, arm.builder.target)
            kind = _free_kind(arm.builder.name, arm.builder.target.__module__, used)
            used.add(kind)
            by_target[key] = GeneratedPart(kind, arm.builder, origin, options_group)
        parts[arm.name] = by_target[key]
    return parts


def write_files(folder: Path, parts: Iterable[GeneratedPart]) -> None:
    """Write the generated modules into a folder."""
    for part in parts:
        for name, text in part.files().items():
            write_atomically(folder / name, text.encode())


def _free_kind(name: str, module: str, used: set[str]) -> str:
    """Return a kind for a class: its name, with that of its module if another part has it."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_0123456789") or "Mine"
    last_name = re.sub(r"\W", "_", module.rpartition(".")[2], flags=re.ASCII)
    last_name = last_name.strip("_0123456789") or "other"
    candidates = [word, f"{last_name}_{word}", *(f"{last_name}_{word}_{n}" for n in range(2, 100))]
    return next(candidate for candidate in candidates if candidate not in used)
