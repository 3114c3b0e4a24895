"""Sweeps in YAML: `-m sweep=<name>` reads `sweep/<name>.yaml` of conf/ or of the user's folders.

    title: How does the load change with the number of experts?
    overrides: [experiment=moe, n_seeds=6]        # of every point
    zip: {ffn.n_experts: [4, 8], ffn.top_k: [1, 2]}   # the n-th values belong together
    grid: {training.lr: [1e-3, 3e-3]}             # every combination
    points: {plain: [ffn=dense], wide: [ffn.d_ff=512]}    # named lists of overrides

Several of `zip`, `grid` and `points` are combined with each other, and with typed sweeps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.overrides import parse_override, quoted
from runner.plan.security import check_yaml_file
from runner.sweeps.jobs import UNSWEPT, Axis, Choice
from runner.wording.names import check_file_name, name_hint
from runner.wording.output import truncate_middle

GROUP = "sweep"
KEYS = ("title", "overrides", "zip", "grid", "points")
Check = Callable[[str], str]
"""Checks one override, and returns it in a form that applies to every arm."""


@dataclass(frozen=True)
class NamedSweep:
    """A sweep that a YAML file describes.

    Attributes:
        title: the title of its page; "" for the question of the experiment.
        overrides: the overrides of every point.
        axes: the choices that are combined.
    """

    title: str = ""
    overrides: tuple[str, ...] = ()
    axes: tuple[Axis, ...] = ()


def is_named_sweep(text: str) -> bool:
    """Return whether an argument chooses a sweep in YAML: `sweep=<name>`."""
    return text.startswith(f"{GROUP}=")


def find_sweep_file(texts: Sequence[str]) -> Path | None:
    """Return the YAML file of `sweep=<name>` on the command line; None without it.

    Raises:
        ConfigError: there are two sweeps, or there is no such file.
    """
    chosen = [text for text in texts if is_named_sweep(text)]
    if not chosen:
        return None
    text = truncate_middle(chosen[0], 120)
    if len(chosen) > 1:
        raise ConfigError(f"{text} and {truncate_middle(chosen[1], 120)}: choose one sweep")
    name, known = str(parse_override(chosen[0]).value()), option_folders.option_names(GROUP)
    if name not in known:
        raise ConfigError(f"{text}: there is no such sweep; {name_hint(name, known)}")
    own = option_folders.CONF / GROUP / f"{name}.yaml"
    return option_folders.user_file(f"{GROUP}/{name}") or own


def read_named_sweep(path: Path, check: Check) -> NamedSweep:
    """Return the sweep of a YAML file; `check` checks each of its overrides.

    Raises:
        ConfigError: the file does not describe a sweep. The message has its path.
    """
    check_yaml_file(path)
    try:
        return _read(option_folders.read_yaml(path), check)
    except ConfigError as error:
        message = str(error).removeprefix(f"{path}: ")
        raise ConfigError(f"{truncate_middle(path, 80)}: {message}") from error


def _read(content: Mapping[str, Any], check: Check) -> NamedSweep:
    for key in content:
        if key not in KEYS:
            raise ConfigError(
                f"{truncate_middle(key, 80)}: a sweep has no such key; {name_hint(str(key), KEYS)}"
            )
    title = content.get("title") or ""
    if not isinstance(title, str):
        raise ConfigError("title must be one text")
    axes = [
        *_zipped(_mapping(content, "zip"), check),
        *_grid(_mapping(content, "grid"), check),
        *_points(_mapping(content, "points"), check),
    ]
    if not axes:
        raise ConfigError("a sweep needs values: give it zip, grid or points")
    fixed = _overrides("overrides", content.get("overrides") or [], check)
    return NamedSweep(" ".join(title.split()), tuple(fixed), tuple(axes))


def _mapping(content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key, {})
    if not isinstance(value, dict) or (key in content and not value):
        raise ConfigError(f"{key} must be a mapping that is not empty: {key}: {_example(key)}")
    return value


def _example(key: str) -> str:
    return "{small: [ffn.n_experts=4]}" if key == "points" else "{ffn.n_experts: [4, 8]}"


def _zipped(values: Mapping[str, Any], check: Check) -> list[Axis]:
    """Return one axis, whose n-th choice has the n-th value of every key."""
    lists = {key: _values("zip", key, each) for key, each in values.items()}
    if len({len(each) for each in lists.values()}) > 1:
        lengths = ", ".join(f"{key} has {len(each)}" for key, each in lists.items())
        raise ConfigError(f"zip needs lists of equal lengths: {lengths}")
    texts = [[check_plain(key, value, check) for value in each] for key, each in lists.items()]
    return [[Choice(tuple(row)) for row in zip(*texts, strict=True)]] if texts else []


def _grid(values: Mapping[str, Any], check: Check) -> list[Axis]:
    """Return an axis for every key."""
    return [
        [Choice((check_plain(key, value, check),)) for value in _values("grid", key, each)]
        for key, each in values.items()
    ]


def _points(points: Mapping[str, Any], check: Check) -> list[Axis]:
    """Return one axis with a named choice for every point."""
    choices = []
    for name, texts in points.items():
        check_file_name("point", str(name))
        choices.append(Choice(tuple(_overrides(f"points.{name}", texts, check)), str(name)))
    return [choices] if choices else []


def _values(kind: str, key: Any, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ConfigError(f"{kind}.{key} must be a list of values that is not empty, e.g. [4, 8]")
    return values


def _overrides(where: str, texts: Any, check: Check) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"{where} must be a list of overrides, e.g. [experiment=moe, n_seeds=6]")
    return [check_listed(text, check) for text in texts]


def check_plain(key: Any, value: Any, check: Check) -> str:
    """Return a checked override that sets a key to a value of YAML, as if it was typed."""
    text = f"{key}={format_yaml_value(value)}"
    if isinstance(value, str) and parse_override(text).is_sweep_override():
        text = f"{key}={quoted(value)}"
    return check_listed(text, check)


def format_yaml_value(value: Any) -> str:
    """Return a value of YAML as text of Hydra's grammar."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(_quoted_text(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{name}:{_quoted_text(item)}" for name, item in value.items())
        return f"{{{','.join(pairs)}}}"
    return str(value)


def _quoted_text(value: Any) -> str:
    """Return an item of a list or mapping; a text with other characters than a word is quoted."""
    if isinstance(value, str) and not value.replace("_", "").replace(".", "").isalnum():
        return quoted(value)
    return format_yaml_value(value)


def check_listed(text: str, check: Check) -> str:
    """Return an override of a sweep file after its checks.

    Raises:
        ConfigError: it sweeps itself, or sets a key that only the command line sets.
    """
    override = parse_override(text)
    key, short = override.key_or_group, truncate_middle(text, 120)
    if key in (*UNSWEPT, GROUP) or key.startswith("hydra"):
        raise ConfigError(f"{short}: set {key} on the command line only")
    if override.is_sweep_override():
        raise ConfigError(f"{short}: list several values under zip or grid")
    return check(text)
