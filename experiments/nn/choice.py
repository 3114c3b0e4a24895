"""The check of options that are named by a string."""

from collections.abc import Iterable


def check_known_name(known: Iterable[str], **options: str) -> None:
    """Raise ValueError for the first option that is none of the known names."""
    for name, value in options.items():
        if value not in known:
            raise ValueError(f"{name}={value} is unknown; choose one of {', '.join(known)}")
