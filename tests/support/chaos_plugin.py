"""A plug-in for tests: the trials of `chaos` in place of those of moe."""

from collections.abc import Sequence
from multiprocessing.context import ForkServerContext

from runner.trial import science
from tests.support.chaos import stage

science.stage = stage
honest = ForkServerContext.set_forkserver_preload


def preload(context: ForkServerContext, modules: Sequence[str]) -> None:
    """Let the server import trials alone: these train nothing, and the compiler takes 2 s."""
    honest(context, [name for name in modules if name.startswith("runner.")])


ForkServerContext.set_forkserver_preload = preload  # type: ignore[method-assign]
