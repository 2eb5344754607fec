"""The momentum encoders that make the keys of contrastive tasks."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from deepfake_mtl.errors import ConfigurationError
from deepfake_mtl.models.momentum import (
    MomentumEncoder,
    check_batch_norm_remedy,
    shuffled_forward,
)
from deepfake_mtl.tasks.base import Features
from deepfake_mtl.tasks.moco import MoCoSettings


class KeyEncoders(nn.ModuleDict):
    """The momentum encoders of a network, one for each encoder that a contrastive task learns on.

    Args:
        encoders: Encoders with contrastive tasks, by the name of their branch.
        moco: Settings that contrastive tasks have in common.

    Attributes:
        equal_ranks: Whether all ranks are known to have batches of the same size.
    """

    equal_ranks = False

    def __init__(self, encoders: Mapping[str, nn.Module], moco: MoCoSettings) -> None:
        average = moco.batch_norm_remedy == "average"
        super().__init__(
            {
                name: MomentumEncoder(encoder, average_statistics=average)
                for name, encoder in encoders.items()
            }
        )
        self.moco = moco

    def features(self, name: str, encoder: nn.Module, batch: Mapping[str, Tensor]) -> Features:
        """Turn a training batch into features, with those of the keys where there are any.

        Args:
            name: Name of the branch.
            encoder: Encoder of the branch.
            batch: ``clip`` and, for contrastive tasks, ``second_clip``: B x 3 x T x H x W.

        Raises:
            ConfigurationError: A contrastive task has no second views.
        """
        if name not in self:
            return Features(encoder(batch["clip"]))
        if "second_clip" not in batch:
            raise ConfigurationError(
                "a contrastive task needs two views of each clip: set `second_view` to same_clip "
                "or other_clip"
            )
        second = encoder(batch["second_clip"]) if self.moco.symmetric else None
        return Features(
            first=encoder(batch["clip"]),
            second=second,
            first_key=self._keys(name, batch["clip"]) if self.moco.symmetric else None,
            second_key=self._keys(name, batch["second_clip"]),
            equal_ranks=self.equal_ranks,
        )

    def follow(self, name: str, encoder: nn.Module) -> None:
        """Let the momentum encoder of a branch follow; once for each step of the optimizer."""
        if name in self:
            self._copy(name).update(encoder, self.moco.momentum)

    def check_batch_norm(self, encoder: nn.Module, ranks: int, device: torch.device) -> None:
        """Refuse a remedy against the leak through BatchNorm that would do nothing.

        Args:
            encoder: The encoder that is trained.
            ranks: Number of ranks of the training.
            device: Device of the training.

        Raises:
            ConfigurationError: There are no keys, or the remedy does nothing here.
        """
        remedy = self.moco.batch_norm_remedy
        if remedy == "none":
            return
        if not len(self):
            raise ConfigurationError(
                f"moco.batch_norm_remedy is {remedy!r}, but no task is contrastive, so that there "
                "are no keys to leak: use 'none'"
            )
        check_batch_norm_remedy(remedy, encoder, ranks)
        if remedy == "sync" and device.type == "cpu":
            raise ConfigurationError(
                "PyTorch has SyncBatchNorm on accelerators only: use 'shuffle' on the CPU"
            )

    def sync_batch_norm(self, module: nn.Module, encoder: nn.Module, ranks: int) -> None:
        """Let BatchNorm share its statistics over ranks where that is the remedy.

        Args:
            module: What is trained, encoder and momentum encoders included; changed in place.
            encoder: The encoder that is trained.
            ranks: Number of ranks of the training.

        Raises:
            ConfigurationError: It would do nothing.
        """
        if len(self) and self.moco.batch_norm_remedy == "sync":
            check_batch_norm_remedy("sync", encoder, ranks)
            nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]

    def _keys(self, name: str, clip: Tensor) -> Tensor:
        copy = self._copy(name)
        if self.moco.batch_norm_remedy == "shuffle":
            return shuffled_forward(copy, clip, equal_ranks=self.equal_ranks)
        keys: Tensor = copy(clip)
        return keys

    def _copy(self, name: str) -> MomentumEncoder:
        copy = self[name]
        if not isinstance(copy, MomentumEncoder):
            raise TypeError(f"{name} is a {type(copy).__name__}")
        return copy
