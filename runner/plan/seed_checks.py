"""Checks of seeds and seed offsets: range, overlap, and A/A pairs. No torch.

The seeds of an arm are those of the study plus its `seed_offset`. An A/A pair is one arm twice
under other seeds, so that the seeds of both must not overlap. Errors suggest a free offset or seed.
"""

import itertools
from collections.abc import Mapping, Sequence

from runner.claims.aa_pairs import SEED_OFFSET, SEED_OFFSET_STEP, find_aa_pairs
from runner.claims.claim import Claim, StatisticalClaim
from runner.config import INTEGER_LIMIT, ArmConfig, ConfigError, Study


def check_seeds(study: Study, arms: Mapping[str, ArmConfig]) -> None:
    """Refuse seeds below 0, or too large for one of the random generators.

    Raises:
        ConfigError: the message has an offset or a seed that is accepted.
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
    """Refuse tuning seeds that are out of range, or that the report uses too.

    Raises:
        ConfigError: the message has a first seed that is accepted.
    """
    tune = study.tune
    offsets = [arm.seed_offset for arm in arms.values()]
    low, high = min(offsets), max(offsets)
    shared = first_shared_seed(study, offsets, tune.first_seed)
    last = tune.first_seed + tune.n_seeds - 1 + high
    if shared is None and tune.first_seed + low >= 0 and last < INTEGER_LIMIT:
        return
    if shared is not None:
        why = f"the report uses seed {shared} too"
    else:
        why = f"with the offsets of the arms its seeds are outside 0 to {INTEGER_LIMIT - 1}"
    # Seeds after all reported seeds, or before them.
    after = round_up(study.seed + study.n_seeds + high - low)
    free = after if after + tune.n_seeds + high <= INTEGER_LIMIT else round_up(-low)
    fits = (
        free + tune.n_seeds + high <= INTEGER_LIMIT
        and first_shared_seed(study, offsets, free) is None
    )
    advice = f"set tune.first_seed={free}" if fits else "lower seed, or the offsets"
    raise ConfigError(f"tune.first_seed={tune.first_seed}: {why}; {advice}")


def first_shared_seed(study: Study, offsets: Sequence[int], first_seed: int) -> int | None:
    """Return the smallest seed that both the report and the tuning from `first_seed` on use.

    The two may use it in different arms. None if they share no seed.
    """
    shared = [
        max(study.seed + one, first_seed + other)
        for one, other in itertools.product(set(offsets), repeat=2)
        if study.seed + one < first_seed + other + study.tune.n_seeds
        and first_seed + other < study.seed + one + study.n_seeds
    ]
    return min(shared, default=None)


def round_up(seed: int) -> int:
    """Return the next multiple of `SEED_OFFSET_STEP`."""
    return -(-seed // SEED_OFFSET_STEP) * SEED_OFFSET_STEP


def advise_offset(name: str, arms: Mapping[str, ArmConfig], study: Study) -> str:
    """Return a hint about an offset: another one, which is free for all arms that have this one."""
    moved = [n for n, other in arms.items() if other.seed_offset == arms[name].seed_offset]
    offset = free_offset(moved, arms, study)
    if offset is not None:
        return f"seed_offset={offset} is free"
    return "raise seed_offset" if arms[name].seed_offset < 0 else "lower seed and seed_offset"


def free_offset(moved: Sequence[str], arms: Mapping[str, ArmConfig], study: Study) -> int | None:
    """Return the smallest multiple of 1000 at which these arms share no seed with their A/A pairs.

    Tuning seeds are avoided too, unless the report uses them under any offset: `check_tuning_seeds`
    refuses that. None if there is no such offset within the range of seeds.
    """
    trees = {name: tree_without_offset(arm) for name, arm in arms.items()}
    fixed = {name: arm.seed_offset for name, arm in arms.items() if name not in moved}
    pair_offsets = {fixed[n] for n in fixed for name in moved if trees[n] == trees[name]}
    first_seed = study.tune.first_seed
    tuned = study.tune.key is not None
    tuned = tuned and first_shared_seed(study, [*fixed.values()] or [0], first_seed) is None
    for offset in range(0, INTEGER_LIMIT - study.seed - study.n_seeds + 1, round_up(study.n_seeds)):
        if any(abs(offset - other) < study.n_seeds for other in pair_offsets):
            continue
        if not tuned or first_shared_seed(study, [*fixed.values(), offset], first_seed) is None:
            return offset
    return None


def tree_without_offset(arm: ArmConfig) -> dict[str, object]:
    """Return the fields of an arm that an A/A pair shares: its signature without the offset."""
    return {key: value for key, value in arm.signature_tree().items() if key != SEED_OFFSET}


def check_aa_pairs(arms: Mapping[str, ArmConfig], study: Study, claims: Sequence[Claim]) -> None:
    """Refuse A/A pairs whose arms differ, and arms with the same config whose seeds overlap.

    Raises:
        ConfigError: the message has a free offset, or an arm to add.
    """
    originals = find_aa_pairs({name: arm.signature_tree() for name, arm in arms.items()})
    families: dict[str, list[str]] = {}
    for name in arms:
        families.setdefault(originals.get(name, name), []).append(name)
    for members in families.values():
        by_offset = sorted({arms[name].seed_offset: name for name in members}.items())
        for (low, one), (high, other) in itertools.pairwise(by_offset):
            if high - low < study.n_seeds:
                offset = free_offset([other], arms, study)
                advice = (
                    "lower n_seeds" if offset is None else f"give {other} an offset of {offset}"
                )
                raise ConfigError(
                    f"seed_offset: arms {one} and {other} are an A/A pair, but their seeds overlap "
                    f"(offsets {low} and {high}, {study.n_seeds} seeds); {advice}"
                )
    for claim in claims:
        if isinstance(claim, StatisticalClaim):
            check_pair(claim, arms, originals)


def check_pair(
    claim: StatisticalClaim, arms: Mapping[str, ArmConfig], originals: Mapping[str, str]
) -> None:
    """Refuse a claim's A/A pair if its arms differ in more than their seeds.

    `originals` has for each copy of an arm that arm: {copy: original}.
    """
    pair = claim.aa
    if pair is None or not {pair.arm, pair.control} <= {*arms}:
        return
    if originals.get(pair.arm, pair.arm) == originals.get(pair.control, pair.control):
        return
    where = f"claims.{claim.id}.aa: {pair.arm} is not a copy of {pair.control}"
    offset = arms[pair.control].seed_offset
    if arms[pair.arm].signature_tree() == arms[pair.control].signature_tree() and offset:
        raise ConfigError(
            f"{where}: both have seed_offset={offset} and share all seeds; set it in only one of "
            "them (seed=1000 moves the seeds of all arms)"
        )
    original = originals.get(pair.control, pair.control)
    raise ConfigError(
        f"{where}; an A/A pair is one arm twice, under other seeds; add a copy, e.g. "
        f"'+arms.x={{copy_of: {original}}}', and name x in aa"
    )
