"""The parts of a study: the jobs of a sweep may share one study. It imports nothing else."""

from enum import Enum


class StudyPart(Enum):
    """The part of a study that one invocation does; the jobs of a sweep may share one study.

    whole    everything
    opening  check the plan and register its claims, before any job computes
    trials   compute the missing trials, and write no report
    report   write the report of the trials that exist, and compute none
    """

    whole = "whole"
    opening = "opening"
    trials = "trials"
    report = "report"
