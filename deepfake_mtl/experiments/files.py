"""Names of the files of experiments, and the versions of their formats."""

from typing import Final

PLAN: Final = "plan.json"
"""Plan of a benchmark; beside the folders of its runs."""
PLAN_VERSION: Final = 1

FAILURE: Final = "failure.txt"
"""Reason why a run of a benchmark failed."""

ROBUSTNESS: Final = "robustness.json"
"""Metrics of tests on degraded videos."""
ROBUSTNESS_VERSION: Final = 1
