"""DataLoaders of clips; that of a training knows its place in the epoch."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from torch.utils.data import DataLoader, Dataset, default_collate

from deepfake_mtl.data.clips import ClipSample
from deepfake_mtl.data.sampling import BalancedSampler
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.util.processes import killed_for_memory, starting_workers

_OUT_OF_MEMORY: Final = (
    "out of shared memory",
    "shared memory object",
    "signal: Bus error",
    "signal: Killed",
    "</torch_",  # a file in /dev/shm
)
"""What PyTorch says of it, in its several ways."""


class EpochPlace:
    """How many batches of the sampler's epoch were taken, for checkpoints in the middle of it.

    Args:
        sampler: Draws the clips of this rank.
        batch_size: Clips of a batch.
        ranks: Number of processes that share an epoch.
    """

    def __init__(self, sampler: BalancedSampler, batch_size: int, ranks: int) -> None:
        self._sampler = sampler
        self._measures = {
            "batch_size": batch_size,
            "number_of_processes": ranks,
            "clips_of_an_epoch": len(sampler),
        }
        self._taken = 0
        self._loaded: dict[str, int] | None = None

    def begin(self) -> None:
        """Begin the sampler's epoch, or the rest of it after `load_state_dict`.

        Raises:
            CheckpointError: The rest is counted in other batches, or in other draws.
        """
        place, self._loaded, self._taken = self._loaded, None, 0
        if place is None or place["epoch"] != self._sampler.epoch:
            return
        changed = [
            f"{name.replace('_', ' ')} is {place[name]} there and {value} here"
            for name, value in self._measures.items()
            if place[name] != value
        ]
        batches = place["batches"]
        if changed:
            raise CheckpointError(
                f"the checkpoint is of the middle of an epoch, after {batches} batches, and its "
                f"place would be that of other videos here: {'; '.join(changed)}. Go on with the "
                "same data and devices, or from a checkpoint of the end of an epoch"
            )
        self._sampler.resume(batches * place["batch_size"])
        self._taken = batches

    def advance(self) -> None:
        """Count a batch that was taken."""
        self._taken += 1

    def state_dict(self) -> dict[str, int]:
        """Return the place, and what it is counted in."""
        if self._loaded is not None:
            return self._loaded
        return {"epoch": self._sampler.epoch, "batches": self._taken, **self._measures}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Begin at this place, if the next epoch to be drawn is the one that it is in."""
        self._loaded = dict(state_dict)


def collate_clips(samples: Sequence[ClipSample]) -> dict[str, Any]:
    """Make a batch of the samples that are valid.

    Returns:
        The keys of `ClipSample` but ``valid``, as tensors of one row a valid sample, and
        ``failure``, a list of why clips are left out or stand for others. A batch of which nothing
        is valid has no rows.
    """
    valid = [sample for sample in samples if sample["valid"]]
    batch: dict[str, Any] = default_collate(
        [
            {key: value for key, value in sample.items() if key not in ("valid", "failure")}
            for sample in valid or samples[:1]
        ]
    )
    if not valid:
        batch = {key: value[:0] for key, value in batch.items()}
    return {**batch, "failure": [sample["failure"] for sample in samples if sample["failure"]]}


class ClipLoader(DataLoader[ClipSample]):
    """A DataLoader whose workers are safe from signals as soon as they exist.

    Its batches hold no clip that could not be read; see `collate_clips`. It takes what DataLoader
    takes; `begin_worker` is to be its ``worker_init_fn``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 (DataLoader's)
        super().__init__(*args, **{"collate_fn": collate_clips, **options})

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Go through the batches; workers are started first, where there are none yet.

        Raises:
            ConfigurationError: The workers ran out of memory.
        """
        with starting_workers():
            batches = super().__iter__()
        return self._explained(batches)

    def _explained(self, batches: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from batches
        except RuntimeError as error:
            text = f"{error} {error.__cause__}"
            # PyTorch names the signal only where it hears of it before it looks for the worker.
            codes = {worker.exitcode for worker in getattr(batches, "_workers", ())}
            if not (codes & killed_for_memory() or any(sign in text for sign in _OUT_OF_MEMORY)):
                raise
            raise ConfigurationError(
                f"the {self.num_workers} processes that read clips ran out of (shared) memory: set "
                "num_workers to fewer (0 reads in this process) or batch_size to less, or give "
                "more, such as by docker run --shm-size"
            ) from error


class TrainingLoader(ClipLoader):
    """A DataLoader that goes on in the middle of an epoch.

    Its place is the number of batches that were taken out of it: workers run ahead of these by
    ``num_workers * prefetch_factor`` batches, which a resumed loader reads once more.

    An epoch is drawn when its first batch is asked for. Lightning asks for an iterator earlier,
    when it has not yet restored the number of the epoch, and workers would read another one.

    Args:
        dataset: Clips by draw.
        sampler: Draws of this rank.
        batch_size: Clips of a batch; the uneven rest of an epoch is dropped.
        ranks: Number of processes that share an epoch.
        **options: Options of DataLoader.

    Attributes:
        place: Where it is. Keep this rather than the loader, whose workers end with it.
    """

    def __init__(
        self,
        dataset: Dataset[ClipSample],
        sampler: BalancedSampler,
        batch_size: int,
        *,
        ranks: int = 1,
        **options: Any,  # noqa: ANN401 (DataLoader's)
    ) -> None:
        super().__init__(dataset, batch_size, sampler=sampler, drop_last=True, **options)
        self.place = EpochPlace(sampler, batch_size, ranks)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Go through the sampler's epoch, or through the rest of it; see `EpochPlace.begin`."""
        self.place.begin()
        for batch in super().__iter__():
            self.place.advance()
            yield batch

    def state_dict(self) -> dict[str, int]:
        """See `EpochPlace.state_dict`; Lightning calls it."""
        return self.place.state_dict()

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """See `EpochPlace.load_state_dict`; Lightning calls it."""
        self.place.load_state_dict(state_dict)
