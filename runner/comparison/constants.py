"""Constants of a script that can be copied as source: literal values, and simple expressions."""

import ast
import math
from typing import Any

SCALARS = (bool, int, float, complex, str, bytes, type(None), type(...))
CALLS = (ast.Call, ast.Await, ast.Yield, ast.YieldFrom, ast.Lambda, ast.NamedExpr)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def literal(value: Any) -> str | None:
    """Return the source of a number, a text, or a list, tuple, set or dict of them; else None."""
    if type(value) in SCALARS:
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        return "..." if value is ... else repr(value)
    if type(value) is dict:
        items = [(literal(key), literal(item)) for key, item in value.items()]
        known = all(key is not None and item is not None for key, item in items)
        return f"{{{', '.join(f'{key}: {item}' for key, item in items)}}}" if known else None
    if type(value) not in (list, tuple, set):
        return None
    texts = [text for item in value if (text := literal(item)) is not None]
    if len(texts) < len(value):
        return None
    if isinstance(value, tuple):
        return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(texts)}]"
    return f"{{{', '.join(sorted(texts))}}}" if texts else "set()"


def is_static(expression: ast.expr) -> bool:
    """Return whether an expression calls nothing, so that it has the same value in any process.

    `torch.float32` and `{"relu": F.relu}` are such expressions, `torch.ones(3)` is not one.
    """
    return not any(isinstance(node, (*CALLS, *COMPREHENSIONS)) for node in ast.walk(expression))


def has_value(expression: str, namespace: dict[str, Any], value: Any) -> bool:
    """Return whether a static expression still has a value in the running script."""
    try:
        return bool(eval(expression, dict(namespace)) == value)
    except Exception:
        return False
