"""Read the prose of a Python file: docstrings, comments and string literals."""

import ast
import re
from collections.abc import Iterator

from tests.prose.sentences import MASK
from tests.prose.texts import Text

REPORT = ("runner/report/", "runner/figures/", "runner/claims/")
"""Packages whose string literals appear on a page or in the terminal."""

SHAPES = {"Float", "Float32", "Float64", "Int", "Int64", "Bool", "Shaped", "Integer", "Num", "Literal"}
"""Types whose index is no prose: jaxtyping's shapes, and lists of allowed values."""

DIRECTIVE = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore\S*|fmt:\s*\w+)[\s-]*")
PATTERN = re.compile(r"\(\?|\[\^|\\[wsdbS.(|\[]|\.\*|\)\?")


class Module:
    """A parsed file, whose texts are read with `texts`."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.lines = source.splitlines()
        self.tree = ast.parse(source)

    def texts(self) -> Iterator[Text]:
        """Yield the prose of the file; of a test only docstrings and comments."""
        tests = self.path.startswith("tests/")
        docstrings, literals = strings(self.tree)
        for node in docstrings:
            body = dedented(node.value)
            yield Text(self.path, node.lineno, "tests" if tests else "docstrings", body)
        for line, body in self.comments():
            yield Text(self.path, line, "tests" if tests else "comments", body)
        for node, raised in () if tests else literals:
            if category := self.category(body := joined(node), raised=raised):
                yield Text(self.path, node.lineno, category, body)

    def category(self, body: str, *, raised: bool) -> str | None:
        """Return the category of a string literal; None for one that is no prose."""
        n_words = len(re.findall(r"[A-Za-z]{2,}", body.replace(MASK, " ")))
        if n_words == 0 or PATTERN.search(body):
            return None
        if raised:
            return "errors"
        if self.path.startswith(REPORT):
            return "report" if len(body.split()) >= 2 else None
        return "errors" if len(body.split()) >= 3 else None

    def comments(self) -> Iterator[tuple[int, str]]:
        """Yield line and text of each comment; those of neighbouring lines are one text."""
        inside = string_spans(self.tree)
        block: list[str] = []
        first = last = column = 0
        for number, line in enumerate(self.lines, 1):
            at = comment_column(line, inside.get(number, ())) if "#" in line else None
            if at is None:
                continue
            whole = not line[:at].strip()
            if block and not (whole and number == last + 1 and at == column):
                yield first, "\n".join(block)
                block = []
            if not block:
                first = number
            block.append(DIRECTIVE.sub("", line[at:]).lstrip("#:").removeprefix(" "))
            last, column = number, at
        if block:
            yield first, "\n".join(block)


def strings(
    tree: ast.Module,
) -> tuple[list[ast.Constant], list[tuple[ast.expr, bool]]]:
    """Return docstrings, and other literals with whether they are in a `raise`."""
    docstrings: list[ast.Constant] = []
    literals: list[tuple[ast.expr, bool]] = []

    def visit(node: ast.AST, raised: bool) -> None:
        if isinstance(node, ast.Expr) and is_text(node.value):
            docstrings.append(node.value)  # type: ignore[arg-type]
            return
        if is_text(node) or isinstance(node, ast.JoinedStr) or is_sum(node):
            literals.append((node, raised))  # type: ignore[arg-type]
            for child in placeholders(node):
                visit(child, raised)
            return
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns") or (name == "slice" and is_shape(node)):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, raised or isinstance(node, ast.Raise))

    visit(tree, False)
    return docstrings, literals


def is_text(node: ast.AST) -> bool:
    """Whether a node is a string literal."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def is_sum(node: ast.AST) -> bool:
    """Whether a node joins literals with `+`."""
    return (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.Add)
        and any(
            is_text(side) or isinstance(side, ast.JoinedStr) or is_sum(side)
            for side in (node.left, node.right)
        )
    )


def is_shape(node: ast.AST) -> bool:
    """Whether a node is a type such as `Float[Tensor, "batch time"]`."""
    if not isinstance(node, ast.Subscript):
        return False
    name = getattr(node.value, "id", getattr(node.value, "attr", ""))
    return name in SHAPES


def joined(node: ast.AST) -> str:
    """Return the text of a literal; each value that Python fills in is one masked character."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(joined(part) for part in node.values)
    if is_sum(node):
        assert isinstance(node, ast.BinOp)
        return joined(node.left) + joined(node.right)
    return MASK


def placeholders(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the expressions inside a literal, which may hold literals of their own."""
    if isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    elif is_sum(node):
        assert isinstance(node, ast.BinOp)
        for side in (node.left, node.right):
            if is_text(side) or isinstance(side, ast.JoinedStr) or is_sum(side):
                yield from placeholders(side)
            else:
                yield side


def string_spans(tree: ast.Module) -> dict[int, list[tuple[int, int]]]:
    """Return, for each line, the columns (in bytes) that string literals take."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for node in ast.walk(tree):
        if not (is_text(node) or isinstance(node, ast.JoinedStr)):
            continue
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        for line in range(first, last + 1):
            start = node.col_offset if line == first else 0  # type: ignore[attr-defined]
            stop = node.end_col_offset if line == last else 1 << 30  # type: ignore[attr-defined]
            spans.setdefault(line, []).append((start, stop))
    return spans


def comment_column(line: str, spans: "list[tuple[int, int]] | tuple[()]") -> int | None:
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
