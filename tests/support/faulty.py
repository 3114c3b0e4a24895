"""A plug-in for tests: trials of moe fail or die until the file `outputs/mended` exists."""

import os
import signal
from collections.abc import Callable
from typing import Any

from runner.trial import science

honest: Callable[[str, str], Callable[[Any], None]] = science.stage


def stage(experiment: str, name: str) -> Callable[[Any], None]:
    """Run the experiment's stage after a planted fault."""
    run = honest(experiment, name)

    def faulty(trial: Any) -> None:
        if (trial.cache.parent / "mended").exists():
            return run(trial)
        arm = trial.config.parts.ffn.kind
        if (arm, trial.seed) == ("dense", 0):
            raise RuntimeError("a planted fault")
        if (arm, trial.seed) == ("moe", 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return run(trial)

    return faulty


science.stage = stage
