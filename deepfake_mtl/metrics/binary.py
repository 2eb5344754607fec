"""Real or fake: metrics of one score a video.

Everywhere a score is the probability of being fake, a label is 1 for fake and 0 for real, and a
video is called fake if and only if ``score >= threshold``.

Counting happens in integers and dividing in float64. torchmetrics is not used here: it divides in
float32 whatever the scores are, decides by ``score > threshold``, and gives 0 where a metric does
not exist.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from deepfake_mtl.errors import DeepfakeMTLError
from deepfake_mtl.metrics.alarms import count_alarms
from deepfake_mtl.metrics.scores import check_shapes

_ROUNDING = 1e-3


class RocCurve(NamedTuple):
    """The receiver operating characteristic, one point for each distinct score.

    Attributes:
        fpr: Float64 tensor [N]: share of real videos called fake, rising from 0 to 1.
        tpr: Float64 tensor [N]: share of fake videos called fake, rising from 0 to 1.
        thresholds: Float64 tensor [N], falling; the first is infinite (nothing is called fake).

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import RocCurve, roc_curve
        >>> curve = roc_curve(torch.tensor([0.1, 0.4, 0.9]), torch.tensor([0, 0, 1]))
        >>> isinstance(curve, RocCurve), curve.fpr.tolist()
        (True, [0.0, 0.0, 0.5, 1.0])
    """

    fpr: Tensor
    tpr: Tensor
    thresholds: Tensor


def accuracy(scores: Tensor, labels: Tensor, threshold: float = 0.5) -> float | None:
    """Return the share of videos that are called what they are.

    Args:
        scores: Float tensor [N] in [0, 1], probability of fake.
        labels: Tensor [N] of 0 (real) and 1 (fake).
        threshold: A video is called fake if its score is at least this.

    Returns:
        The share, or None if there are no videos.

    Raises:
        DeepfakeMTLError: If a score is not finite.
        ValueError: If shapes disagree, a score is outside [0, 1] or a label is neither 0 nor 1.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import accuracy
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> accuracy(scores, labels)
        0.5
    """
    scores, fake = _checked(scores, labels)
    if not len(scores):
        return None
    return int(((scores >= threshold) == fake).sum()) / len(scores)


def balanced_accuracy(scores: Tensor, labels: Tensor, threshold: float = 0.5) -> float | None:
    """Return the mean of the accuracies on real and on fake videos.

    Args and raised errors as in `accuracy`.

    Returns:
        The mean, or None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import balanced_accuracy
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> balanced_accuracy(scores, labels, threshold=0.3)
        0.75
    """
    scores, fake = _checked(scores, labels)
    if not _has_both(fake):
        return None
    called = scores >= threshold
    recall = int((called & fake).sum()) / int(fake.sum())
    specificity = int((~called & ~fake).sum()) / int((~fake).sum())
    return (recall + specificity) / 2


def roc_curve(scores: Tensor, labels: Tensor) -> RocCurve | None:
    """Return the rates of false and of true alarms over all thresholds.

    Args and raised errors as in `accuracy`.

    Returns:
        The curve, no point of it left out, or None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import roc_curve
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> roc_curve(scores, labels).tpr.tolist()
        [0.0, 0.5, 0.5, 1.0, 1.0]
    """
    scores, fake = _checked(scores, labels)
    if not _has_both(fake):
        return None
    false_alarms, true_alarms, thresholds = _alarms(scores, fake)
    return RocCurve(
        false_alarms.double() / false_alarms[-1],
        true_alarms.double() / true_alarms[-1],
        thresholds,
    )


def roc_auc(scores: Tensor, labels: Tensor) -> float | None:
    """Return the area under the ROC curve.

    It is the chance that a fake scores above a real video; ties count half.

    Args and raised errors as in `accuracy`.

    Returns:
        The area, or None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import roc_auc
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> roc_auc(scores, labels)
        0.75
    """
    scores, fake = _checked(scores, labels)
    if not _has_both(fake):
        return None
    false_alarms, true_alarms, _ = _alarms(scores, fake)
    doubled_area = (false_alarms.diff() * (true_alarms[1:] + true_alarms[:-1])).sum()
    return int(doubled_area) / (2 * int(false_alarms[-1]) * int(true_alarms[-1]))


def average_precision(scores: Tensor, labels: Tensor) -> float | None:
    """Return the mean of the precision over the recall, without interpolation.

    Fakes are what is looked for.

    Args and raised errors as in `accuracy`.

    Returns:
        The mean, or None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import average_precision
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> round(average_precision(scores, labels), 4)
        0.8333
    """
    scores, fake = _checked(scores, labels)
    if not _has_both(fake):
        return None
    false_alarms, true_alarms, _ = _alarms(scores, fake)
    precision = true_alarms[1:].double() / (true_alarms + false_alarms)[1:]
    return float((precision * true_alarms.diff()).sum() / true_alarms[-1])


def equal_error_rate(scores: Tensor, labels: Tensor) -> float | None:
    """Return the rate at which as many real videos are called fake as fake videos real.

    Args and raised errors as in `accuracy`.

    Returns:
        The rate at which the ROC, its points joined by straight lines, crosses FPR = 1 - TPR; or
        None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import equal_error_rate
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> equal_error_rate(scores, labels)
        0.5
    """
    curve = roc_curve(scores, labels)
    if curve is None:
        return None
    # Falls strictly from 1 to -1 along the curve, so there is exactly one crossing.
    excess = 1 - curve.tpr - curve.fpr
    after = int((excess <= 0).nonzero()[0])
    step = excess[after - 1] / (excess[after - 1] - excess[after])
    return float(torch.lerp(curve.fpr[after - 1], curve.fpr[after], step))


def calibrate_threshold(scores: Tensor, labels: Tensor) -> float | None:
    """Return the threshold with the best balanced accuracy, to be found on validation videos.

    Balanced, because a leave-one-manipulation-out fold validates on three fakes for each original.
    The candidates are the midpoints between neighbouring scores, 0 and 1 being neighbours of the
    outermost ones. Of equally good candidates the one nearest to 0.5 is taken, and of two equally
    near ones the lower.

    Args and raised errors as in `accuracy`.

    Returns:
        The threshold, inside (0, 1], or None if one of the classes has no video.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import calibrate_threshold
        >>> calibrate_threshold(torch.tensor([0.1, 0.25, 0.75, 0.9]), torch.tensor([0, 0, 1, 1]))
        0.5
    """
    scores, fake = _checked(scores, labels)
    if not _has_both(fake):
        return None
    levels = torch.unique(torch.cat([scores, scores.new_tensor([0.0, 1.0])]))
    below, above = levels[:-1], levels[1:]
    middle = (below + above) / 2
    # The midpoint of two adjacent floating-point numbers may be rounded to the lower one, which
    # would then be called fake.
    candidates = torch.where(middle > below, middle, above)
    reals, fakes = scores[~fake].sort().values, scores[fake].sort().values
    hits = len(fakes) - torch.searchsorted(fakes, candidates)
    passes = torch.searchsorted(reals, candidates)
    quality = hits * len(reals) + passes * len(fakes)  # integers: ties are exact
    best = candidates[quality == quality.max()]
    distance = (best - 0.5).abs()
    return float(best[distance == distance.min()].min())


def binary_report(
    scores: Tensor, labels: Tensor, threshold: float | None
) -> dict[str, float | None]:
    """Return all metrics of one set of videos.

    Args:
        scores: Float tensor [N] in [0, 1], probability of fake.
        labels: Tensor [N] of 0 (real) and 1 (fake).
        threshold: A threshold calibrated on other videos, or None if there is none.

    Returns:
        ``accuracy``, ``balanced_accuracy`` and ``recall``, the share of fakes that are called fake
        (at 0.5), ``auc``, ``average_precision``, ``eer``,
        ``accuracy_calibrated`` and ``balanced_accuracy_calibrated`` (at the threshold),
        ``threshold``, and the numbers of videos ``real`` and ``fake``. A metric that does not
        exist, for one class alone or without a threshold, is None.

    Raises:
        DeepfakeMTLError: If a score is not finite.
        ValueError: If shapes disagree, a score is outside [0, 1] or a label is neither 0 nor 1.

    Example:
        >>> import torch
        >>> from deepfake_mtl.metrics import binary_report
        >>> scores, labels = torch.tensor([0.1, 0.6, 0.4, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> report = binary_report(scores, labels, threshold=0.3)
        >>> report["accuracy"], report["accuracy_calibrated"], report["real"]
        (0.5, 0.75, 2)
    """
    scores, fake = _checked(scores, labels)
    calibrated: tuple[float | None, float | None] = (None, None)
    if threshold is not None:
        calibrated = (
            accuracy(scores, fake, threshold),
            balanced_accuracy(scores, fake, threshold),
        )
    return {
        "accuracy": accuracy(scores, fake),
        "balanced_accuracy": balanced_accuracy(scores, fake),
        "recall": accuracy(scores[fake], fake[fake]),
        "auc": roc_auc(scores, fake),
        "average_precision": average_precision(scores, fake),
        "eer": equal_error_rate(scores, fake),
        "accuracy_calibrated": calibrated[0],
        "balanced_accuracy_calibrated": calibrated[1],
        "threshold": threshold,
        "real": int((~fake).sum()),
        "fake": int(fake.sum()),
    }


def _checked(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores as float64 and labels as bool, on the CPU: not every device has float64."""
    scores, labels = scores.detach().cpu().double(), labels.detach().cpu()
    check_shapes(scores=scores, labels=labels)
    unusable = int((~scores.isfinite()).sum())
    if unusable:
        raise DeepfakeMTLError(
            f"{unusable} of {len(scores)} scores are not finite, so no metric can be computed. "
            "The training has probably diverged: lower the learning rate, or train in float32."
        )
    # Probabilities that were added up in float32 or less may exceed 1 by rounding.
    if ((scores < -_ROUNDING) | (scores > 1 + _ROUNDING)).any():
        raise ValueError("scores must be probabilities in [0, 1]; apply a sigmoid to logits first")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be 0 (real) or 1 (fake)")
    return scores, labels.bool()


def _has_both(fake: Tensor) -> bool:
    return bool(fake.any()) and not bool(fake.all())


def _alarms(scores: Tensor, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count false and true alarms at each threshold, which falls from infinity."""
    false_alarms, true_alarms, thresholds = count_alarms(scores.numpy(), fake.numpy())
    return (
        torch.from_numpy(false_alarms),
        torch.from_numpy(true_alarms),
        torch.from_numpy(thresholds),
    )
