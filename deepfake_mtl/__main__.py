"""``python -m deepfake_mtl`` is the command ``deepfake-mtl``."""

from deepfake_mtl.cli import run

if __name__ == "__main__":
    run()
