"""The science: questions, and the parts, tasks and probes that they are asked with."""

from experiments.questions import Question, measurement_only, question

__all__ = ["Question", "measurement_only", "question"]
