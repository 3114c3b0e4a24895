"""From a composed config to a plan: arms typed and signed before anything is written. No torch."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig, OmegaConf, open_dict

from runner import device, provenance, registry, store
from runner.claims.claim import Claim, Tested
from runner.claims.evidence import InvalidClaimError
from runner.claims.fairness import Value
from runner.claims.rig import reachable
from runner.config import (
    ArmConfig,
    By,
    ConfigError,
    DeviceName,
    Evaluation,
    Scale,
    Study,
    flatten,
    plain,
)
from runner.copies import originals
from runner.names import near
from runner.output import shortened
from runner.plan import arguments
from runner.plan.composing import compose_arms
from runner.plan.explaining import about
from runner.plan.outline import Outline, outline
from runner.plan.questions import check_code, check_header, no_experiment
from runner.plan.reading import read_study
from runner.stats.standing import seeds_that_could_tell


@dataclass(frozen=True)
class Arm:
    """One arm, ready to be computed.

    What one would type (a width that was solved included), and what that resolves to.
    """

    name: str
    overrides: tuple[str, ...]
    config: ArmConfig
    device: DeviceName
    data: str
    signed: str
    signature: str

    @property
    def conditions(self) -> dict[str, Value]:
        """All that a comparison must have equal: what is no part."""
        kept = ("model", "task")
        tree = {name: plain(part) for name, part in vars(self.config.parts).items() if name in kept}
        tree |= {
            name: plain(getattr(self.config, name))
            for name in ("training", "device", "options", "match")
        }
        tree["device"]["name"] = self.device.value
        return flatten(tree) | {"data": self.data}


@dataclass(frozen=True)
class Plan:
    """A study, resolved.

    `notes` are lines for the user: what was read, skipped, ignored or slow. `texts` are the user's
    own texts: where each is, and a hash of what was read there.
    """

    study: Study
    experiment: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    outputs: Path
    code: str
    config_yaml: str
    command: str
    started: str
    tolerance: float  # the preset's match.tolerance
    typed: tuple[str, ...] = ()  # what was typed and changes what is trained or measured
    notes: list[str] = field(default_factory=list)
    texts: Mapping[str, str] = field(default_factory=dict)


@about("")
def plan(
    config: DictConfig,
    overrides: Sequence[str],
    *,
    command: str = "",
    arms: Mapping[str, list[str]] | None = None,
    evaluation: Evaluation = Evaluation.report,
    texts: Mapping[str, str] | None = None,
) -> Plan:
    """Resolve a composed config and the overrides it came from; `command` is what a user typed.

    With `arms` it is these that are computed, beside those of the config that they are matched to.
    `evaluation` is what judges their trials. `texts` are those of an earlier plan of the same
    command, which must not have changed.

    Raises:
        ConfigError: with the errors of all arms, a line each.
    """
    check_header(config, overrides)
    with open_dict(config):
        config.claims = arguments.only_typed(config.claims, overrides)
    study = read_study(config)
    experiment = study.experiment
    if experiment is None or experiment not in registry.names():
        raise ConfigError(no_experiment(experiment, overrides))
    check_code(experiment)
    if study.plugins and not any(text.lstrip("+").startswith("plugins=") for text in overrides):
        raise ConfigError("plugins run code, so they are named on the command line and not in YAML")
    if arms is not None:
        study = replace(study, arms={**study.arms, **arms})
    if study.baseline is not None and study.baseline not in study.arms:
        raise ConfigError(
            f"baseline={study.baseline}: there is no such arm; {near(study.baseline, study.arms)}"
        )
    told = outline(study)
    composed = compose_arms(study, overrides, None if arms is None else list(arms))
    check_controls(study, told)
    devices = {name: device.resolve(arm.device) for name, arm in composed.arms.items()}
    notes = composed.notes
    # Times of one machine are never mixed with another's.
    machine = provenance.machine() if registry.timed(experiment) else None
    outputs = writable(Path(study.outputs), experiment)
    planned, data_of = [], Data(outputs, evaluation, dict(texts or {}))
    for name, composed_arm in composed.arms.items():
        data = data_of.prepare(composed_arm)
        arm = replace(composed_arm, evaluation=evaluation, data=data)
        where = devices[name]
        notes += [line for line in device.warnings(arm.device, where) if line not in notes]
        tree = arm.tree()
        tree["device"]["name"] = where.value
        text = store.signed(tree, data, machine)
        typed_arm = (*study.arms[name], *solved_width(arm, name, composed.held[name]))
        planned.append(Arm(name, typed_arm, arm, where, data, text, store.signature(text)))
    seeds = tuple(range(study.seed, study.seed + study.n_seeds))
    baseline = stand_in(planned, study)
    if study.baseline not in (None, baseline):
        notes.append(f"baseline {study.baseline} is not computed; {baseline} stands in for it")
    notes += other_seeds(planned, baseline)
    check_copies(planned, seeds, told.claims)
    if study.scale is not Scale.smoke:
        check_claims(told.claims)
        notes += too_few_seeds(told, study, planned)
    return Plan(
        study=study,
        experiment=experiment,
        arms=tuple(planned),
        seeds=seeds,
        outputs=outputs,
        code=provenance.code_hash(experiment, study.plugins),
        config_yaml=OmegaConf.to_yaml(config, resolve=True),
        command=command or arguments.command(overrides),
        started=provenance.now(),
        tolerance=preset_tolerance(config, study, overrides),
        typed=tuple(settings(overrides)),
        notes=notes + data_of.lines + same_arms(planned),
        texts=data_of.texts,
    )


def preset_tolerance(config: DictConfig, study: Study, overrides: Sequence[str]) -> float:
    """The share of the cost that may be left, as the experiment and its preset have it."""
    typed = any(text.lstrip("+~").startswith("match") for text in overrides)
    if typed:
        chosen = [f"experiment={study.experiment}", f"scale={study.scale.value}"]
        choice = next((t for t in overrides if t.lstrip("+").startswith("experiment=")), chosen[0])
        config = compose("config", overrides=[choice, chosen[1]])
    return float(config.match.tolerance)


def settings(overrides: Sequence[str]) -> list[str]:
    """The typed overrides that change what arms train or measure; claims are then of these."""
    sections = {"training", "model", "options", "match", *registry.groups()}
    return [
        text.lstrip("+")
        for text in overrides
        if text.lstrip("+~").partition("=")[0].partition(".")[0] in sections
    ]


def check_controls(study: Study, told: Outline) -> None:
    """Refuse controls and headlines' baselines that are no arms, and a control as a baseline."""
    for headline in told.headline:
        if headline.baseline is not None and headline.baseline not in study.arms:
            raise ConfigError(
                f"headline {headline.metric}: baseline={headline.baseline}: there is no such arm; "
                f"{near(headline.baseline, study.arms)}"
            )
        if headline.baseline in study.controls:
            raise ConfigError(
                f"headline {headline.metric}: its baseline {headline.baseline} is a control; give "
                "another baseline"
            )
    for name in study.controls:
        if name not in study.arms:
            raise ConfigError(f"controls names {name}: no such arm; {near(name, study.arms)}")
        if name == study.baseline:
            raise ConfigError(
                f"controls names {name}, the baseline; give other controls or another baseline"
            )


