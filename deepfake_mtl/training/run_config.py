"""The configuration of a training, as a record of what was done."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.cli import SaveConfigCallback
from pytorch_lightning.utilities import rank_zero_info

from deepfake_mtl.util.files import whole_path

CONFIG: Final = "config.yaml"

_KEY: Final = "deepfake_mtl_config"
"""Under what a checkpoint keeps the configuration of its training."""


class RunConfig(SaveConfigCallback):
    """Write the whole configuration of a training into its run folder, and keep it in checkpoints.

    It is written when the first batch is learnt, so that a training which was refused leaves no
    record. One that goes on with another configuration says what has changed since its checkpoint,
    and leaves the file of before as ``config.until_step_<step>.yaml``.
    """

    _record: dict[str, Any] | None = None
    _before: Mapping[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:  # noqa: ANN401, ARG002
        """Forget what an earlier training went on from."""
        self._before = None
        self.already_saved = False

    def on_save_checkpoint(
        self, _trainer: Trainer, _module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the configuration."""
        checkpoint[_KEY] = self._plain()

    def on_load_checkpoint(
        self, _trainer: Trainer, _module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the configuration that the checkpoint was trained with; older ones have none."""
        self._before = checkpoint.get(_KEY)

    def on_train_batch_start(self, trainer: Trainer, *_: object) -> None:
        """Write the file, on the first process, and say what has changed."""
        if self.already_saved:
            return
        self.already_saved = True
        changes = [] if self._before is None else list(_changes(self._before, self._plain()))
        if changes:
            rank_zero_info(
                f"Since the checkpoint, these options have changed: {'; '.join(changes)}"
            )
        if trainer.is_global_zero:
            self._write(Path(trainer.default_root_dir) / CONFIG, trainer.global_step)

    def _write(self, path: Path, step: int) -> None:
        kept = path.with_name(f"config.until_step_{step}.yaml")
        if path.is_file() and not kept.exists():
            before = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(before, Mapping) or list(_changes(before, self._plain())):
                path.replace(kept)
        with whole_path(path) as partial:
            partial.write_text(yaml.safe_dump(self._plain(), sort_keys=False), encoding="utf-8")

    def _plain(self) -> dict[str, Any]:
        """Return the configuration in plain values."""
        if self._record is None:
            config = self.config.clone()
            config["ckpt_path"] = None  # where this once began is no setting of the next training
            self._record = yaml.safe_load(self.parser.dump(config, skip_none=False))
        record: dict[str, Any] = self._record
        return record


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Say which options differ, one after another."""
    old, new = dict(_options("", before)), dict(_options("", now))
    for name in dict.fromkeys((*new, *old)):
        if old.get(name) != new.get(name):
            yield f"{name} {new.get(name)} (was {old.get(name)})"


def _options(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _options(f"{prefix}.{key}" if prefix else str(key), each)
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for index, each in enumerate(value):
            yield from _options(f"{prefix}.{index}", each)
    else:
        yield prefix, value
