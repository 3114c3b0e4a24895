"""Experiments, one page each, and the parts, tasks, probes and metrics that they use."""

from experiments.questions import Question, measurement_only, question

__all__ = ["Question", "measurement_only", "question"]
