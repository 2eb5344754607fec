"""A detector and clips so small that what is tested is not the encoder."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from deepfake_mtl.models import Encoder

TINY = [
    "--model.encoder=tests.worlds.TinyEncoder",
    "--data.held_out=Face2Face",
    "--data.size=16",
    "--data.clip_length=4",
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--data.eval_clips_per_video=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=2",
]
"""Options of a ``fit`` of a second."""


class TinyEncoder(Encoder):
    """Two linear layers on the mean colour of a clip, each a stage."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__(4)
        self.first = nn.Linear(3, 6)
        self.norm = nn.BatchNorm1d(6) if norm else nn.Identity()
        self.second = nn.Linear(6, 4)

    def stages(self) -> dict[str, list[nn.Parameter]]:
        return {
            "low": [*self.first.parameters(), *self.norm.parameters()],
            "high": list(self.second.parameters()),
        }

    def encode(self, clip: Tensor) -> Tensor:
        return self.second(torch.tanh(self.norm(self.first(clip.mean(dim=(2, 3, 4))))))


class Clips(Dataset[dict[str, Tensor]]):
    """Two clips of each of the labelled videos, whose colour depends on the label and on chance."""

    def __init__(self, labels: list[int], *, views: int = 1, seed: int = 0) -> None:
        self.labels = labels
        self.views = views
        generator = torch.Generator().manual_seed(seed)
        self.colours = torch.randint(0, 140, (2 * len(labels), 2, 3, 1, 1, 1), generator=generator)

    def __len__(self) -> int:
        return 2 * len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Tensor | int]:
        video, clip = divmod(index, 2)
        label = self.labels[video]
        offset = torch.tensor([20 * label, 0, 99 * (label > 0)]).view(3, 1, 1, 1)
        first, second = (
            (colour + offset).expand(3, 8, 4, 4).to(torch.uint8) for colour in self.colours[index]
        )
        sample = {
            "clip": first,
            "is_fake": int(label > 0),
            "manipulation": label,
            "video": video,
            "clip_index": clip,
        }
        return {**sample, "second_clip": second} if self.views == 2 else sample


def loader(
    labels: list[int], batch_size: int = 4, *, views: int = 1, shuffle: bool = False
) -> DataLoader[dict[str, Tensor]]:
    return DataLoader(Clips(labels, views=views), batch_size=batch_size, shuffle=shuffle)


def trainer(folder: Path, **options: object) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_model_summary=False,
        **{
            "max_epochs": 1,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            **options,
        },
    )
