"""With what a metric was computed: versions and kinds of machine."""

import platform
from importlib import metadata
from typing import Final

import torch

from deepfake_mtl import __version__
from deepfake_mtl.util.machine import processor_name

PACKAGES: Final = (
    "torch",
    "pytorch-lightning",
    "torchvision",
    "torchmetrics",
    "av",
    "albumentations",
    "numpy",
)


def environment() -> dict[str, str]:
    """Return the versions of Python and of packages that metrics depend on, platform and device.

    Returns:
        Names to versions, and ``platform`` and ``device``: kinds of machine, never its name, nor
        that of its user.
    """
    return {
        "python": platform.python_version(),
        "deepfake-mtl": __version__,
        **{package: _version(package) for package in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _device(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return processor_name()
