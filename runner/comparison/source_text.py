"""The source texts of a running script or notebook, and the definitions in them."""

import ast
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from runner.config import ConfigError

FUTURE_ANNOTATIONS = 0x1000000  # the flag of code below `from __future__ import annotations`
NESTED = (ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While)
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
HOW = "put it into a file, e.g. my_parts.py, and import it"


@dataclass(frozen=True)
class SourceText:
    """The text of a script, or of one cell of a notebook, with its syntax tree."""

    file: str
    content: str
    tree: ast.Module

    def statements(self) -> Iterator[ast.stmt]:
        """Yield the statements outside of functions and classes, also below `if` and `try`."""
        pending: list[ast.stmt] = list(self.tree.body)
        while pending:
            statement = pending.pop(0)
            yield statement
            if isinstance(statement, NESTED):
                pending = [
                    *(n for n in ast.iter_child_nodes(statement) if isinstance(n, ast.stmt)),
                    *(
                        one
                        for handler in getattr(statement, "handlers", ())
                        for one in handler.body
                    ),
                    *pending,
                ]

    def only_assignment(self, name: str) -> ast.expr | None:
        """Return the value of the only statement that assigns a name; None without exactly one."""
        stores = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load)
        ]
        if len(stores) != 1:
            return None
        for statement in self.statements():
            if isinstance(statement, ast.Assign) and statement.targets == stores:
                return statement.value
            if isinstance(statement, ast.AnnAssign) and statement.target is stores[0]:
                return statement.value
        return None


@dataclass(frozen=True)
class Definition(SourceText):
    """One class or function of a source text.

    Attributes:
        name: its name.
        text: its source, with its decorators.
        has_future_annotations: whether its annotations are not evaluated.
    """

    name: str
    text: str
    has_future_annotations: bool


def parse_source(file: str, content: str) -> SourceText | None:
    """Return a source text with its tree; None if it is empty or no Python."""
    try:
        return SourceText(file, content, ast.parse(content)) if content.strip() else None
    except (SyntaxError, ValueError):
        return None


def own_codes(value: Any) -> list[CodeType]:
    """Return the code of a function, or of the functions in the body of a class."""
    if not isinstance(value, type):
        function = inspect.unwrap(value)
        return [function.__code__] if isinstance(function, FunctionType) else []
    codes: list[CodeType] = []
    module = value.__module__  # NamedTuple copies functions of other modules into its classes
    for member in vars(value).values():
        functions = [member, getattr(member, "__func__", None), getattr(member, "fget", None)]
        for each in filter(callable, functions):
            function = inspect.unwrap(each)
            own = getattr(function, "__qualname__", "").startswith(f"{value.__qualname__}.")
            if own and isinstance(function, FunctionType) and function.__module__ == module:
                codes.append(function.__code__)
    return codes


def bound_namespace(target: Callable[..., Any]) -> dict[str, Any]:
    """Return the global names of the script that defines a class or function."""
    if isinstance(target, FunctionType):
        return target.__globals__
    for member in vars(target).values():
        function = inspect.unwrap(member) if callable(member) else None
        if isinstance(function, FunctionType) and function.__module__ == target.__module__:
            return function.__globals__
    return vars(sys.modules[target.__module__]) if target.__module__ in sys.modules else {}


def find_sources(namespace: dict[str, Any]) -> list[SourceText]:
    """Return the texts of a script, or of the cells of a notebook, the newest first."""
    cells = namespace.get("In") if "get_ipython" in namespace else None
    if isinstance(cells, list):
        texts = [("<cell>", str(cell)) for cell in reversed(cells)]
    else:
        file = namespace.get("__file__")
        texts = [(str(file), "".join(linecache.getlines(str(file))))] if file else []
    return [source for file, text in texts if (source := parse_source(file, text))]


def find_definition(subject: str, value: Any, namespace: dict[str, Any]) -> Definition:
    """Return the source of a class or function of a script or notebook.

    `subject` is the arm, for messages.

    Raises:
        ConfigError: the source cannot be read, or it has changed since the script was started.
    """
    name = value.__name__
    # @dataclass and NamedTuple generate functions, which have no file.
    codes = [c for c in own_codes(value) if linecache.getlines(c.co_filename, namespace)]
    sources = find_sources(namespace)
    if codes:
        file = codes[0].co_filename
        content = "".join(linecache.getlines(file, namespace))
        source = parse_source(file, content)
        sources = [source] if source else []
    line = min((code.co_firstlineno for code in codes), default=0)
    for source in sources:
        nodes = [
            node
            for node in source.statements()
            if isinstance(node, DEFINITIONS) and node.name == name
        ]
        around = [node for node in nodes if first_line(node) <= line <= (node.end_lineno or 0)]
        if node := next(iter(around or ([] if codes else nodes[-1:])), None):
            _check_unchanged(subject, name, codes, source)
            return Definition(
                source.file,
                source.content,
                source.tree,
                name,
                _segment(source.content, node),
                any(code.co_flags & FUTURE_ANNOTATIONS for code in codes),
            )
    if sources and codes:
        raise _changed(subject, name, sources[0].file)
    raise ConfigError(
        f"{subject}: the source of {name} cannot be read, because it was typed at a prompt, with "
        f"python -c or from standard input; {HOW}"
    )


def first_line(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the line of the first decorator of a definition, or of its name."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def find_imports(
    sources: Sequence[SourceText],
) -> Iterator[tuple[ast.Import | ast.ImportFrom, ast.alias]]:
    """Yield the imports outside of functions, each with one of its names."""
    for source in sources:
        for statement in source.statements():
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield from ((statement, alias) for alias in statement.names)


def _segment(content: str, node: ast.stmt) -> str:
    """Return the source of a definition; below `if` or `try` it is written from its tree.

    Less indentation would change texts of several lines.
    """
    assert isinstance(node, DEFINITIONS)
    if node.col_offset:
        return ast.unparse(node)
    return "\n".join(content.split("\n")[first_line(node) - 1 : node.end_lineno])


def _check_unchanged(subject: str, name: str, codes: list[CodeType], source: SourceText) -> None:
    """Raise ConfigError if a file no longer has the code that runs. Cells do not change."""
    if not codes or not Path(source.file).is_file():
        return
    compiled = compile(source.content, source.file, "exec", dont_inherit=True)
    known = {_code_key(code) for code in _all_codes(compiled)}
    if any(_code_key(code) not in known for code in codes):
        raise _changed(subject, name, source.file)


def _code_key(code: CodeType) -> tuple[object, ...]:
    """Return the place, instructions, names and constants of the code of a function."""
    constants = [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]
    place = code.co_qualname, code.co_firstlineno
    return *place, code.co_code, code.co_names, tuple(constants)


def _all_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_codes(constant)


def _changed(subject: str, name: str, file: str) -> ConfigError:
    return ConfigError(
        f"{subject}: {name} is no longer the code in {file}, which has changed since it was "
        "started; start it again"
    )
