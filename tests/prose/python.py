"""Read a Python file: docstrings, comments, string literals, and the names it assigns."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeGuard

from tests.prose.sentences import MASK
from tests.prose.texts import Text

REPORT = ("runner/report/", "runner/figures/", "runner/claims/")
"""Packages whose string literals appear on a page or in the terminal."""

SHAPES = ("Bool", "Float", "Float32", "Float64", "Int", "Int64", "Integer", "Shaped", "Literal")
"""Types whose index is not prose: jaxtyping's shapes, and lists of allowed values."""

DIRECTIVE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore\S*|fmt:\s*\w+)[\s-]*")
REGEX = re.compile(r"\(\?|\[\^|\\[wsdbS.(|\[]|\.\*|\)\?")
LEAVES = (ast.expr_context, ast.operator, ast.cmpop, ast.boolop, ast.unaryop)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Name:
    """A name that a file assigns; `scope` is the first line of its function or class."""

    scope: int
    line: int
    name: str
    what: str


class Module:
    """A parsed file.

    Attributes:
        docstrings: string literals that are statements.
        literals: all other string literals, and whether each is in a `raise`.
        names: assigned names, in no order.
        spans: for each line, the columns (in bytes) that string literals take.
    """

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.lines = source.splitlines()
        self.tree = ast.parse(source)
        self.docstrings: list[ast.Constant] = []
        self.literals: list[tuple[ast.expr, bool]] = []
        self.names: list[Name] = []
        self.spans: dict[int, list[tuple[int, int]]] = {}
        self._visit(self.tree)

    @property
    def is_test(self) -> bool:
        """Whether the file is below `tests/`."""
        return self.path.startswith("tests/")

    def texts(self) -> Iterator[Text]:
        """Yield the prose of the file; of a test only docstrings and comments."""
        for docstring in self.docstrings:
            category = "tests" if self.is_test else "docstrings"
            yield Text(self.path, docstring.lineno, category, dedented(str(docstring.value)))
        for line, body in self.comments():
            yield Text(self.path, line, "tests" if self.is_test else "comments", body)
        for node, raised in () if self.is_test else self.literals:
            body = joined(node)
            # The lines of a message are texts of their own, unless they are lines of the file too.
            wraps = node.end_lineno == node.lineno + body.count("\n")
            for part in [body] if wraps else body.split("\n"):
                if category := self.category(part, raised=raised):
                    yield Text(self.path, node.lineno, category, part)

    def category(self, body: str, *, raised: bool) -> str:
        """Return the category of a string literal; empty for one that is not prose."""
        n_words = len(body.split())
        if REGEX.search(body) or not re.search("[A-Za-z]{2}", body):
            return ""
        if self.path.startswith(REPORT) and not raised:
            return "report" if n_words >= 2 else ""
        return "errors" if raised or n_words >= 3 else ""

    def comments(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of each comment; those of neighbouring lines are one text."""
        block: list[str] = []
        first = last = column = 0
        for number, line in enumerate(self.lines, 1):
            at = comment_column(line, self.spans.get(number, [])) if "#" in line else None
            if at is None:
                continue
            follows = not line[:at].strip() and number == last + 1 and at == column
            if block and not follows:
                yield first, "\n".join(block)
            if not follows:
                block, first = [], number
            block.append(DIRECTIVE.sub("", line[at:]).lstrip("#:").removeprefix(" "))
            last, column = number, at
        if block:
            yield first, "\n".join(block)

    def _visit(
        self, node: ast.AST, scope: int = 0, raised: bool = False, prose: bool = True
    ) -> None:
        """Collect from a node and all nodes below it; `prose` is False inside annotations."""
        if is_literal(node):
            if prose:
                self.literals.append((node, raised))
            self._visit_literal(node, scope, raised, prose)
            return
        if named := name_of(node):
            self.names.append(Name(scope, node.lineno, *named))  # type: ignore[attr-defined]
        if isinstance(node, SCOPES):
            scope = node.lineno
        elif isinstance(node, ast.Raise):
            raised = True
        elif isinstance(node, ast.Expr) and is_text(node.value):
            self.docstrings.append(node.value)  # type: ignore[arg-type]
            prose = False
        for field in node._fields:
            value = getattr(node, field, None)
            readable = prose and not (
                field in ("annotation", "returns") or (field == "slice" and is_shape(node))
            )
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.AST) and not isinstance(child, LEAVES):
                    self._visit(child, scope, raised, readable)

    def _visit_literal(self, node: ast.AST, scope: int, raised: bool, prose: bool) -> None:
        """Note the place of a literal, and collect from the values that Python fills in."""
        if isinstance(node, ast.BinOp):
            for side in (node.left, node.right):
                visit = self._visit_literal if is_literal(side) else self._visit
                visit(side, scope, raised, prose)
            return
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        for line in range(first, last + 1):
            start = node.col_offset if line == first else 0  # type: ignore[attr-defined]
            stop = node.end_col_offset if line == last else 1 << 30  # type: ignore[attr-defined]
            self.spans.setdefault(line, []).append((start, stop))
        for part in getattr(node, "values", ()):
            if isinstance(part, ast.FormattedValue):
                self._visit(part.value, scope, raised, prose)


def is_text(node: ast.AST) -> bool:
    """Whether a node is a plain string literal."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_literal(node: ast.AST) -> TypeGuard[ast.expr]:
    """Whether a node is a string literal, an f-string, or a sum with one of them."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (is_literal(node.left) or is_literal(node.right))
    return isinstance(node, ast.JoinedStr) or is_text(node)


def is_shape(node: ast.AST) -> bool:
    """Whether a node is a type such as `Float[Tensor, "batch time"]`."""
    value = getattr(node, "value", None)
    return getattr(value, "id", getattr(value, "attr", "")) in SHAPES


def joined(node: ast.AST) -> str:
    """Return the text of a literal; each value that Python fills in is one masked character."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(joined(part) for part in node.values)
    if isinstance(node, ast.BinOp) and is_literal(node):
        return joined(node.left) + joined(node.right)
    return MASK


def name_of(node: ast.AST) -> tuple[str, str] | None:
    """Return the name that a node assigns, and its kind; None where it assigns no name."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name, "function"
        case ast.ClassDef(name=name):
            return name, "class"
        case ast.Name(id=name, ctx=ast.Store()):
            return name, "variable"
        case ast.Attribute(attr=name, ctx=ast.Store()):
            return name, "attribute"
        case ast.arg(arg=name):
            return name, "parameter"
        case ast.alias(asname=str(name)):
            return name, "import"
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return name, "variable"
    return None


def comment_column(line: str, spans: Iterable[tuple[int, int]]) -> int | None:
    """Return the column of the `#` that begins a comment; None for a line without one."""
    for match in re.finditer("#", line):
        at = len(line[: match.start()].encode())
        if not any(start <= at < stop for start, stop in spans):
            return match.start()
    return None


def dedented(docstring: str) -> str:
    """Return a docstring without its margin; the number of its lines stays."""
    first, *rest = docstring.split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.lstrip(), *(line[margin:] for line in rest)])
