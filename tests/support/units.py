"""A check that metrics are recorded with their declared units."""

from collections.abc import Iterable

from runner import registry


def check_units(results: Iterable[tuple[str, str]]) -> None:
    """Check (metric, unit) pairs against the declarations, which may list several units."""
    for name, unit in results:
        metric = registry.metric(name)
        assert unit in metric.unit.split(" or "), f"{name} is recorded in {unit}: {metric.unit}"
