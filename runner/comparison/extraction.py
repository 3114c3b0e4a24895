"""Copy a class or function of a script or notebook, and its dependences, into one text.

The copy has the imports, functions, classes and constants that the class uses, directly or not.
They are looked up in the running script, and their source is taken from its syntax tree. The script
is not run again.
"""

import ast
import builtins
import symtable
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from runner.comparison.constants import has_value, is_static, literal
from runner.comparison.differences import DifferenceSearch
from runner.comparison.source_text import (
    HOW,
    SourceText,
    bound_namespace,
    find_definition,
    find_imports,
    find_sources,
)
from runner.config import ConfigError
from runner.wording.output import truncate_middle

FUTURE = "from __future__ import annotations"
MODULE_NAMES = ("__name__", "__doc__", "__package__", "__spec__", "__builtins__", "__debug__")
"""Names that every module has."""
CHECKED_MODULE = "ablab_checked_copy"
"""The name of a copy while it is compared with the script."""


@dataclass(frozen=True)
class ExtractedSource:
    """The text of a module, and the modules that it imports."""

    text: str
    modules: tuple[str, ...]


def extract_source(
    arm: str, target: Callable[..., Any], is_importable: Callable[[str], bool]
) -> ExtractedSource:
    """Return the source of a class or function, with everything that it needs.

    Args:
        arm: the name of its arm, for messages.
        target: the class or function, at the top level of a script or notebook.
        is_importable: returns whether another process can import a module.

    Raises:
        ConfigError: the source cannot be read, or the class uses a value that has none.
    """
    copy = _Copy(f"the arm {arm}", target.__name__, bound_namespace(target), is_importable)
    copy.add_definition(target.__name__, target)
    source = copy.to_source()
    copy.check_same(source.text)
    return source


