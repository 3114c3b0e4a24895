"""Make the board's record of a run from its folder alone. Imports no torch and no pandas.

Nothing is computed again: the verdicts come from the files of the run. It may be untrusted.
"""

import json
import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.board.record import (
    INFINITE,
    RECORD_VERSION,
    RunRecord,
    portable_word,
    without_absolute_paths,
)
from runner.board.record_file import check_record
from runner.claims.kinds import read_claim
from runner.config import ConfigError, Scale
from runner.records import seal
from runner.records.files import MAX_RECORD_BYTES, read_bytes
from runner.records.schemas import is_shallow_mapping
from runner.report.run_cards import ANSWER_FILE, VERDICTS_FILE, is_own_file, read_config_keys
from runner.report.run_folder import ENVIRONMENT_FILE, SUMMARY_FILE, VERIFIED_FILES
from runner.report.run_schemas import SUMMARY_SCHEMA
from runner.wording.output import truncate_middle

DROPPED_KEYS = re.compile(r"[+~]*(outputs|hydra[./].*)")
"""Keys of a command that the record leaves out: they name folders and computers, as a launcher."""
MACHINE_KEYS = ("system", "processor", "cores", "memory_gib", "gpus")


def record_run(folder: Path) -> RunRecord:
    """Return the record of a finished run.

    Raises:
        ConfigError: a file of the run is missing, damaged, or was changed since the run, or the run
            has the scale smoke, which decides nothing.
    """
    summary = read_own_mapping(folder, SUMMARY_FILE)
    for key, check in SUMMARY_SCHEMA.items():
        if key not in summary or not check(summary[key]):
            raise ConfigError(f"{folder}: {SUMMARY_FILE} has no valid {key}; the run is not usable")
    if faults := find_changes(folder, summary):
        raise ConfigError(f"{folder}: {faults[0]}; the board takes unchanged runs only")
    environment = read_own_mapping(folder, ENVIRONMENT_FILE)
    config = read_config_keys(folder)
    if config.get("scale") == Scale.smoke:
        raise ConfigError(f"{folder} is a smoke run, which decides nothing; record another scale")
    verdicts, answer = read_own_json(folder, VERDICTS_FILE), read_own_mapping(folder, ANSWER_FILE)
    if not isinstance(verdicts, list) or not all(map(is_shallow_mapping, verdicts)):
        raise ConfigError(f"{folder}: {VERDICTS_FILE} is damaged: it is not a list of verdicts")
    derived = [
        *filter(None, [seal.format_mismatch(answer, ANSWER_FILE)]),
        *seal.list_changes(answer, ANSWER_FILE, folder, [VERDICTS_FILE]),
    ]
    if derived:
        raise ConfigError(f"{folder}: {derived[0]}; redraw the run, which judges its claims again")
    git, looks = environment.get("git"), summary["looks"]
    git = git if isinstance(git, dict) else {}
    machine = environment.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    devices = environment.get("device")
    seconds = environment.get("trial_seconds")
    content = {
        "version": RECORD_VERSION,
        "experiment": summary["experiment"],
        "question": config.get("question", ""),
        "scale": config.get("scale", ""),
        "date": environment.get("reported"),
        "command": portable_command(summary["command"]),
        "commit": git.get("commit"),
        "dirty": git.get("dirty"),
        "machine": {key: machine[key] for key in MACHINE_KEYS if key in machine},
        "devices": sorted({*devices.values()}) if isinstance(devices, dict) else [],
        "versions": describe_versions(environment),
        "digests": describe_digests(folder, summary),
        "settings": [*map(portable_word, summary["typed"])],
        "look": looks["number"] if looks else 1,
        "trials": dict(sorted(Counter(row["status"] for row in summary["trials"]).items())),
        "trial_seconds": seconds.get("all") if isinstance(seconds, dict) else None,
        "arms": describe_arms(summary),
        "answer": answer.get("sentence", ""),
        "claims": [describe_claim(folder, verdict) for verdict in verdicts],
    }
    return check_record(f"{folder}", without_absolute_paths(content))


