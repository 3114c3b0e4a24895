"""What an arm costs, and how fast it was trained: the same numbers in every experiment."""

from experiments.cost import cost
from experiments.tasks.build import Task
from runner.trial.trial import Trial


def record_cost(trial: Trial, task: Task) -> None:
    """Parameters and FLOPs, counted from the arm's options; where it was trained, its throughput.

    Tokens are those that the loss is of: the kept ones of a batch, padding excluded.
    """
    total = cost(vars(trial.config.parts))
    trial.record(
        {"cost/parameters": total.parameters, "cost/active_parameters": total.active_parameters},
        "1",
    )
    trial.record({"cost/flops_per_token": total.flops_per_token}, "FLOP")
    if "time/step" in trial.results:
        seconds, _ = trial.results["time/step"]
        tokens = int(task.batch(0).keep.sum())
        trial.record({"time/throughput": tokens / seconds}, "tokens/s")
