"""Values and errors of a user's module in words, for messages of one line."""

import inspect

from torch import Tensor


def describe_value(value: object) -> str:
    """Return the shape of a tensor, or the type of another value, in words."""
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if inspect.isclass(value):
        return f"the class {value.__name__}"
    return f"a value of type {type(value).__name__}"


def describe_exception(error: BaseException, most: int = 110) -> str:
    """Return the class and the text of an error on one line of at most `most` characters."""
    text = " ".join(str(error).split())
    text = text if len(text) <= most else f"{text[: most - 4]} ..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
