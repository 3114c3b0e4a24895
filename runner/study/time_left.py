"""Estimate how long a running study still takes. Imports no torch.

Before the first trial has ended, the estimate is that of earlier trials (`runner.study.forecast`).
From then on it is corrected by the trials of this run: by the ratio of their time to the expected
one. So it holds for this machine under its present load.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runner import registry
from runner.plan.plan import Plan
from runner.records.job import Stage
from runner.study import forecast
from runner.study.entries import Entry


@dataclass
class Piece:
    """One stage of a trial.

    Attributes:
        stage: the stage; timings run one at a time.
        weight: the expected seconds, or a number in proportion to them.
        start_time: when it began to compute; None while it waits.
        start_share: the share that was done when it began, from its first report.
        share: the share that is done.
    """

    stage: Stage
    weight: float
    start_time: float | None = None
    start_share: float | None = None
    share: float = 0.0


@dataclass
class TimeLeft:
    """An estimate of the seconds until all trials to compute have ended.

    Attributes:
        pieces: the stages that have not ended, by the trial's name and stage.
        workers: the number of trials that run at a time, timings excepted.
        in_seconds: whether the weights are seconds, from earlier trials.
        clock: returns the present time in seconds.
    """

    pieces: dict[tuple[str, Stage], Piece]
    workers: int
    in_seconds: bool
    clock: Callable[[], float] = time.monotonic
    _observed: dict[Stage, float] = field(default_factory=dict)
    _expected: dict[Stage, float] = field(default_factory=dict)

    def begin(self, name: str, stage: Stage) -> None:
        """Note that a stage begins to compute now."""
        if piece := self.pieces.get((name, stage)):
            piece.start_time = self.clock()

    def advance(self, name: str, stage: Stage, share: float, start_share: float = 0.0) -> None:
        """Note the share of a stage that is done, and the share that it resumed from."""
        if piece := self.pieces.get((name, stage)):
            # Measurements after a training start again, so the first report says where it began.
            if piece.start_share is None:
                piece.start_share = start_share
            piece.share = share

    def end(self, name: str, stage: Stage, *, succeeded: bool, timing_follows: bool = True) -> None:
        """Note that a stage has ended; a trial that failed or diverged may have no other one."""
        piece = self.pieces.pop((name, stage), None)
        if not (succeeded and timing_follows):
            self.pieces.pop((name, Stage.timing), None)
        if not succeeded or piece is None or piece.start_time is None:
            return
        weight = piece.weight * (1 - (piece.start_share or 0.0))
        if weight > 0:
            seconds = self.clock() - piece.start_time
            self._observed[stage] = self._observed.get(stage, 0.0) + seconds
            self._expected[stage] = self._expected.get(stage, 0.0) + weight

    def seconds(self) -> float | None:
        """Return the seconds until all stages have ended; None if they cannot be estimated.

        Without a stage that is left the answer is None: only further timing passes may follow.
        Stages whose speed is unknown are left out; see `unknown_timings`.
        """
        remaining: dict[Stage, list[float]] = {}
        for piece in self.pieces.values():
            factor = self._factor(piece.stage)
            if factor is None:
                if piece.stage is Stage.timing:
                    continue
                return None
            remaining.setdefault(piece.stage, []).append(self._remaining(piece, factor))
        if not remaining:
            return None
        runs, timings = remaining.get(Stage.run, []), remaining.get(Stage.timing, [])
        return max(sum(runs) / self.workers, max(runs, default=0.0)) + sum(timings)

    def unknown_timings(self) -> bool:
        """Whether timings are due whose time is unknown."""
        timings = [piece for piece in self.pieces.values() if piece.stage is Stage.timing]
        return bool(timings) and self._factor(Stage.timing) is None

    def _factor(self, stage: Stage) -> float | None:
        """Return the seconds per unit of weight; None if no trial allows an estimate."""
        if self._expected.get(stage):
            return self._observed[stage] / self._expected[stage]
        return 1.0 if self.in_seconds else None

    def _remaining(self, piece: Piece, factor: float) -> float:
        seconds = piece.weight * factor
        if piece.share:
            return seconds * (1 - piece.share)
        elapsed = 0.0 if piece.start_time is None else self.clock() - piece.start_time
        return max(0.0, seconds - elapsed)


def estimate_time_left(plan: Plan, missing: Sequence[Entry], workers: int) -> TimeLeft:
    """Return the estimate for the trials to compute, from earlier trials in the store."""
    arms = {entry.arm.signature: entry.arm for entry in missing}
    past_trials = forecast.load_past_trials(plan.outputs, plan.experiment, arms.values())
    seconds = {known: forecast.predict_seconds(arm, past_trials) for known, arm in arms.items()}
    timed = registry.has_timing_stage(plan.page)
    timing_share = forecast.timing_share(past_trials) if timed else 0.0
    in_seconds = None not in seconds.values() and timing_share is not None
    if in_seconds:
        weights = {known: value or 0.0 for known, value in seconds.items()}
    else:
        weights = {known: forecast.planned_flops(arm) for known, arm in arms.items()}
        if not all(weights.values()):
            weights = dict.fromkeys(weights, 1.0)
    share = timing_share or 0.0
    pieces: dict[tuple[str, Stage], Piece] = {}
    for entry in missing:
        name, weight = entry.name, weights[entry.arm.signature]
        if not timed or entry.slot.read_first_stage(entry.arm.code) is None:
            pieces[name, Stage.run] = Piece(Stage.run, weight * (1 - share))
        if timed:
            timing_weight = weight * share if in_seconds else 1.0
            pieces[name, Stage.timing] = Piece(Stage.timing, timing_weight)
    return TimeLeft(pieces, workers, in_seconds)
