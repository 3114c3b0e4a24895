"""The check of options whose values are names."""

from collections.abc import Iterable


def check_known_name(known: Iterable[str], **options: str) -> None:
    """Raise ValueError for the first option whose value is not a known name."""
    for name, value in options.items():
        if value not in known:
            raise ValueError(f"{name}={value} is unknown; choose one of {', '.join(known)}")
