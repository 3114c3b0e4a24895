"""Read and write records of the board. A file may be damaged or hostile, so each key is checked.

A record is sealed: its key `seal` has the SHA-256 of all its other keys. It detects an edit by
mistake, and not an edit that also updates the seal.
"""

import datetime
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, NoReturn

from runner.board.record import INFINITE, RECORD_VERSION, ClaimRecord, Estimate, RunRecord
from runner.claims.finding import Verdict
from runner.config import ConfigError, Scale
from runner.plan.option_folders import option_names
from runner.records.files import list_names, read_bytes, replace_non_finite, write_json
from runner.records.schemas import is_count, is_duration, is_number_or_null, is_shallow_mapping
from runner.records.seal import canonical_sha256
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

MAX_RECORD_BYTES = 4 * 2**20
SEAL, STUDY = "seal", "study.json"
RESTORE = "delete the file and record its run again"
MAX_TEXT, MAX_ENTRIES = 20_000, 2_000
DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}[\d:.+-]*")
NAME = re.compile(r"[\w.-]{1,200}")
HEX = re.compile(r"[0-9a-f]{4,64}")

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    """Return whether a value is a time with its zone: 2026-11-26T13:00:00+00:00."""
    try:
        moment = datetime.datetime.fromisoformat(value) if DATE.fullmatch(value) else None
    except (TypeError, ValueError):
        return False
    return moment is not None and moment.tzinfo is not None


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(check: Check) -> Check:
    return lambda value: (
        isinstance(value, list) and len(value) <= MAX_ENTRIES and all(map(check, value))
    )


def _mapping_to(check: Check) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= MAX_ENTRIES
        and all(_is_text(key) and check(item) for key, item in value.items())
    )


def _is_boolean(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return value is not None and is_number_or_null(value)


def _is_estimate(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"mean", "low", "high", "n"}
        and all(is_number_or_null(value[key]) for key in ("mean", "low", "high"))
        and is_count(value["n"])
    )


def _is_machine(value: Any) -> bool:
    texts, numbers = {"system", "processor"}, {"cores", "memory_gib"}
    return (
        isinstance(value, dict)
        and {*value} <= texts | numbers | {"gpus"}
        and all(_is_text(value[key]) for key in texts & {*value})
        and all(_is_number(value[key]) for key in numbers & {*value})
        and _list_of(_is_text)(value.get("gpus", []))
    )


CLAIM_SCHEMA: dict[str, Check] = {
    "id": _matches(NAME),
    "kind": _matches(NAME),
    **dict.fromkeys(("statement", "source", "published", "published_is", "contested"), _is_text),
    **dict.fromkeys(("quantity", "expected", "reason", "unit"), _is_text),
    **dict.fromkeys(("published_effect", "p", "p_holm"), is_number_or_null),
    **dict.fromkeys(("has_sign", "shipped"), _is_boolean),
    **dict.fromkeys(("n", "planned_n"), is_count),
    "verdict": lambda value: value in tuple(map(str, Verdict)),
    "estimate": _or_null(_is_estimate),
    "detectable": lambda value: value == INFINITE or is_number_or_null(value),
    "registered": _matches(HEX),
}
RECORD_SCHEMA: dict[str, Check] = {
    "version": lambda value: value == RECORD_VERSION,
    "experiment": _matches(NAME),
    **dict.fromkeys(("question", "command", "answer"), _is_text),
    "scale": lambda value: value in tuple(map(str, Scale)),
    "date": _is_time,
    "commit": _or_null(_matches(HEX)),
    "dirty": _or_null(_is_boolean),
    "machine": _is_machine,
    **dict.fromkeys(("devices", "settings"), _list_of(_is_text)),
    "versions": _mapping_to(_is_text),
    "digests": _mapping_to(_matches(HEX)),
    "look": is_count,
    "trials": _mapping_to(is_count),
    "trial_seconds": is_duration,
    "arms": _mapping_to(_mapping_to(_is_number)),
    "claims": _list_of(lambda value: isinstance(value, dict)),
}


def read_record(path: Path) -> RunRecord:
    """Return the record in a file.

    Raises:
        ConfigError: the file cannot be read, does not match the schema, or was changed since it was
            written; it is named.
    """
    name = str(truncate_middle(path, 120))
    content = read_content(path)
    is_sealed = isinstance(content, dict) and SEAL in content
    unsealed = {key: content[key] for key in content if key != SEAL} if is_sealed else content
    record = check_record(name, unsealed)
    if not is_sealed:
        raise ConfigError(f"{name} has no {SEAL}: {how_to_restore(record)}")
    if content[SEAL] != canonical_sha256(unsealed):
        restore = how_to_restore(record)
        raise ConfigError(f"{name} was changed since it was written: undo the change, or {restore}")
    return record


