"""Overrides that make trials of the moe experiment tiny."""

TINY = (
    "experiment=moe",
    "scale=smoke",
    "task=waves",
    "task.width=8",
    "task.n_eval=9",
    "task.n_samples=30",
    "model.d_model=16",
    "model.n_layers=1",
    "training.steps=6",
    "training.eval_every=3",
    "training.checkpoint_every=2",
    "options.n_permutations=5",
)
