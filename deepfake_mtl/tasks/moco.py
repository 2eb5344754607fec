"""Settings of label-informed MoCo that all contrastive tasks of a detector have in common."""

from dataclasses import dataclass

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.momentum import BATCH_NORM_REMEDIES, BatchNormRemedy


@dataclass(frozen=True)
class MoCoSettings:
    """How contrastive tasks compare clips; the paper states none of it.

    Attributes:
        dim: Length of queries and keys (assumption: 128, as CoCLR).
        queue_size: Keys in the queue of a task, of all ranks together (assumption: 2048, as CoCLR).
        momentum: Share of the old weights in a step of the momentum encoder and the momentum
            projections (assumption: 0.999, as CoCLR).
        temperature: What cosines are divided by (assumption: 0.07, as CoCLR).
        symmetric: Whether the second view is also a query, and the first a key for it; twice the
            work of the encoders (assumption: false, as MoCo).
        batch_norm_remedy: Against what a query can learn about its key from the statistics of their
            common batch: ``none``, ``shuffle`` (across ranks), ``sync`` (SyncBatchNorm) or
            ``average``; see `deepfake_mtl.models.check_batch_norm_remedy` (assumption).
        neighbours: Keys that vote in evaluation (assumption).

    Raises:
        ConfigurationError: A value is out of its range.
    """

    dim: int = 128
    queue_size: int = 2048
    momentum: float = 0.999
    temperature: float = 0.07
    symmetric: bool = False
    batch_norm_remedy: BatchNormRemedy = "none"
    neighbours: int = 20

    def __post_init__(self) -> None:
        for name in ("dim", "queue_size", "temperature", "neighbours"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(
                    f"moco.{name} is {getattr(self, name)}, but must be positive"
                )
        if not 0 <= self.momentum <= 1:
            raise ConfigurationError(f"moco.momentum is {self.momentum}, but must be from 0 to 1")
        if self.batch_norm_remedy not in BATCH_NORM_REMEDIES:
            raise ConfigurationError(
                f"moco.batch_norm_remedy is {self.batch_norm_remedy!r}: choose among "
                f"{', '.join(BATCH_NORM_REMEDIES)}"
            )
