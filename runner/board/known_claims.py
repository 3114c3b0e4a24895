"""Every claim in the option folders: those of ablab, and those of the user. Composes nothing."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.claims.claim_keys import is_yaml_number
from runner.claims.registration import shipped_lines
from runner.config import Scale
from runner.plan.option_folders import CONF, find_group_files, read_option_layers, user_file

SCALES_BY_SIZE = (Scale.quick, Scale.full, Scale.long)
"""The scales that decide claims, the smallest first."""


@dataclass(frozen=True, kw_only=True)
class KnownClaim:
    """A claim in its present wording, from an option folder.

    Attributes:
        command: the command of the smallest study that judges it.
        duration: the time of that study on two cores, as its preset says.
    """

    experiment: str
    id: str
    statement: str
    source: str = ""
    published: str = ""
    published_is: str = ""
    published_effect: float | None = None
    contested: str = ""
    command: str = ""
    duration: str = ""


def list_known_claims(*, with_user: bool = True) -> list[KnownClaim]:
    """Return all claims, by experiment and in the order of its file.

    With `with_user`, the claims of the user's option folders are among them.
    """
    paths = find_group_files("claims", "experiment")
    names = {path.stem for path in paths if with_user or path.is_relative_to(CONF)}
    return [
        claim
        for name in sorted(names)
        for claim in claims_of(name)
        if with_user or user_file(f"experiment/{name}") is None
    ]


def claims_of(experiment: str) -> list[KnownClaim]:
    """Return the claims of one experiment."""
    written: dict[str, Any] = {}
    for layer in reversed(read_option_layers(f"claims/{experiment}")):
        written |= {key: value for key, value in layer.items() if key != "defaults"}
    for layer in reversed(read_option_layers(f"experiment/{experiment}")):
        inline = layer.get("claims")
        written |= inline if isinstance(inline, dict) else {}
    return [
        describe_claim_text(experiment, str(name), keys)
        for name, keys in written.items()
        if isinstance(keys, dict)
    ]


def describe_claim_text(experiment: str, name: str, keys: Mapping[str, Any]) -> KnownClaim:
    """Return a claim with the command of the smallest study that judges it."""
    command, duration = deciding_command(experiment, name)
    texts = ("statement", "source", "published", "published_is", "contested")
    effect = keys.get("published_effect")
    return KnownClaim(
        experiment=experiment,
        id=name,
        command=command,
        duration=duration,
        published_effect=float(str(effect)) if is_yaml_number(effect) else None,
        **{key: " ".join(str(keys.get(key) or "").split()) for key in texts},
    )


def deciding_command(experiment: str, claim: str) -> tuple[str, str]:
    """Return the command of the smallest study that judges a claim, and its time.

    A question without presets has the command without a scale, and no time.
    """
    path = user_file(f"experiment/{experiment}")
    folder = path.parents[1] if path else CONF
    words = ["python", "-m", "runner"]
    words += [f"experiment={experiment}"]
    for scale in SCALES_BY_SIZE:
        if not (folder / "preset" / f"{experiment}_{scale}.yaml").is_file():
            continue
        preset = read_option_layers(f"preset/{experiment}_{scale}")[0]
        if is_selected(preset.get("claim"), claim):
            words += [] if scale == Scale.quick else [f"scale={scale}"]
            return shlex.join(words), str(preset.get("duration") or "")
    return shlex.join(words), ""


def is_selected(selection: object, claim: str) -> bool:
    """Return whether the key `claim` of a preset selects a claim; without it, all are."""
    if selection is None:
        return True
    return claim in selection if isinstance(selection, list) else claim == selection


def is_current(experiment: str, scale: str, claim: str, registered: str) -> bool:
    """Return whether a claim's hash is that of the newest release; also if none registered it."""
    hashes = [
        line["hash"]
        for line in shipped_lines()
        if (line["id"], line["experiment"], line["scale"]) == (claim, experiment, scale)
    ]
    return not hashes or hashes[-1] == registered
