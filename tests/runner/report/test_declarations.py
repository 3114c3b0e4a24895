"""The limits of a metric hold for the losses of ablab, and not for a loss of the user's own."""

import math
from typing import Any

import pandas as pd
import pytest

from runner.report import declarations


def limits(metric: str, values: list[float], unit: str | list[str]) -> tuple[float, float]:
    """Return the limits of a metric with these final values."""
    rows: dict[str, Any] = {"metric": metric, "value": values, "unit": unit}
    declared = declarations.metrics_of({}, pd.DataFrame(rows))[metric]
    return declared.lowest, declared.highest


@pytest.mark.parametrize("unit", ["nats/byte", "nats/token", "nats/token of 4096", "mse"])
@pytest.mark.parametrize("metric", ["val/loss", "norm/loss_last", "gqa/loss_converted"])
def test_a_loss_of_ablab_is_never_below_zero(metric: str, unit: str) -> None:
    assert limits(metric, [0.0, 1.0], unit) == (0.0, math.inf)


@pytest.mark.parametrize("unit", ["1", "", "nats", "nats/dimension"])
@pytest.mark.parametrize("metric", ["val/loss", "norm/loss_last", "gqa/loss_converted"])
def test_a_loss_in_another_unit_has_no_limits(metric: str, unit: str) -> None:
    assert limits(metric, [0.1, 1.0], unit) == (-math.inf, math.inf)
    assert limits(metric, [0.1, 1.0], ["mse", unit]) == (-math.inf, math.inf)  # of two arms


def test_a_value_below_zero_refutes_the_limit_of_a_loss() -> None:
    assert limits("val/loss", [-0.1, 1.0], "nats/token") == (-math.inf, math.inf)
    assert limits("val/loss", [math.nan, 1.0], "nats/token") == (0.0, math.inf)


def test_other_metrics_keep_their_limits_in_any_unit() -> None:
    assert limits("train/spike_score", [0.0], "%") == (0.0, 1.0)
    assert limits("train/spike_score", [-1e-8], "1") == (0.0, 1.0)  # of rounding
    assert limits("time/step", [1.0], "ms") == (0.0, math.inf)
    assert limits("task/score", [-1.0], "1") == (-math.inf, math.inf)


def test_the_record_of_a_run_is_corrected_too() -> None:
    """Runs of older versions have recorded the limit 0 for every loss."""
    recorded = {"lowest": 0, "highest": None, "label": "", "exchangeable": ""}
    known = {"diverged": "start", "value": None, "deterministic": False, "curve": "", **recorded}
    results = pd.DataFrame({"metric": ["val/loss"], "value": [-2.0], "unit": ["1"]})
    declared = declarations.metrics_of({declarations.METRICS_KEY: {"val/loss": known}}, results)
    assert declared["val/loss"].lowest == -math.inf


def test_a_run_records_that_its_own_loss_has_no_limit() -> None:
    results = pd.DataFrame({"metric": ["val/loss"], "value": [2.0], "unit": ["1"]})
    record = declarations.to_record("moe", results)
    assert record[declarations.METRICS_KEY]["val/loss"]["lowest"] == -math.inf
    record[declarations.METRICS_KEY]["val/loss"] |= dict.fromkeys(("lowest", "highest", "value"))
    assert declarations.metrics_of(record, results)["val/loss"].lowest == -math.inf  # from JSON
