"""Lightning's Trainer, as the detector is trained by."""

from collections.abc import Mapping
from typing import Any, Literal

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar

from deepfake_mtl.optimization.precision import Precision, device_of, resolve_precision
from deepfake_mtl.training.callbacks.progress import CalmProgressBar


class DetectorTrainer(Trainer):
    """Devices, length and precision of a training: Lightning's Trainer.

    Its precision may be measured, and its limits tell 1 (one batch) from 1.0 (all of them).

    Which of int and float comes first in an annotation of typing's Optional depends on what was
    imported before, and the command line takes the first that fits.

    Args:
        benchmark: Whether cuDNN tries its algorithms on the first clips, and keeps to the fastest;
            None does unless `deterministic` is asked for.
        deterministic: As Lightning's.
        precision: Any of Lightning's names, or ``auto``: ``bf16-mixed`` where a probe shows it
            faster than float32 on this device, else ``32-true``.
        limit_train_batches: Number (int) or share (float) of the training batches of an epoch.
        limit_val_batches: Number or share of the batches of a validation.
        limit_test_batches: Number or share of the batches of a test.
        limit_predict_batches: Number or share of the batches of a prediction.
        **options: Further options of Lightning's Trainer.
    """

    def __init__(
        self,
        *,
        benchmark: bool | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        precision: Precision | None = None,
        limit_train_batches: int | float | None = None,  # noqa: PYI041 (in this order)
        limit_val_batches: int | float | None = None,  # noqa: PYI041
        limit_test_batches: int | float | None = None,  # noqa: PYI041
        limit_predict_batches: int | float | None = None,  # noqa: PYI041
        **options: Any,  # noqa: ANN401 (Lightning's)
    ) -> None:
        accelerator = options.get("accelerator", "auto")
        chosen = resolve_precision(precision, accelerator)
        if device_of(accelerator).type != "cpu":
            options["callbacks"] = _with_calm_bar(options)
        super().__init__(
            benchmark=not deterministic if benchmark is None else benchmark,
            deterministic=deterministic,
            precision=chosen,  # type: ignore[arg-type]
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            **options,
        )


def _with_calm_bar(options: Mapping[str, Any]) -> list[Callback]:
    """Return the callbacks, with a progress bar that seldom waits for the device."""
    given = options.get("callbacks") or []
    callbacks: list[Callback] = [given] if isinstance(given, Callback) else list(given)
    wanted = options.get("enable_progress_bar") is not False and not options.get("barebones")
    if wanted and not any(isinstance(each, ProgressBar) for each in callbacks):
        callbacks.append(CalmProgressBar())
    return callbacks
