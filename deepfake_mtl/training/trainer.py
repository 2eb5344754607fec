"""Lightning's Trainer, as the detector is trained by."""

from typing import Any, Literal

from pytorch_lightning import Trainer

from deepfake_mtl.optimization.precision import Precision, resolve_precision


class DetectorTrainer(Trainer):
    """Lightning's, whose precision may be measured, and whose limits tell 1 (one) from 1.0 (all).

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
        chosen = resolve_precision(precision, options.get("accelerator", "auto"))
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
