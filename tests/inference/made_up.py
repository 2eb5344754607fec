"""Detectors that were never trained, with encoders that do what a test needs; no Lightning."""

import contextlib
import importlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from deepfake_mtl.data.store.crop_settings import CropSettings
from deepfake_mtl.inference.description import Description
from deepfake_mtl.models import Encoder
from deepfake_mtl.network import MultiTaskNetwork

CORPUS = {"name": "faceforensics", "compression": "c23", "synthetic": True}


class RedEncoder(Encoder):
    """How red and how blue a clip is, place by place, and on average."""

    def __init__(self) -> None:
        super().__init__(2, mean=(0, 0, 0), std=(1, 1, 1))
        self.cells = nn.Sequential(nn.AvgPool3d((4, 8, 8)), nn.Conv3d(3, 5, 1))

    def encode(self, clip: Tensor) -> Tensor:
        return self.cells(clip)[:, :2].mean(dim=(2, 3, 4))


class HostileEncoder(RedEncoder):
    """As a decoder is that crashes at red videos, never ends at blue ones, and at green ones takes
    memory without end where the system does not keep to a limit.
    """

    def encode(self, clip: Tensor) -> Tensor:
        red, green, blue = clip.mean(dim=(0, 2, 3, 4)).tolist()
        if red > 0.8:
            os.kill(os.getpid(), signal.SIGSEGV)
        if blue > 0.8:
            time.sleep(3600)
        if green > 0.8:
            take_memory()
        return super().encode(clip)


def take_memory() -> None:
    with contextlib.suppress(ImportError):  # Windows
        resource = importlib.import_module("resource")
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    taken = []
    while True:
        taken.append(bytearray(b"1") * 10_000_000)
        time.sleep(0.01)


def description(encoder: str = "RedEncoder", **changes: Any) -> Description:
    values: dict[str, Any] = {
        "encoder": {"class_path": f"{__name__}.{encoder}", "init_args": {}},
        "tasks": (
            {"class_path": "deepfake_mtl.tasks.BinaryCrossEntropy", "init_args": {}},
            {"class_path": "deepfake_mtl.tasks.ManipulationCrossEntropy", "init_args": {}},
        ),
        "moco": {},
        "separate_encoders": False,
        "clip_length": 8,
        "clip_stride": 1,
        "size": 32,
        "crops": None,
        "held_out": ("FaceSwap",),
        "threshold": 0.5,
        "corpus": CORPUS,
        "videos": None,
        "metrics": None,
        "labels": {
            "binary": ("real", "fake"),
            "manipulation": (
                "original", "Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures",
            ),
        },
        "version": "0",
    }  # fmt: skip
    return Description(**values | changes)


def center_crops() -> CropSettings:
    return CropSettings(size=32, detector="center", detect_every=5)


def network(of: Description) -> MultiTaskNetwork:
    torch.manual_seed(0)
    return MultiTaskNetwork.from_description(
        of.encoder, of.tasks, of.moco, separate_encoders=of.separate_encoders
    ).eval()


def write_folder(folder: Path, of: Description) -> Path:
    """A folder as `deepfake-mtl export` writes it, without what `detect` does not read."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(of.to_json())
    save_file(network(of).weights(), folder / "model.safetensors")
    return folder
