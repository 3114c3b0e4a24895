"""The science: questions, and the parts, tasks and probes that they are asked with."""

from experiments.questions import Question, measuring, question

__all__ = ["Question", "measuring", "question"]
