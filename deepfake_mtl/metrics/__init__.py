"""Metrics: clips to videos, and videos to accuracy, AUC and recall.

Knows tensors only, neither Lightning nor disks.
"""

from typing import TYPE_CHECKING

from deepfake_mtl.util.lazy import lazy_names

if TYPE_CHECKING:
    from deepfake_mtl.metrics.binary import (
        RocCurve,
        accuracy,
        average_precision,
        balanced_accuracy,
        binary_report,
        calibrate_threshold,
        equal_error_rate,
        roc_auc,
        roc_curve,
    )
    from deepfake_mtl.metrics.manipulation import confusion_matrix, recall_by_method
    from deepfake_mtl.metrics.neighbours import neighbour_vote
    from deepfake_mtl.metrics.scores import fake_probability, tells_fakes
    from deepfake_mtl.metrics.video import VideoScores, VideoTable
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "RocCurve",
    "VideoScores",
    "VideoTable",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "binary_report",
    "calibrate_threshold",
    "confusion_matrix",
    "equal_error_rate",
    "fake_probability",
    "neighbour_vote",
    "recall_by_method",
    "roc_auc",
    "roc_curve",
    "tells_fakes",
]
