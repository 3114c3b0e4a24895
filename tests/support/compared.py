"""Modules, scripts and settings for tests of `runner.compare`."""

import textwrap
from pathlib import Path

SMALL = (
    "task.width=8",
    "task.n_eval=9",
    "task.n_samples=30",
    "model.d_model=16",
    "model.n_layers=1",
    "training.steps=6",
    "training.eval_every=3",
)
"""Overrides that make trials tiny."""

CLASS = textwrap.dedent(
    '''
    import torch
    from torch import nn


    class Mine(nn.Module):
        """A feed-forward network."""

        def __init__(self, d_model, hidden=24):
            super().__init__()
            self.up, self.down = nn.Linear(d_model, hidden), nn.Linear(hidden, d_model)

        def forward(self, x):
            return self.down(torch.tanh(self.up(x)))
    '''
).strip()

CALL = (
    'runner.compare({"relu": "ffn=relu", "mine": Mine}, group="ffn", task="waves", match="params", '
    f'n_seeds=2, scale="smoke", overrides={list(SMALL)})'
)


def write(path: Path, *blocks: str) -> Path:
    """Write source blocks into a file."""
    path.write_text("\n\n".join(blocks) + "\n")
    return path