def how_to_restore(record: RunRecord) -> str:
    """Return how to get the record of a run again."""
    run = f"record=outputs/{record.experiment}/runs/<its run>"
    return f"{RESTORE}: python -m runner board {run}"


def read_content(path: Path) -> Any:
    """Return the content of a JSON file. Raises ConfigError where it cannot be read."""
    name = truncate_middle(path, 120)
    if path.is_symlink():
        raise ConfigError(f"{name} is a link; a record of the board must be a file")
    try:
        return json.loads(read_bytes(path, MAX_RECORD_BYTES), parse_constant=refuse_constant)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is damaged: it is not JSON; {RESTORE}") from error


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and infinities, which Python reads although JSON has none."""
    raise ValueError(name)


def check_record(name: str, content: Any) -> RunRecord:
    """Return the record in plain data; `name` begins each message.

    Raises:
        ConfigError: it does not match the schema.
    """
    if not is_shallow_mapping(content) or "version" not in content:
        raise ConfigError(f"{name} is not a record of the board; {RESTORE}")
    if content["version"] != RECORD_VERSION:
        version = truncate_middle(content["version"], 20)
        raise ConfigError(
            f"{name} has version {version}, but version {RECORD_VERSION} is required; {RESTORE}"
        )
    values = check_keys(name, content, RECORD_SCHEMA, RunRecord)
    claims = []
    for index, claim in enumerate(values["claims"]):
        checked = check_keys(f"{name}: claims[{index}]", claim, CLAIM_SCHEMA, ClaimRecord)
        estimate = checked.get("estimate")
        claims.append(
            ClaimRecord(**checked | {"estimate": Estimate(**estimate) if estimate else None})
        )
    if len({claim.id for claim in claims}) < len(claims):
        raise ConfigError(f"{name} has two verdicts on one claim; {RESTORE}")
    del values["version"]
    values |= {key: tuple(values[key]) for key in ("devices", "settings") if key in values}
    values["claims"] = tuple(claims)
    return RunRecord(**values)


def check_keys(
    name: str, content: Mapping[str, Any], schema: Mapping[str, Check], cls: type
) -> dict[str, Any]:
    """Return the values of a record whose keys match a schema and the fields of a class.

    Raises:
        ConfigError: a key is unknown, missing, or does not match.
    """
    required = {each.name for each in fields(cls) if each.default is MISSING}
    for key in (*content, *required):
        if key not in schema:
            what = f"a record has no key {truncate_middle(key, 60)}"
            raise ConfigError(f"{name}: {what}; {RESTORE}")
        if key not in content or not schema[key](content[key]):
            raise ConfigError(f"{name}: {key} does not match the schema of a record; {RESTORE}")
    return dict(content)


def read_records(folder: Path) -> list[RunRecord]:
    """Return the records of a folder, in the order of their file names.

    Raises:
        ConfigError: a record cannot be used, is of an unknown experiment, or two are of one run.
    """
    records: list[RunRecord] = []
    files: dict[str, str] = {}
    for name in list_names(folder):
        if not name.endswith(".json"):
            continue
        record = read_record(folder / name)
        check_experiment(folder / name, record)
        study = record.digests.get(STUDY, name)
        if study in files:
            raise ConfigError(
                f"{truncate_middle(folder, 120)}: {files[study]} and {name} are records of the "
                "same run; delete one"
            )
        files[study] = name
        records.append(record)
    return records


def check_experiment(path: Path, record: RunRecord) -> None:
    """Check that the experiment of a record is among the options, those of the user included.

    Raises:
        ConfigError: it is not; the path of the record or the run is named.
    """
    known = option_names("experiment")
    if record.experiment not in known:
        raise ConfigError(
            f"{truncate_middle(path, 120)}: experiment={truncate_middle(record.experiment, 60)} is "
            f"unknown ({name_hint(record.experiment, known)}); if it is yours, add "
            "--config-dir=DIR or plugins=[...]"
        )


def write_record(folder: Path, record: RunRecord) -> Path:
    """Write a record, and return its path: `<experiment>_<scale>_<date>.json`.

    The record of the same run is replaced. Another run of that day gets a number at its end.
    """
    stem, number = f"{record.experiment}_{record.scale}_{record.day}", 1
    path = folder / f"{stem}.json"
    while path.exists() and not is_record_of(path, record.digests):
        number += 1
        path = folder / f"{stem}_{number}.json"
    content = replace_non_finite(record.to_dict())
    write_json(path, {**content, SEAL: canonical_sha256(content)})
    return path


def is_record_of(path: Path, digests: Mapping[str, str]) -> bool:
    """Return whether a file, which may be damaged, is the record of a run with these digests."""
    try:
        content = read_content(path)
    except ConfigError:
        return False
    written = content.get("digests") if isinstance(content, dict) else None
    return isinstance(written, dict) and written.get(STUDY) == digests.get(STUDY)