@dataclass
class _Copy:
    """A copy that grows name by name.

    Attributes:
        subject: the arm, for messages.
        root: the name of the class or function that is copied.
        namespace: the names of the running script.
    """

    subject: str
    root: str
    namespace: dict[str, Any]
    is_importable: Callable[[str], bool]
    imports: list[str] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    visited: set[str] = field(default_factory=set)
    is_future: bool = False

    def add_definition(self, name: str, value: Any) -> None:
        """Add a class or function, after everything that it needs."""
        self.visited.add(name)
        definition = find_definition(self.subject, value, self.namespace)
        self.is_future |= definition.has_future_annotations
        self._add_names(definition.text, definition, user=definition.name)
        self.blocks.append(definition.text)
        if definition.name != name:
            self.blocks.append(f"{name} = {definition.name}")

    def _add_names(self, text: str, source: SourceText, user: str) -> None:
        for name in global_names(text, future=self.is_future):
            if name not in self.visited:
                self.add_name(name, source, user)

    def add_name(self, name: str, source: SourceText, user: str) -> None:
        """Add the value of a global name; `user` is the function or class that uses it."""
        self.visited.add(name)
        if name in MODULE_NAMES or (name not in self.namespace and hasattr(builtins, name)):
            return
        if name not in self.namespace:
            self._refuse(name, user, "which does not exist (yet) where compare is called")
        value = self.namespace[name]
        sources = [source, *find_sources(self.namespace)]
        if isinstance(value, ModuleType):
            self._add_module(name, value, sources, user)
        elif statement := self._find_import(name, value, sources):
            self.imports.append(statement)
        elif self._is_own(value):
            self.add_definition(name, value)
        elif statement := self._import_by_value(name, value):
            self.imports.append(statement)
        elif (text := literal(value)) is not None:
            self.blocks.append(f"{name} = {text}")
        elif assigned := self._find_static(name, sources):
            text, place = assigned
            self._add_names(text, place, user)
            self.blocks.append(f"{name} = {text}")
        else:
            self._refuse(
                name,
                user,
                f"a value of type {type(value).__name__} that was computed at run time; write it "
                "as a constant, or move the code to a module",
            )

    def _add_module(
        self, name: str, module: ModuleType, sources: list[SourceText], user: str
    ) -> None:
        if not self.is_importable(module.__name__):
            self._refuse(name, user, "a module that trials cannot import")
        # `import a.b` binds `a`, and other statements may import further modules of it.
        dotted = {
            f"import {alias.name}"
            for node, alias in find_imports(sources)
            if isinstance(node, ast.Import)
            and alias.asname is None
            and alias.name.partition(".")[0] == name
            and alias.name in sys.modules
        }
        if name == module.__name__:
            self.imports += sorted({f"import {name}", *dotted})
        else:
            self.imports.append(f"import {module.__name__} as {name}")

    def _find_import(self, name: str, value: Any, sources: list[SourceText]) -> str | None:
        """Return the statement that imported a value under a name."""
        package = str(self.namespace.get("__package__") or "")
        for node, alias in find_imports(sources):
            if isinstance(node, ast.Import) or (alias.asname or alias.name) != name:
                continue
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            module = ".".join([*filter(None, above), *([node.module] if node.module else [])])
            if getattr(sys.modules.get(module), alias.name, self) is value and self.is_importable(
                module
            ):
                return _import_statement(module, alias.name, name)
        return None

    def _is_own(self, value: Any) -> bool:
        """Return whether a class or function is defined at the top level of the script itself."""
        if not str(getattr(value, "__qualname__", ".")).isidentifier():
            return False
        if isinstance(value, type):
            return value.__module__ == self.namespace.get("__name__")
        return getattr(value, "__globals__", None) is self.namespace

    def _import_by_value(self, name: str, value: Any) -> str | None:
        """Return a statement that imports a class or function from its module."""
        module, member = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if not isinstance(module, str) or not isinstance(member, str) or "." in member:
            return None
        if getattr(sys.modules.get(module), member, self) is not value:
            return None
        return _import_statement(module, member, name) if self.is_importable(module) else None

    def _find_static(self, name: str, sources: list[SourceText]) -> tuple[str, SourceText] | None:
        """Return the constant expression that a name is assigned to, if it is assigned once."""
        for source in sources:
            expression = source.only_assignment(name)
            if expression is not None and is_static(expression):
                text = ast.unparse(expression)
                same = has_value(text, self.namespace, self.namespace[name])
                return (text, source) if same else None
        return None

    def _refuse(self, name: str, user: str, what: str) -> None:
        used_by = self.root if user == self.root else f"{self.root} (in {user})"
        raise ConfigError(f"{self.subject}: {used_by} uses {name}, {what}")

    def check_same(self, text: str) -> None:
        """Raise ConfigError if the copy defines anything else than the script has now."""
        module = ModuleType(CHECKED_MODULE)
        sys.modules[module.__name__] = module  # @dataclass looks it up
        try:
            exec(compile(text, "<copy>", "exec", dont_inherit=True), vars(module))
            search = DifferenceSearch()
            for name in sorted(self.visited & {*vars(module)} - {*MODULE_NAMES}):
                live = self.namespace.get(name)
                if place := search.find(live, vars(module)[name], name):
                    raise ConfigError(
                        f"{self.subject}: {place} differs from its source, which trials use: it "
                        "was changed later, or each run gives another value; change the source "
                        f"of {name} instead"
                    )
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{self.subject}: the source of {self.root} does not run without the rest of its "
                f"script ({type(error).__name__}: {truncate_middle(error, 120)}); {HOW}"
            ) from error
        finally:
            del sys.modules[module.__name__]

    def to_source(self) -> ExtractedSource:
        """Return the text of the module."""
        head = [FUTURE] if self.is_future else []
        imports = "\n".join([*head, *dict.fromkeys(self.imports)])
        text = "\n\n\n".join(block for block in (imports, *self.blocks) if block) + "\n"
        modules = [
            module for node in ast.walk(ast.parse(text)) for module in _imported_modules(node)
        ]
        return ExtractedSource(text, tuple(dict.fromkeys(modules)))


def global_names(text: str, *, future: bool = False) -> list[str]:
    """Return the names that a piece of source reads from its module, without those it defines."""
    head = f"{FUTURE}\n" if future else ""
    table = symtable.symtable(head + text, "<source>", "exec")
    own = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    # `global count; count += 1` reads a name, though Python's table has it as assigned only.
    changed = {
        node.target.id
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    pending = list(table.get_children())
    while pending:
        child = pending.pop()
        pending += child.get_children()
        for symbol in child.get_symbols():
            is_read = symbol.is_referenced() or symbol.get_name() in changed
            if symbol.is_global() and is_read:
                names.add(symbol.get_name())
    return sorted(names - own)


def _import_statement(module: str, member: str, name: str) -> str:
    return f"from {module} import {member}" + ("" if member == name else f" as {name}")


def _imported_modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module] if node.module != "__future__" else []
    return []
