"""`<outputs>/index.html`: a page that lists all runs and sweeps, with answers and links. No torch.

Each run writes it again, and so does `python -m runner store`. A failure to write it fails no run.
"""

import contextlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from runner.records.files import write_atomically
from runner.report.page_parts import make_environment, render_parts
from runner.report.run_cards import (
    REPORT_FILE,
    RUNS,
    SWEEPS,
    RunCard,
    SweepCard,
    read_run_cards,
    read_sweep_cards,
)
from runner.wording.names import format_count
from runner.wording.output import describe_error

INDEX_FILE, LOCK_FILE = "index.html", ".index.lock"
LOCK_SECONDS = 2.0  # another command writes the page in much less
FONT_FAMILY = "sans-serif"  # the page embeds no font


def renew_index(outputs: Path) -> str:
    """Write the page of all runs below a folder of outputs; return why that failed, or ""."""
    try:
        with lock_index(outputs):
            cards, sweeps = read_run_cards(outputs), read_sweep_cards(outputs)
            text = render_index(cards, sweeps)
            write_atomically(outputs / INDEX_FILE, text.encode("utf-8", "backslashreplace"))
    except Exception as error:  # the run is done, and no other file may fail it
        return f"{outputs / INDEX_FILE} could not be written ({describe_error(error)})"
    return ""


@contextlib.contextmanager
def lock_index(outputs: Path) -> Iterator[None]:
    """Keep other commands from writing the page, so that the last one lists all runs.

    Without file locks, or if another process holds the lock for long, the page is written anyway.
    """
    lock = FileLock(outputs / LOCK_FILE)
    with contextlib.suppress(OSError, NotImplementedError, Timeout):
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()


def render_index(cards: list[RunCard], sweeps: list[SweepCard]) -> str:
    """Return the page as text."""
    environment = make_environment()
    content: dict[str, Any] = {
        "experiments": [
            describe_experiment(name, list(runs))
            for name, runs in groupby(cards, lambda card: card.experiment)
        ],
        "sweeps": [describe_sweep(sweep) for sweep in sweeps],
        "facts": [
            format_count(len(cards), "run"),
            format_count(len({card.experiment for card in cards}), "experiment"),
            *([format_count(len(sweeps), "sweep")] if sweeps else []),
        ],
    }
    parts = render_parts(environment, family=FONT_FAMILY)
    return environment.get_template(INDEX_FILE).render(content | parts)


def describe_experiment(name: str, cards: list[RunCard]) -> dict[str, Any]:
    """Return the section of one experiment; its newest known question is the title."""
    question = next((card.question for card in cards if card.question), "")
    return {"name": name, "question": question, "rows": [describe_run(card) for card in cards]}


def describe_run(card: RunCard) -> dict[str, Any]:
    """Return the row of one run, with relative links that a hostile name cannot leave."""
    folder = "/".join(map(quote, (card.experiment, RUNS, card.name)))
    return {
        "time": card.time or card.name,
        "scale": card.scale,
        "seeds": "" if card.n_seeds is None else card.n_seeds,
        "answer": card.answer or card.fault,
        "has_answer": bool(card.answer),
        "settings": " ".join(filter(None, card.settings)),
        "verdicts": list(card.verdicts.items()),
        "report": f"./{folder}/{REPORT_FILE}" if card.has_report else "",
        "folder": f"./{folder}/",
        "label": f"run of {card.experiment}, {card.time or card.name}",
    }


def describe_sweep(sweep: SweepCard) -> dict[str, Any]:
    """Return the row of one sweep."""
    folder = f"./{SWEEPS}/{quote(sweep.name)}"
    points = format_count(sweep.n_points, "point") if sweep.n_points else ""
    if sweep.n_not_done:
        points += f", {sweep.n_not_done} not done"
    return {
        "time": sweep.time or sweep.name,
        "title": sweep.title,
        "swept": ", ".join(filter(None, sweep.keys)),
        "points": points,
        "report": f"{folder}/{REPORT_FILE}" if sweep.has_report else "",
        "folder": f"{folder}/",
        "label": f"sweep, {sweep.time or sweep.name}",
    }
