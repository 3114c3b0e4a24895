"""The source of modules: their files, imports, and digests that ignore comments and docstrings.

The modules are parsed and never imported, because importing a package of `experiments` would import
torch.
"""

import ast
import contextlib
import functools
import hashlib
import re
from dataclasses import astuple, dataclass
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runner.config import ConfigError
from runner.metric_names import TEXTS
from runner.records.syntax_cache import SyntaxCache


class MissingModuleError(ConfigError):
    """A module whose source cannot be found."""


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        module: a module that must exist.
        member: `module.name` for `from module import name`, which may be a module too; else "".
        optional: whether it is inside a `try`, an `if` or a `with`, and so may fail or never run.
    """

    module: str
    member: str = ""
    optional: bool = False


@dataclass(frozen=True)
class ModuleSource:
    """The part of one source file that the code hash covers.

    Attributes:
        digest: a hash of the syntax without comments, docstrings and texts of metrics, and of the
            files that the module names. For an extension module, a hash of its bytes.
        imports: the modules and names that it imports, with relative names resolved.
    """

    digest: str
    imports: tuple[Import, ...] = ()


def locate(module: str) -> Path | None:
    """Return the file of a module; None for a folder without `__init__.py`, which holds no code.

    Raises:
        MissingModuleError: the module does not exist, or is built into Python.
    """
    top, *below = module.split(".")
    spec = _find_top_level(top)
    if spec is None:
        raise MissingModuleError(f"module {module} cannot be found")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    if not below:
        if spec.origin and Path(spec.origin).is_file():
            return Path(spec.origin)
        if folders:
            return None
    for folder in folders if below else ():
        place = folder.joinpath(*below)
        suffixes = (".py", *EXTENSION_SUFFIXES)
        files = [place / "__init__.py", *(place.parent / f"{place.name}{s}" for s in suffixes)]
        if path := next((path for path in files if path.is_file()), None):
            return path
        if place.is_dir():
            return None
    raise MissingModuleError(f"module {module} cannot be found")


def submodules(package: str) -> list[str]:
    """Return the modules directly in a package; [] for a plain module."""
    path = locate(package)
    if path is None or path.name != "__init__.py":
        return []
    return [f"{package}.{file.stem}" for file in sorted(path.parent.glob("*.py")) if file != path]


def find_places(top: str) -> list[Path]:
    """Return the folders of a top-level package, or the file of a top-level module.

    It is empty for a module that is not found or that is built into Python. A namespace package may
    have several folders.
    """
    spec = _find_top_level(top)
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or ())
    if spec.origin and spec.has_location and not places:
        places = [spec.origin]
    return [Path(place).resolve() for place in places if Path(place).exists()]


def find_parent_folder(top: str) -> Path | None:
    """Return the folder that holds a top-level module; None if the module is not found."""
    places = find_places(top)
    return places[0].parent if places else None


def _find_top_level(top: str) -> ModuleSpec | None:
    """Return the spec of a top-level module; None if it is not found."""
    try:
        return find_spec(top)
    except (ImportError, ValueError):  # "" or a module without a spec, such as __main__
        return None


def read_module(module: str) -> ModuleSource:
    """Read a module's source.

    Raises:
        MissingModuleError: the module does not exist.
    """
    path = locate(module)
    if path is None:
        return ModuleSource("")
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    digest, imports, files = _read(path.read_bytes(), path, package)
    for file in files:
        if file.is_file():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest = hashlib.sha256(f"{digest}{file.name}{content}".encode()).hexdigest()
    return ModuleSource(digest, imports)


def syntax_digest(path: Path) -> str:
    """Return a hash of a Python file's syntax, which ignores comments and docstrings.

    It also ignores the texts of declared metrics. Every version of Python that parses the file to
    the same tree gives the same hash.
    """
    return hashlib.sha256(_Walk(path.read_bytes()).text).hexdigest()


@functools.lru_cache(maxsize=1024)  # a sweep plans often, and the files stay the same
def _read(content: bytes, path: Path, package: str) -> tuple[str, tuple[Import, ...], list[Path]]:
    """Return the digest of one file, its imports, and the files of its folder that it names."""
    if path.suffix != ".py":  # an extension module
        return hashlib.sha256(content).hexdigest(), (), []
    key = CACHE.key(content, package)
    entry = _valid_entry(CACHE.get(key))
    if entry is None:
        try:
            walk = _Walk(content, package)
        except (SyntaxError, ValueError):  # no import can run it, or it is for another Python
            return hashlib.sha256(content).hexdigest(), (), []
        names = [name for name in sorted(walk.strings) if _is_file_name(name)]
        entry = (hashlib.sha256(walk.text).hexdigest(), tuple(walk.imports), names)
        CACHE.add(key, [entry[0], [list(astuple(one)) for one in entry[1]], names])
    digest, imports, names = entry
    return digest, imports, [path.parent / name for name in names]


def _valid_entry(entry: Any) -> tuple[str, tuple[Import, ...], list[str]] | None:
    """Return a cached entry in its types; None if there is none, or if it is damaged."""
    with contextlib.suppress(TypeError, ValueError):
        digest, imports, names = entry
        if isinstance(digest, str) and all(isinstance(name, str) for name in names):
            return digest, tuple(Import(*one) for one in imports), list(names)
    return None


def _is_file_name(text: str) -> bool:
    """Whether a string may name a file of the same folder, as `kernel.cu` does."""
    return bool(re.fullmatch(r"[\w-][\w.-]{0,90}\.\w{1,9}", text)) and not text.endswith(".py")


CACHE = SyntaxCache(Path(__file__), sorted(TEXTS))
"""The syntax of files that earlier commands have read; `runner.plan.code_hash` saves it."""


class _Word(str):
    """The name of a field of a syntax node, which is not a string of the program."""

    __slots__ = ()


class _Words(dict[str, _Word]):
    """The names of fields, each created once."""

    def __missing__(self, name: str) -> _Word:
        self[name] = word = _Word(name)
        return word


_FIELD_NAMES = _Words()
_END = _Word("]")

OPTIONAL = (ast.Try, ast.TryStar, ast.If, ast.With)  # around imports that may fail or never run
DEFINED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, *DEFINED)
METRIC = "runner.metric_names.Metric"
IMPORT_FUNCTIONS = ("import_module", "__import__")


class _Walk:
    """One walk through a module's syntax tree.

    Attributes:
        text: the syntax without docstrings, texts of metrics, positions and empty fields.
            (Positions and empty fields differ between versions of Python.)
        imports: the imports that run, also those in functions; without `if TYPE_CHECKING` blocks.
        strings: all its strings except docstrings and texts of metrics.
    """

    def __init__(self, content: bytes, package: str = "") -> None:
        self.imports: list[Import] = []
        self.strings: set[str] = set()
        self._package = package
        words: list[str] = []
        tree = ast.parse(content)
        if b"Metric" in content:
            _remove_metric_texts(tree)
        # A stack instead of recursion: a sum of many strings is as deep a tree as it has terms.
        stack: list[tuple[object, bool]] = [(tree, False)]
        while stack:
            node, optional = stack.pop()
            if isinstance(node, ast.AST):
                words.append(type(node).__name__)
                self._note_imports(node, optional=optional)
                optional = optional or isinstance(node, OPTIONAL)
                stack += [(one, optional) for one in _nonempty_fields(node)]
            elif isinstance(node, _Word):
                words.append(node)
            else:
                words.append(repr(node))
                if isinstance(node, str):
                    self.strings.add(node)
        self.text = "\n".join(words).encode()

    def _note_imports(self, node: ast.AST, *, optional: bool) -> None:
        if isinstance(node, ast.Import):
            self.imports += [Import(alias.name, optional=optional) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node, optional=optional)
        elif isinstance(node, ast.Call) and (module := _imported_by_call(node, self._package)):
            self.imports.append(Import(module, optional=True))

    def _import_from(self, node: ast.ImportFrom, *, optional: bool) -> None:
        above = self._package.split(".")[: -node.level + 1 or None] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        self.imports += [Import(module, f"{module}.{a.name}", optional) for a in node.names]


def _imported_by_call(node: ast.Call, package: str) -> str:
    """Return the module that `importlib.import_module("a.b")` imports; "" if it is computed.

    A relative name is read as relative to `package`.
    """
    if getattr(node.func, "attr", getattr(node.func, "id", "")) not in IMPORT_FUNCTIONS:
        return ""
    given = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "name")]
    name = given[0].value if given and isinstance(given[0], ast.Constant) else None
    if not isinstance(name, str):
        return ""
    below = name.lstrip(".")
    level = len(name) - len(below)
    above = package.split(".")[: -level + 1 or None] if level else []
    names = [*above, *below.split(".")]
    return ".".join(names) if all(each.isidentifier() for each in names) else ""


def _remove_metric_texts(tree: ast.Module) -> None:
    """Remove the texts from the declarations of metrics, as in `Metric(..., meaning="...")`.

    A metric's meaning, unit, formula, source and direction are for readers, and no number depends
    on them. If they counted, a better wording would make every trial of a question stale.

    Only literal strings and numbers are removed, and only from calls of `Metric` as
    `from runner.metric_names import Metric` binds it. Another class of this name might compute
    with such arguments, and an expression in their place might too.
    """
    nodes = list(ast.walk(tree))  # a queue instead of recursion
    origins = {origin for node in nodes for name, origin in _bindings(node) if name == "Metric"}
    if origins != {METRIC}:
        return
    for node in nodes:
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Metric":
            node.keywords = [each for each in node.keywords if not _is_text(each)]


def _bindings(node: ast.AST) -> list[tuple[str, str]]:
    """Return the names that a node binds, each with the imported module or member, or ""."""
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        return [(alias.asname or alias.name, f"{module}.{alias.name}") for alias in node.names]
    if isinstance(node, ast.Import):
        return [(alias.asname or alias.name, alias.name) for alias in node.names]
    if isinstance(node, ast.Name):
        return [(node.id, "")] if isinstance(node.ctx, ast.Store) else []
    if isinstance(node, ast.arg):
        return [(node.arg, "")]
    return [(node.name, "")] if isinstance(node, DEFINED) else []


def _is_text(keyword: ast.keyword) -> bool:
    """Whether a keyword argument describes a metric, given as a literal string or number."""
    value = keyword.value
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        value = value.operand
    return isinstance(value, ast.Constant) and keyword.arg in TEXTS


def _nonempty_fields(node: ast.AST) -> list[object]:
    """Return the fields of a node that are not empty, each with its name, the last one first.

    `ctx` (whether a name is read or written) follows from the position of the node.
    """
    fields: list[object] = [_END]
    for name in reversed(node._fields):
        value = _executed_body(node) if name == "body" else getattr(node, name, None)
        if value is None or name == "ctx":
            continue
        if isinstance(value, list):
            if value:
                fields += reversed(value)
                fields.append(_FIELD_NAMES[name])
        else:
            fields += (value, _FIELD_NAMES[name])
    return fields


def _executed_body(node: ast.AST) -> object:
    """Return the body of a node without its docstring; None for `if TYPE_CHECKING`."""
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        return node.body[1:]
    if isinstance(node, ast.If):
        test = node.test
        if getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING":
            return None
    return getattr(node, "body", None)
