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


def environment(device: torch.device) -> dict[str, str]:
    """Return the versions of Python and of packages that metrics depend on, platform and device.

    Args:
        device: Device that computed.

    Returns:
        Names to versions, and ``platform`` and ``device``: kinds of machine, never its name, nor
        that of its user.
    """
    return {
        "python": platform.python_version(),
        "deepfake-mtl": __version__,
        **{package: _version(package) for package in PACKAGES},
        "platform": f"{platform.system()} {platform.machine()}",
        "device": _name(device),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()
