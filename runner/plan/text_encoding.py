"""Text that no file in UTF-8 can hold is refused before anything is computed. No torch."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.config import ConfigError
from runner.wording.output import truncate_middle


def check_encodable(config: DictConfig) -> None:
    """Refuse keys and values with lone surrogates, which stand for bytes that are not UTF-8.

    Raises:
        ConfigError: with the first such key.
    """
    for key, text in texts(OmegaConf.to_container(config)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{truncate_middle(key, 80)}={truncate_middle(text, 120)} has a character that is no UTF-8 "
                "text; leave it out or type it in UTF-8"
            ) from error


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each text within a container, keys included, and where it stands."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"a key of {key}" if key else "a key", str(name)
            yield from texts(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value
