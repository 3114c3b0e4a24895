"""The exception of all checks of a module."""


class ModuleFault(Exception):  # noqa: N818 - a fault of a module, not of this code
    """A fault of a module: a clause that follows the name of its part, with a hint."""
