"""Check that all texts of a config can be encoded as UTF-8. No torch."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from runner.config import ConfigError
from runner.wording.output import truncate_middle


def check_encodable(config: DictConfig) -> None:
    """Refuse keys and values with lone surrogates, which stand for bytes that are not UTF-8.

    Raises:
        ConfigError: the message has the first such key.
    """
    for key, text in texts(OmegaConf.to_container(config)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{truncate_middle(key, 80)}={truncate_middle(text, 120)} has a character that is "
                "not UTF-8; leave it out or type it in UTF-8"
            ) from error


def texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted key and the text of each text within a container, keys included."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"a key of {key}" if key else "a key", str(name)
            yield from texts(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, key)
    elif isinstance(value, str):
        yield key, value