def stand_in(arms: Sequence[Arm], study: Study) -> str:
    """The arm that others are compared with: the baseline, or where it is not computed another.

    The first that shares the baseline's seeds and is no control, else the first of all.
    """
    names = {arm.name: arm.config.seed_offset for arm in arms}
    if study.baseline in names:
        return study.baseline
    fit = [n for n, offset in names.items() if not offset and n not in study.controls]
    return next(iter(fit or names))


def other_seeds(arms: Sequence[Arm], baseline: str) -> list[str]:
    """A line for arms whose seeds are not the baseline's, though they are copies of no arm."""
    copies = originals({arm.name: arm.config.tree() for arm in arms})
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    apart = [n for n in offsets if offsets[n] != offsets[baseline] and n not in copies]
    if not apart:
        return []
    return [
        f"not compared with {baseline}, whose seeds (seed_offset) they do not share: "
        f"{', '.join(apart)}"
    ]


def check_copies(arms: Sequence[Arm], seeds: Sequence[int], claims: Sequence[Claim]) -> None:
    """Refuse A/A pairs that prove nothing: arms that are no copies, copies that share seeds.

    Raises:
        ConfigError: with what is wrong and how to mend it.
    """
    copies = originals({arm.name: arm.config.tree() for arm in arms})
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    for name, offset in offsets.items():
        if seeds[0] + offset < 0:
            raise ConfigError(
                f"seed_offset={offset} of arm {name}: seed {seeds[0] + offset} is below 0; "
                "give an offset of 1000, say"
            )
    families: dict[str, list[str]] = {}
    for name in offsets:
        families.setdefault(copies.get(name, name), []).append(name)
    for members in families.values():
        by_offset = sorted({offsets[name]: name for name in members}.items())
        for (low, one), (high, other) in itertools.pairwise(by_offset):
            if high - low < len(seeds):
                raise ConfigError(
                    f"seed_offset: arms {one} and {other} are copies whose seeds overlap "
                    f"(offsets {low} and {high}, {len(seeds)} seeds), so that they prove nothing; "
                    f"give {other} an offset of {low + 1000}"
                )
    check_pairs(claims, arms, copies)


def check_pairs(claims: Sequence[Claim], arms: Sequence[Arm], copies: Mapping[str, str]) -> None:
    """Refuse A/A pairs of claims that are not one arm twice, under other seeds."""
    trees = {arm.name: arm.config.tree() for arm in arms}
    for claim in claims:
        pair = claim.aa if isinstance(claim, Tested) else None
        if pair is None or not {pair.arm, pair.control} <= {*trees}:
            continue
        if copies.get(pair.arm, pair.arm) != copies.get(pair.control, pair.control):
            if trees[pair.arm] == trees[pair.control]:
                raise ConfigError(
                    f"claims.{claim.id}.aa: {pair.arm} is no copy of {pair.control}: both have "
                    f"seed_offset={trees[pair.arm]['seed_offset']} and share all seeds; give it to "
                    "one of them alone (seed=1000 moves the seeds of all arms)"
                )
            raise ConfigError(
                f"claims.{claim.id}.aa: {pair.arm} is no copy of {pair.control}; an A/A pair is "
                f"one arm twice, under other seeds: repeat the overrides of {pair.control} and add "
                "seed_offset=1000"
            )


