"""A cache of Hydra's work on ablab's own configs, so that the arms of a study compose quickly.

Composing an arm takes a tenth of a second. Two thirds of that time depend only on the chosen
options, and not on values: finding their files and merging them. Arms with the same options share
this work, and so do the two compositions of Hydra's own start. Hydra itself applies all values to
a copy. With files of a user (`--config-dir`, or of a plug-in) nothing is cached: they are checked
each time.
"""

import copy
import functools
import pickle
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

from hydra._internal import defaults_list
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from runner.plan.hydra_sources import reads_user_files

_DEFAULTS_LISTS: dict[Any, DefaultsList] = {}
_MERGED_CONFIGS: dict[Any, Callable[[], DictConfig]] = {}
"""Functions that return a new copy of a config."""


def create_defaults_list(
    repo: IConfigRepository,
    config_name: str | None,
    overrides_list: list[Override],
    **options: bool,
) -> DefaultsList:
    """Return the options of a config as Hydra's function of this name does."""
    arguments: dict[str, Any] = {"repo": repo, "config_name": config_name, **options}
    if _reads_user_files(repo):
        return defaults_list.create_defaults_list(overrides_list=overrides_list, **arguments)
    chosen = [one.input_line for one in overrides_list if repo.group_exists(one.key_or_group)]
    key = (_folders(repo), config_name, *options.items(), *chosen)
    if key not in _DEFAULTS_LISTS:
        created = defaults_list.create_defaults_list(overrides_list=overrides_list, **arguments)
        _DEFAULTS_LISTS[key] = created
    values = Overrides(repo=repo, overrides_list=overrides_list).config_overrides
    return replace(_DEFAULTS_LISTS[key], config_overrides=values)


def merge_configs(
    merge: Callable[[list[ResultDefault], IConfigRepository], DictConfig],
    defaults: list[ResultDefault],
    repo: IConfigRepository,
) -> DictConfig:
    """Return what `merge` makes of the chosen options; each call returns another object."""
    if _reads_user_files(repo):
        return merge(defaults, repo)
    key = (_folders(repo), *map(str, map(astuple, defaults)))
    if key in _MERGED_CONFIGS:
        return _MERGED_CONFIGS[key]()
    merged = merge(defaults, repo)
    _MERGED_CONFIGS[key] = _make_copier(merged)
    return merged


def _make_copier(config: DictConfig) -> Callable[[], DictConfig]:
    """Return a function that copies a config as it is now.

    To unpickle one takes a sixth of the time of `copy.deepcopy`. But in the process of a launcher's
    job, Hydra loads the launcher's plug-in a second time. Then the config has a class of the first
    time, which cannot be pickled.
    """
    try:
        return functools.partial(pickle.loads, pickle.dumps(config))  # pickled by this process
    except (pickle.PicklingError, AttributeError, TypeError):
        return functools.partial(copy.deepcopy, copy.deepcopy(config))


def clear() -> None:
    """Forget all configs. A plug-in that is imported again may declare other options."""
    _DEFAULTS_LISTS.clear()
    _MERGED_CONFIGS.clear()


def _folders(repo: IConfigRepository) -> tuple[str, ...]:
    return tuple(f"{source.provider} {source.path}" for source in repo.get_sources())


def _reads_user_files(repo: IConfigRepository) -> bool:
    return reads_user_files(repo.get_sources())
