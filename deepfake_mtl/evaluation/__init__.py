"""From predictions of videos to metrics, tables and files; knows no Lightning."""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.evaluation.conflict import ConflictRow
    from deepfake_mtl.evaluation.examples import Example, choose_examples
    from deepfake_mtl.evaluation.measuring import evaluate
    from deepfake_mtl.evaluation.predictions import Prediction, read_predictions, write_predictions
    from deepfake_mtl.evaluation.results import SCHEMA_VERSION, Results, write_results
    from deepfake_mtl.evaluation.table import format_table
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "SCHEMA_VERSION",
    "ConflictRow",
    "Example",
    "Prediction",
    "Results",
    "choose_examples",
    "evaluate",
    "format_table",
    "read_predictions",
    "write_predictions",
    "write_results",
]