def check_claims(claims: Sequence[Claim]) -> None:
    """Refuse claims that their own number of seeds can never decide, before anything is trained.

    Raises:
        ConfigError: with the least number that could.
    """
    tested = [claim for claim in claims if isinstance(claim, Tested)]
    for claim in tested:
        family = [other for other in tested if other.family == claim.family]
        try:
            reachable(claim, family)
        except InvalidClaimError as error:
            raise ConfigError(f"claims.{claim.id}: {error}") from error


def too_few_seeds(told: Outline, study: Study, arms: Sequence[Arm]) -> list[str]:
    """Lines on what this number of seeds cannot decide, whatever comes out."""
    lines = []
    short = [claim for claim in told.claims if claim.n > study.n_seeds]
    if short:
        most = max(claim.n for claim in short)
        names = ", ".join(claim.id for claim in short)
        lines.append(
            f"{study.n_seeds} of {most} seeds: these claims will be invalid: {names}; "
            f"n_seeds={most} decides them"
        )
    copies = originals({arm.name: arm.config.tree() for arm in arms})
    under_study = [a.name for a in arms if a.name not in copies and a.name not in study.controls]
    needs = [h for h in told.headline if not registry.metric(h.metric).deterministic]
    enough = seeds_that_could_tell()
    if len(under_study) > 1 and needs and study.n_seeds < enough:
        seeds = "1 seed" if study.n_seeds == 1 else f"{study.n_seeds} seeds"
        lines.append(
            f"with {seeds} no arm can be called better or worse, whatever comes out; that takes "
            f"{enough} (n_seeds={enough})"
        )
    return lines


def solved_width(arm: ArmConfig, name: str, held: bool) -> list[str]:
    """The override that sets the width which was solved for an arm."""
    if held or arm.match.by is By.none or arm.match.to == name:
        return []
    section, _, key = arm.match.solve.partition(".")
    return [f"{arm.match.solve}={getattr(getattr(arm.parts, section), key)}"]


def same_arms(arms: Sequence[Arm]) -> list[str]:
    """A warning for arms that are the same configuration under two names."""
    lines: list[str] = []
    first: dict[str, str] = {}
    for arm in arms:
        other = first.setdefault(arm.signature, arm.name)
        if other != arm.name:
            lines.append(
                f"arms {other} and {arm.name} are the same configuration: their trials are shared"
            )
    return lines


@dataclass
class Data:
    """The data of a plan's arms, read once for all that have the same task.

    Attributes:
        outputs: below it they are kept, and nothing is read as text.
        evaluation: what trials are judged by.
        texts: the user's texts so far: where each is, and a hash of what was read there.
        lines: what was read, a line for each text.
    """

    outputs: Path
    evaluation: Evaluation
    texts: dict[str, str]
    lines: list[str] = field(default_factory=list)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    def prepare(self, arm: ArmConfig) -> str:
        """The fingerprint of an arm's data, which are made ready on disk.

        Raises:
            ConfigError: bad input of the user, or a text that changes while it is planned with.
        """
        task = getattr(arm.parts, "task", None)
        if task is None:
            return ""
        if (key := repr(task)) not in self._fingerprints:
            try:
                ready = registry.prepare(task, cache_folder(self.outputs), self.evaluation)
            except (ValueError, RuntimeError) as error:  # `~nobody/text` has no home folder
                raise ConfigError(str(error)) from error
            if (
                ready.source
                and self.texts.setdefault(ready.source, ready.evidence) != ready.evidence
            ):
                raise ConfigError(
                    f"task.path={ready.source!r}: the text has changed since this command began; "
                    f"run it again when the text is left alone"
                )
            if ready.line and ready.line not in self.lines:
                self.lines.append(ready.line)
            self._fingerprints[key] = ready.fingerprint
        return self._fingerprints[key]


def cache_folder(outputs: Path) -> Path:
    """Where prepared data lie."""
    return outputs / "corpora"


def writable(outputs: Path, experiment: str) -> Path:
    """The outputs folder, if a report can be written there; nothing is left behind.

    A report needs its own folder alone: trials that are there already are only read.

    Raises:
        ConfigError: it cannot.
    """
    there = outputs.absolute() / experiment / "runs"
    try:
        while not there.exists():
            there = there.parent
        for needed in ("", "trials", "runs"):
            folder = outputs / experiment / needed
            if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 (a circle)
                raise NotADirectoryError(f"{folder} is no folder")
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file")
        probe = there / f".ablab-{provenance.token()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"outputs={shortened(outputs, 120)}: nothing can be written there ({reason}); give "
            "another folder"
        ) from error
    return outputs
