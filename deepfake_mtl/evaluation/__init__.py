"""From predictions of videos to figures, tables and files; knows no Lightning.

The page with pictures is in `deepfake_mtl.evaluation.page`, which alone needs matplotlib and
jinja2, and is therefore not imported here.
"""

from deepfake_mtl.evaluation.conflict import ConflictRow
from deepfake_mtl.evaluation.environment import environment
from deepfake_mtl.evaluation.examples import Example, choose_examples
from deepfake_mtl.evaluation.predictions import Prediction, read_predictions, write_predictions
from deepfake_mtl.evaluation.results import SCHEMA_VERSION, Results, evaluate, write_results
from deepfake_mtl.evaluation.table import format_table

__all__ = [
    "SCHEMA_VERSION",
    "ConflictRow",
    "Example",
    "Prediction",
    "Results",
    "choose_examples",
    "environment",
    "evaluate",
    "format_table",
    "read_predictions",
    "write_predictions",
    "write_results",
]
