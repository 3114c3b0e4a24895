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
SELECTIONS = ("arm", "claim", "duration")
"""The keys of a preset that add arms and claims, but decide none of the others better."""


@dataclass(frozen=True)
class DecidingStudy:
    """A study that judges a claim: its scale, its command, and its time as the preset says."""

    scale: Scale
    command: str
    duration: str


@dataclass(frozen=True, kw_only=True)
class KnownClaim:
    """A claim in its present wording, from an option folder.

    Attributes:
        studies: the studies with the presets that judge it, the smallest first.
    """

    experiment: str
    id: str
    statement: str
    source: str = ""
    published: str = ""
    published_is: str = ""
    published_effect: float | None = None
    contested: str = ""
    studies: tuple[DecidingStudy, ...] = ()

    def study_beyond(self, scale: str | None) -> DecidingStudy | None:
        """Return the smallest study that judges the claim, of a larger scale if one is given."""
        sizes = [*Scale]
        least = 0 if scale is None else sizes.index(Scale(scale)) + 1
        return next((one for one in self.studies if sizes.index(one.scale) >= least), None)


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
    """Return a claim with the studies that judge it."""
    texts = ("statement", "source", "published", "published_is", "contested")
    effect = keys.get("published_effect")
    return KnownClaim(
        experiment=experiment,
        id=name,
        studies=deciding_studies(experiment, name),
        published_effect=float(str(effect)) if is_yaml_number(effect) else None,
        **{key: " ".join(str(keys.get(key) or "").split()) for key in texts},
    )


def deciding_studies(experiment: str, claim: str) -> tuple[DecidingStudy, ...]:
    """Return the studies with presets that judge a claim, the smallest first.

    A preset that only has more arms than the one before, such as `ffn_long`, judges its claims no
    better: it counts only if the one before lacks the claim. A question without presets has one
    study, without a time.
    """
    path = user_file(f"experiment/{experiment}")
    folder = path.parents[1] if path else CONF
    plain = shlex.join(["python", "-m", "runner", f"experiment={experiment}"])
    studies: list[DecidingStudy] = []
    has_presets, last_sizes = False, None
    for scale in SCALES_BY_SIZE:
        if not (folder / "preset" / f"{experiment}_{scale}.yaml").is_file():
            continue
        has_presets = True
        preset = read_option_layers(f"preset/{experiment}_{scale}")[0]
        sizes = {key: value for key, value in preset.items() if key not in SELECTIONS}
        if is_selected(preset.get("claim"), claim) and sizes != last_sizes:
            last_sizes = sizes
            command = plain if scale == Scale.quick else f"{plain} scale={scale}"
            studies.append(DecidingStudy(scale, command, str(preset.get("duration") or "")))
    return tuple(studies) if has_presets else (DecidingStudy(Scale.quick, plain, ""),)


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
