"""The fold that a detector belongs to: its data and its checkpoint must be of the same."""

from collections.abc import Sequence

from torch import Tensor

from deepfake_mtl.data.protocol import parse_held_out
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.errors import CheckpointError, ConfigurationError


class FoldContract:
    """What a detector holds out, from the first that says so: its caller, its data, its checkpoint.

    Args:
        held_out: Manipulations that are not trained on; None where the data or the checkpoint says.

    Attributes:
        held_out: Names of the manipulations, in canonical order.
        known: Whether anybody has said it yet.

    Raises:
        ConfigurationError: A name is unknown, or none is left to learn.
    """

    def __init__(self, held_out: str | list[str] | None) -> None:
        self.held_out = parse_held_out(held_out)
        self.known = held_out is not None

    def take_data(self, held_out: tuple[str, ...]) -> None:
        """Belong to the fold of the data from now on.

        Raises:
            ConfigurationError: It is another fold than before.
        """
        if self.known and self.held_out != held_out:
            raise ConfigurationError(
                f"the detector holds out {_listed(self.held_out)}, and its data "
                f"{_listed(held_out)}: what it reports as unseen would be wrong. "
                "Give both the same held_out (or the detector none), and each fold a detector "
                "of its own"
            )
        self.held_out, self.known = held_out, True

    def take_checkpoint(self, trained: str | list[str]) -> None:
        """Belong to the fold of a checkpoint from now on.

        Args:
            trained: What the checkpoint was trained without, as it has it.

        Raises:
            CheckpointError: It is another fold than before.
        """
        fold = parse_held_out(trained)
        if self.known and self.held_out != fold:
            raise CheckpointError(
                f"the checkpoint was trained with {_listed(fold)} held out, but held_out is "
                f"{_listed(self.held_out)}: its metrics would be wrong. Give "
                f"`held_out={_value(fold)}`, or choose the checkpoint of the other fold"
            )
        self.held_out, self.known = fold, True

    def check_batch(self, manipulation: Tensor) -> None:
        """Refuse to learn, or to calibrate, from what is held out; waits for the device.

        Args:
            manipulation: Int64 tensor [B]: labels of a batch.

        Raises:
            ConfigurationError: The batch holds some of it.
        """
        if not self.held_out:
            return
        methods = manipulation.tolist()
        seen = [name for name in self.held_out if MANIPULATION_CLASSES.index(name) in methods]
        if seen:
            raise ConfigurationError(
                f"the training and validation loaders hold {_listed(seen)}, but the detector was "
                f"told that held_out is {_listed(self.held_out)}: leave those videos out, or tell "
                "it what is"
            )


def _value(held_out: Sequence[str]) -> str:
    """Return how a fold is written as a parameter."""
    return f'"{_listed(held_out)}"' if len(held_out) < 2 else str(list(held_out))


def _listed(held_out: Sequence[str]) -> str:
    return " ".join(held_out) or "none"
