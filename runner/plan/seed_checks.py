"""Seeds and their offsets: within range, disjoint where they must be, or refused with a number.

The seeds of an arm are those of the study plus its `seed_offset`. An A/A pair is one arm twice
under other seeds, so the seeds of copies must not overlap. No torch.
"""

import itertools
from collections.abc import Mapping, Sequence

from runner.claims.aa_pairs import SEED_OFFSET, SEED_OFFSET_STEP, find_aa_pairs
from runner.claims.claim import Claim, StatisticalClaim
from runner.config import INTEGER_LIMIT, ArmConfig, ConfigError, Study


def check_seeds(study: Study, arms: Mapping[str, ArmConfig]) -> None:
    """Refuse seeds below 0, or above what every random generator takes.

    Raises:
        ConfigError: with an offset or a seed that is accepted.
    """
    highest = INTEGER_LIMIT - study.n_seeds - max(arm.seed_offset for arm in arms.values())
    for name, arm in arms.items():
        first = study.seed + arm.seed_offset
        last = first + study.n_seeds - 1
        if first >= 0 and last < INTEGER_LIMIT:
            continue
        where = f"seed={study.seed}, n_seeds={study.n_seeds}, seed_offset={arm.seed_offset}"
        if first < 0:
            advice = f"seed {first} is below 0; {advise_offset(name, arms, study)}"
        elif highest >= 0:
            advice = f"seed {last} is above {INTEGER_LIMIT - 1}; give a seed of at most {highest}"
        else:
            advice = f"seed {last} is above {INTEGER_LIMIT - 1}; {advise_offset(name, arms, study)}"
        raise ConfigError(f"{where} of arm {name}: {advice}")


def check_tuning_seeds(study: Study, arms: Mapping[str, ArmConfig]) -> None:
    """Refuse tuning seeds that are out of range or are reported too.

    Raises:
        ConfigError: with a first seed that is accepted.
    """
    tune = study.tune
    offsets = [arm.seed_offset for arm in arms.values()]
    low, high = min(offsets), max(offsets)
    both = reported_too(study, offsets, tune.first_seed)
    last = tune.first_seed + tune.n_seeds - 1 + high
    if both is None and tune.first_seed + low >= 0 and last < INTEGER_LIMIT:
        return
    if both is not None:
        why = f"seed {both} is reported too"
    else:
        why = f"with the offsets of the arms its seeds leave 0 to {INTEGER_LIMIT - 1}"
    # Behind all reported seeds, or before them.
    behind = up(study.seed + study.n_seeds + high - low)
    free = behind if behind + tune.n_seeds + high <= INTEGER_LIMIT else up(-low)
    fits = (
        free + tune.n_seeds + high <= INTEGER_LIMIT and reported_too(study, offsets, free) is None
    )
    advice = f"tune on others: tune.first_seed={free}" if fits else "lower seed, or the offsets"
    raise ConfigError(f"tune.first_seed={tune.first_seed}: {why}; {advice}")


def reported_too(study: Study, offsets: Sequence[int], first_seed: int) -> int | None:
    """The least seed that is tuned on, from this one on, and reported, of whatever arms."""
    shared = [
        max(study.seed + one, first_seed + other)
        for one, other in itertools.product(set(offsets), repeat=2)
        if study.seed + one < first_seed + other + study.tune.n_seeds
        and first_seed + other < study.seed + one + study.n_seeds
    ]
    return min(shared, default=None)


def up(seed: int) -> int:
    """The next multiple of 1000."""
    return -(-seed // SEED_OFFSET_STEP) * SEED_OFFSET_STEP


def advise_offset(name: str, arms: Mapping[str, ArmConfig], study: Study) -> str:
    """The end of an error about an offset: one that all arms that have it can have instead."""
    moved = [n for n, other in arms.items() if other.seed_offset == arms[name].seed_offset]
    offset = free_offset(moved, arms, study)
    if offset is not None:
        return f"seed_offset={offset} is free"
    return "raise seed_offset" if arms[name].seed_offset < 0 else "lower seed and seed_offset"


def free_offset(moved: Sequence[str], arms: Mapping[str, ArmConfig], study: Study) -> int | None:
    """The least multiple of 1000 at which these arms share no seed with a copy of theirs.

    It keeps clear of the seeds that are tuned on too, unless these are reported whatever it is:
    that has an error of its own. None where the seeds of the study leave room for none.
    """
    trees = {name: tree_without_offset(arm) for name, arm in arms.items()}
    stay = {name: arm.seed_offset for name, arm in arms.items() if name not in moved}
    copies = {stay[n] for n in stay for name in moved if trees[n] == trees[name]}
    first_seed = study.tune.first_seed
    tuned = study.tune.key is not None
    tuned = tuned and reported_too(study, [*stay.values()] or [0], first_seed) is None
    for offset in range(0, INTEGER_LIMIT - study.seed - study.n_seeds + 1, up(study.n_seeds)):
        if any(abs(offset - other) < study.n_seeds for other in copies):
            continue
        if not tuned or reported_too(study, [*stay.values(), offset], first_seed) is None:
            return offset
    return None


def tree_without_offset(arm: ArmConfig) -> dict[str, object]:
    """What an arm shares with its copies."""
    return {key: value for key, value in arm.signature_tree().items() if key != SEED_OFFSET}


def check_aa_pairs(arms: Mapping[str, ArmConfig], study: Study, claims: Sequence[Claim]) -> None:
    """Refuse A/A pairs that prove nothing: arms that are no copies, copies that share seeds.

    Raises:
        ConfigError: with what is wrong and how to mend it.
    """
    copies = find_aa_pairs({name: arm.signature_tree() for name, arm in arms.items()})
    families: dict[str, list[str]] = {}
    for name in arms:
        families.setdefault(copies.get(name, name), []).append(name)
    for members in families.values():
        by_offset = sorted({arms[name].seed_offset: name for name in members}.items())
        for (low, one), (high, other) in itertools.pairwise(by_offset):
            if high - low < study.n_seeds:
                offset = free_offset([other], arms, study)
                advice = (
                    "lower n_seeds" if offset is None else f"give {other} an offset of {offset}"
                )
                raise ConfigError(
                    f"seed_offset: arms {one} and {other} are copies whose seeds overlap "
                    f"(offsets {low} and {high}, {study.n_seeds} seeds), so that they prove "
                    f"nothing; {advice}"
                )
    for claim in claims:
        if isinstance(claim, StatisticalClaim):
            check_pair(claim, arms, copies)


def check_pair(
    claim: StatisticalClaim, arms: Mapping[str, ArmConfig], copies: Mapping[str, str]
) -> None:
    """Refuse an A/A pair of a claim that is not one arm twice, under other seeds."""
    pair = claim.aa
    if pair is None or not {pair.arm, pair.control} <= {*arms}:
        return
    if copies.get(pair.arm, pair.arm) == copies.get(pair.control, pair.control):
        return
    where = f"claims.{claim.id}.aa: {pair.arm} is no copy of {pair.control}"
    offset = arms[pair.control].seed_offset
    if arms[pair.arm].signature_tree() == arms[pair.control].signature_tree() and offset:
        raise ConfigError(
            f"{where}: both have seed_offset={offset} and share all seeds; give it to one of them "
            "alone (seed=1000 moves the seeds of all arms)"
        )
    original = copies.get(pair.control, pair.control)
    raise ConfigError(
        f"{where}; an A/A pair is one arm twice, under other seeds; add that arm, e.g. "
        f"'+arms.x={{copy_of: {original}}}', and name x in aa"
    )
