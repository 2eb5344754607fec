"""Tiny files of crops for tests."""

import numpy as np

from deepfake_mtl.data.store.crop_files import write_crops
from deepfake_mtl.data.store.crop_header import CropHeader
from deepfake_mtl.data.store.crop_settings import CropSettings


def make_settings(codec="jpeg95", size=16, **others):
    return CropSettings(size=size, codec=codec, detector="center", **others)


def make_header(frames, crop_settings, **others):
    values = {
        "corpus": "faceforensics",
        "method": "Deepfakes",
        "compression": "c23",
        "name": "000_001",
        "identities": ("000", "001"),
        "fps": 25.0,
        "times": tuple(i / 25 for i in range(frames)),
        "squares": tuple((10.1 + i / 7, -1e-9, np.float32(47.3)) for i in range(frames)),
        "scores": tuple(None if i % 3 else 0.9 for i in range(frames)),
        "boxes_from": "faceforensics/original/c23/000",
        "source": "manipulated_sequences/Deepfakes/c23/videos/000_001.mp4",
        "source_hash": "0" * 64,
        "source_width": 640,
        "source_height": 480,
        "source_bytes": 500_000,
        "settings_digest": crop_settings.digest(),
    }
    return CropHeader(**{**values, **others})


def masks_of(frames):
    return frames[..., 0] // 128 * 255


def write(path, frames, codec, *, masks=False, **others):
    crop_settings = make_settings(codec, size=frames.shape[1])
    header = make_header(len(frames), crop_settings, **others)
    return write_crops(
        path, header, iter(frames), crop_settings, iter(masks_of(frames)) if masks else None
    )