def read_own_json(folder: Path, name: str) -> Any:
    """Return the content of a JSON file of a run.

    Raises:
        ConfigError: it is missing, a link, too large, or not JSON.
    """
    if not is_own_file(folder, name):
        raise ConfigError(f"{truncate_middle(folder, 120)} is not a finished run: it lacks {name}")
    try:
        return json.loads(read_bytes(folder / name, MAX_RECORD_BYTES))
    except OSError as error:
        raise ConfigError(f"{folder}: {name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{folder}: {name} is damaged: it is not JSON") from error


def read_own_mapping(folder: Path, name: str) -> dict[str, Any]:
    """Return the mapping in a JSON file of a run. Raises ConfigError where there is none."""
    content = read_own_json(folder, name)
    if not isinstance(content, dict) or not is_shallow_mapping(content):
        raise ConfigError(f"{folder}: {name} is damaged: it is not the record of a run")
    return content


def find_changes(folder: Path, summary: Mapping[str, Any]) -> list[str]:
    """Return a line for each file of a run that is missing or was changed since it was written."""
    if other := seal.format_mismatch(summary, SUMMARY_FILE):
        return [other]
    missing = [name for name in VERIFIED_FILES if not is_own_file(folder, name)]
    return [f"{name} is missing or a link" for name in missing] or seal.list_changes(
        summary, SUMMARY_FILE, folder, VERIFIED_FILES
    )


def portable_command(command: str) -> str:
    """Return a command without folders of the machine and without its launcher."""
    words = shlex.split(command)
    portable = [word for word in words if not DROPPED_KEYS.fullmatch(word.partition("=")[0])]
    return shlex.join(map(portable_word, portable))


def describe_versions(environment: Mapping[str, Any]) -> dict[str, str]:
    """Return Python and packages with their versions."""
    packages = environment.get("packages")
    versions = packages if isinstance(packages, dict) else {}
    named = {"python": environment.get("python"), **versions}
    return {name: str(version) for name, version in named.items() if version}


def describe_digests(folder: Path, summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of each file that the record rests on; study.json has its own seal."""
    sealed = {name: summary["digests"][name] for name in (*VERIFIED_FILES, SUMMARY_FILE)}
    derived = {name: seal.file_sha256(folder / name) for name in (VERDICTS_FILE, ANSWER_FILE)}
    return dict(sorted({**sealed, **derived}.items()))


def describe_arms(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the finished seeds and the costs of each arm."""
    done = Counter(row["arm"] for row in summary["trials"] if row["status"] == "done")
    return {arm: {"seeds": done[arm], **summary["costs"].get(arm, {})} for arm in summary["arms"]}


def describe_claim(folder: Path, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return a claim and its verdict, as in `ClaimRecord`.

    Raises:
        ConfigError: the claim cannot be read, or its hash is not that of its text.
    """
    try:
        keys = {key: value for key, value in verdict["claim"].items() if key != "id"}
        claim = read_claim(str(verdict["id"]), keys)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = truncate_middle(" ".join(str(error).split()), 150)
        message = f"{folder}: {VERDICTS_FILE} has a claim that is not valid ({reason})"
        raise ConfigError(message) from error
    if claim.fingerprint != verdict.get("registered"):
        raise ConfigError(f"{folder}: {VERDICTS_FILE}: {claim.id} is not the claim of its hash")
    interval = verdict.get("interval")
    estimate = None
    if isinstance(interval, dict):
        ends = {key: finite_or_none(interval.get(key)) for key in ("mean", "low", "high")}
        estimate = {**ends, "n": interval.get("n")}
    detectable = verdict.get("minimum_detectable_effect")
    return {
        **{key: getattr(claim, key) for key in ("id", "kind", "statement", "source")},
        **{key: getattr(claim, key) for key in ("published", "published_is", "contested")},
        "published_effect": claim.published_effect,
        "quantity": ": ".join(filter(None, (claim.metric, claim.estimate_label))),
        "expected": claim.expected,
        "has_sign": claim.shows_sign,
        "estimate": estimate,
        "detectable": detectable if detectable == INFINITE else finite_or_none(detectable),
        "p": finite_or_none(verdict.get("p")),
        "p_holm": finite_or_none(verdict.get("p_holm")),
        "planned_n": claim.n,
        "registered": claim.fingerprint,
        **{key: verdict.get(key) for key in ("verdict", "reason", "unit", "n", "shipped")},
    }


def finite_or_none(value: Any) -> Any:
    """Return None for the name of a number that is not finite, else the value."""
    if value in ("nan", "inf", "-inf"):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value
