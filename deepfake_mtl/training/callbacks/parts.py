"""What a callback of the detector is given by the trainer."""

import pytorch_lightning as pl

from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.detector import Detector


def datamodule_of(trainer: pl.Trainer) -> DeepfakeDataModule:
    """Return the trainer's datamodule.

    Raises:
        TypeError: It has none, or one of another kind.
    """
    datamodule = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(datamodule, DeepfakeDataModule):
        raise TypeError("this callback needs a DeepfakeDataModule")
    return datamodule


def detector_of(module: pl.LightningModule) -> Detector:
    """Return the module that is trained or tested.

    Raises:
        TypeError: It is not a detector.
    """
    if not isinstance(module, Detector):
        raise TypeError("this callback needs a Detector")
    return module
