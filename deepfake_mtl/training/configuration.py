"""Where the configuration files lie that come with the library."""

from pathlib import Path

from deepfake_mtl.errors import ConfigurationError


def configs_folder() -> Path:
    """Return the folder of the library's configuration files, in an installation or a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "configs"
    return installed if installed.is_dir() else package.parent / "configs"


def find_config(name: str) -> str:
    """Find a configuration file by its path, or by its name among those of the library.

    Args:
        name: A path, or for example ``configs/losses/binary_ce.yaml`` where there is no such path.

    Raises:
        ConfigurationError: There is no such file.
    """
    if Path(name).is_file():
        return name
    folder = configs_folder()
    own = folder / name.removeprefix("configs/")
    if own.is_file():
        return str(own)
    there = ", ".join(
        f"configs/{path.relative_to(folder).as_posix()}" for path in sorted(folder.rglob("*.yaml"))
    )
    raise ConfigurationError(f"{name}: no such configuration file; the library has {there}")
