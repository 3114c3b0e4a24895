"""`python -m tests.register`: register the claims that ship, before a release.

Adds a line to `conf/claims/registered.json` for each claim of `conf/` whose current text has none.
Existing lines stay unchanged, as history. Run it after a claim or its arms changed.
"""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from runner.claims.registration import SHIPPED_CLAIMS_FILE, family_members
from runner.plan.config_reader import read_study
from runner.plan.report_spec import read_report_spec
from runner.plan.selection import select_claims_and_figures

CONF = Path(__file__).resolve().parents[1] / "conf"


def shipping() -> Iterator[dict[str, Any]]:
    """Return the lines to register: one without its date for each claim of each preset."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for path in sorted((CONF / "preset").glob("*.yaml")):
            experiment, _, scale = path.stem.rpartition("_")
            overrides = [f"experiment={experiment}", f"scale={scale}"]
            study = select_claims_and_figures(
                read_study(compose("config", overrides=overrides)), []
            )
            claims = read_report_spec(study).claims
            for claim in claims:
                yield {
                    "id": claim.id,
                    "experiment": experiment,
                    "scale": scale,
                    "hash": claim.fingerprint,
                    "family": family_members(claims)[claim.id],
                    "arms": {name: study.arms[name] for name in claim.named_arms},
                }


def registered() -> list[dict[str, Any]]:
    """Return the existing lines."""
    return (
        json.loads(SHIPPED_CLAIMS_FILE.read_text(encoding="utf-8"))
        if SHIPPED_CLAIMS_FILE.exists()
        else []
    )


def missing() -> list[dict[str, Any]]:
    """Return the claims that ship and whose current text has no line."""
    known = [{key: line[key] for key in line if key != "date"} for line in registered()]
    return [line for line in shipping() if line not in known]


def main() -> None:
    """Add the missing lines."""
    date = datetime.date.today().isoformat()
    added = [{**line, "date": date} for line in missing()]
    lines = [json.dumps(line, ensure_ascii=False) for line in [*registered(), *added]]
    SHIPPED_CLAIMS_FILE.parent.mkdir(exist_ok=True)
    SHIPPED_CLAIMS_FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{len(added)} claims registered, {len(lines)} lines in all")  # noqa: T201


if __name__ == "__main__":
    main()
