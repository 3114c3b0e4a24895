"""A cache of Hydra's work on the project's files, which is the same for every test.

Composing an arm takes a tenth of a second, and a study has many arms. Two thirds of that time
depend only on the chosen options, not on values: finding the files and merging them. Hydra itself
applies the overrides to a copy.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, replace
from typing import Any

import pytest
from hydra._internal import config_loader_impl as hydra_internals
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from runner.plan.hydra_sources import USER_PROVIDER

DEFAULTS_LISTS: dict[Any, DefaultsList] = {}
CONFIGS: dict[Any, DictConfig] = {}
honest_list = hydra_internals.create_defaults_list
honest_config = ConfigLoaderImpl._compose_config_from_defaults_list


def files(repo: IConfigRepository) -> tuple[str, ...]:
    """Return the folders that options are read from."""
    return tuple(f"{one.provider} {one.path}" for one in repo.get_sources())


def of_users(repo: IConfigRepository) -> bool:
    """Whether a folder belongs to a test, so that its files change."""
    return any(one.provider == USER_PROVIDER for one in repo.get_sources())


def defaults_list(
    repo: IConfigRepository,
    config_name: str | None,
    overrides_list: Sequence[Override],
    **options: bool,
) -> DefaultsList:
    """Find the files of the chosen options."""
    arguments: dict[str, Any] = {"repo": repo, "config_name": config_name}
    arguments |= {"overrides_list": overrides_list, **options}
    if of_users(repo):
        return honest_list(**arguments)
    chosen = [one.input_line for one in overrides_list if repo.group_exists(one.key_or_group)]
    key = (files(repo), config_name, *options.items(), *chosen)
    if key not in DEFAULTS_LISTS:
        DEFAULTS_LISTS[key] = honest_list(**arguments)
    values = Overrides(repo=repo, overrides_list=list(overrides_list)).config_overrides
    return replace(DEFAULTS_LISTS[key], config_overrides=values)


def config(
    loader: ConfigLoaderImpl, defaults: Sequence[ResultDefault], repo: IConfigRepository
) -> DictConfig:
    """Merge these files."""
    if of_users(repo):
        return honest_config(loader, list(defaults), repo)
    key = (files(repo), *map(str, map(astuple, defaults)))
    if key not in CONFIGS:
        CONFIGS[key] = honest_config(loader, list(defaults), repo)
    return copy.deepcopy(CONFIGS[key])


@contextmanager
def cached_hydra() -> Iterator[None]:
    """Let Hydra cache its work on the project's files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra_internals, "create_defaults_list", defaults_list)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", config)
        yield
