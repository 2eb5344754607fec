"""Makes ``tests/fixtures/first``: what a commit wrote, for later ones to read.

Run once, at the commit of which it is to be kept, from an empty folder::

    git worktree add --detach OLD 9876fd0
    cd EMPTY && PYTHONPATH=OLD python THIS/tests/compatibility/make.py OLD

What it writes is copied to ``tests/fixtures/first`` and never made anew: later versions of the
library are tested against it by ``tests/compatibility/test_first.py``. Paths are relative, so that
the files name no folder of the machine.
"""

# ruff: noqa: I001 (the modules are those of that commit)

import csv
import json
import lzma
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import nn

from deepfake_mtl.cli import main
from deepfake_mtl.data.crop_files import verify, write_crops
from deepfake_mtl.data.crop_header import CropHeader
from deepfake_mtl.data.crop_settings import CropSettings
from deepfake_mtl.inference.loading import load_detector
from deepfake_mtl.models import S3D
from tests.conftest import METHODS, names_of, video_path, write_splits
from tests.data.videos import write_video

PAIRS = {"train": [["000", "001"]], "val": [["002", "003"]], "test": [["004", "005"]]}
OLD = Path(sys.argv[1])
QUIET = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
SMALL = [
    "--data.root=store",
    "--data.held_out=Face2Face",
    "--data.clip_length=8",
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--data.train_clips_per_video=2",
    "--data.eval_clips_per_video=2",
    "--trainer.enable_model_summary=false",
    "--trainer.logger=false",
    "--trainer.deterministic=true",
    # What later versions of Albumentations and OpenCV may do otherwise is left out.
    *(f"--data.augmentation.{name}=0" for name in (
        "brightness", "hue", "blur", "noise", "downscale", "jpeg"
    )),
    "--model.warmup_steps=2",
    *QUIET,
]  # fmt: skip
TINY = [
    "--model.encoder=tests.worlds.TinyEncoder",
    "--model.encoder.norm=true",
    "--data.size=16",
    "--model.learning_rate=1e-2",
    "--model.moco.queue_size=16",
    "--model.moco.dim=8",
]


def write_corpus(root: Path) -> None:
    """Videos of 12 frames, smooth and so small on disk, whose colour tells the method."""
    seed = 0
    y, x = np.mgrid[:36, :40].astype(np.float32)
    for pairs in PAIRS.values():
        for label, method in enumerate(METHODS):
            for name in names_of(pairs, method):
                path = video_path(root, method, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                generator = np.random.default_rng(seed)
                phase, level = generator.uniform(0, 6, 3), generator.uniform(90, 130, 3)
                level += np.array([25, 0, -12]) * label
                frames = [
                    np.stack([level[c] + 40 * np.sin(x / 7 + y / 9 + i / 5 + phase[c])
                              for c in range(3)], axis=-1).clip(0, 255).astype(np.uint8)
                    for i in range(12)
                ]  # fmt: skip
                write_video(path, frames)
                seed += 1
    write_splits(root / "splits", PAIRS)


def run(*words: str) -> None:
    if main(list(words)) != 0:
        raise SystemExit(f"failed: {' '.join(words)}")


def train(name: str, losses: str, *more: str, epochs: int = 2) -> Path:
    """A run folder, its test, and what the test of one more epoch says."""
    folder = Path(name)
    tasks = yaml.safe_load((OLD / "configs" / "losses" / f"{losses}.yaml").read_text())
    for task in tasks["model"]["tasks"]:
        task["init_args"]["hidden_features"] = 8
    Path("tasks.yaml").write_text(yaml.safe_dump(tasks))
    options = ["--config=tasks.yaml", *SMALL, *more]
    run("fit", *options, f"--trainer.default_root_dir={name}", f"--trainer.max_epochs={epochs}")
    run("test", f"--ckpt_path={name}/checkpoints/last.ckpt", "--trainer.logger=false", *QUIET)
    (folder / "results.html").unlink()
    return folder


def go_on(folder: Path) -> None:
    copied = Path(f"{folder}-longer")
    shutil.copytree(folder, copied)
    run(
        "fit",
        f"--config={folder}/config.yaml",
        f"--trainer.default_root_dir={copied}",
        "--trainer.max_epochs=3",
        f"--ckpt_path={copied}/checkpoints/last.ckpt",
    )
    run("test", f"--ckpt_path={copied}/checkpoints/last.ckpt", "--trainer.logger=false", *QUIET)
    shutil.copy(copied / "predictions.csv", folder / "predictions_longer.csv")
    shutil.rmtree(copied)


def sparse_s3d(path: Path) -> None:
    """Weights of an S3D that compress to a few kilobytes: each kernel has few values."""
    encoder = S3D(norm_bias=0.5, norm_momentum=0.1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in encoder.modules():
            if isinstance(module, nn.Conv3d):
                out, into, *size = module.weight.shape
                module.weight.zero_()
                chosen = torch.randint(into, (out,), generator=generator)
                center = tuple(each // 2 for each in size)
                signs = (-1.0) ** torch.arange(out)
                module.weight[(torch.arange(out), chosen, *center)] = signs
        for module in encoder.features[15].modules():
            if isinstance(module, nn.BatchNorm3d):  # else probabilities are 0 and 1
                nn.init.constant_(module.weight, 0.05)
    torch.save(encoder.state_dict(), path)


def clips(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 100, (5, 3, 8, size, size), generator=generator)
    level = torch.randint(0, 150, (5, 3, 1, 1, 1), generator=generator)
    return (noise + level).to(torch.uint8)


def export(name: str, size: int) -> None:
    run("export", f"--ckpt_path={name}/checkpoints/last.ckpt", f"--out={name}/exported")
    for left in ("model.pt2", "README.md"):  # of PyTorch, and for people
        (Path(name) / "exported" / left).unlink(missing_ok=True)
    detector = load_detector(Path(name) / "exported")
    with torch.inference_mode():
        outputs = detector.network(clips(size))
    scores = {key: value.tolist() for key, value in outputs.items()}
    (Path(name) / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


def compress(path: Path) -> None:
    path.with_name(path.name + ".xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
    path.unlink()


def keep(folder: Path, *names: str) -> None:
    for path in (folder / "checkpoints").iterdir():
        if path.name not in names:
            path.unlink()
    shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def write_codecs(folder: Path) -> None:
    """A file of crops of each codec, with masks, and what its frames are."""
    y, x = np.mgrid[:16, :16]
    ramp = np.stack([x * 12, y * 12, (x + y) * 6], axis=-1)
    frames = np.stack([(ramp + 3 * i).astype(np.uint8) for i in range(4)])
    for codec in ("raw", "jpeg95"):
        settings = CropSettings(size=16, codec=codec, detector="center", masks=True)
        header = CropHeader(
            corpus="faceforensics", method="Deepfakes", compression="c23", name="000_001",
            identities=("000", "001"), fps=25.0, times=(0.0, 0.04, 0.08, 0.12),
            squares=((10.25, 2.5, 47.0),) * 4, scores=(0.9, None, 0.75, None),
            boxes_from="faceforensics/original/c23/000",
            source="manipulated_sequences/Deepfakes/c23/videos/000_001.mp4",
            source_hash="0" * 64, source_width=640, source_height=480, source_bytes=500_000,
            settings_digest=settings.digest(),
        )  # fmt: skip
        path = folder / f"{codec}.crops"
        write_crops(path, header, iter(frames), settings, iter(frames[..., 0] // 128 * 255))
        verify(path)
    np.save(folder / "frames.npy", frames)


if __name__ == "__main__":
    write_corpus(Path("corpus"))
    run("prepare", "corpus", "--out=store", "--detector=center", "--size=16", "--workers=1")
    Path("codecs").mkdir()
    write_codecs(Path("codecs"))
    contrast = train("contrast", "binary_con_manipulation_con", *TINY, "--conflict.every_n_steps=2")
    go_on(contrast)
    keep(contrast, "best.ckpt", "last.ckpt")
    export("contrast", 16)
    separate = train(
        "separate", "binary_ce_manipulation_con", *TINY, "--model.balance=uncertainty",
        "--model.separate_encoders=true", "--model.optimizer=adamw",
    )  # fmt: skip
    go_on(separate)
    keep(separate, "last.ckpt")
    sparse_s3d(Path("sparse.pt"))
    s3d = train(
        "s3d", "binary_ce_manipulation_ce", "--model.encoder=deepfake_mtl.models.S3D",
        "--model.encoder.weights=sparse.pt", "--data.size=32", "--model.optimizer=torch.optim.SGD",
        "--model.optimizer.momentum=0.0", "--model.learning_rate=1e-46",
        "--model.encoder.norm_momentum=1.0", "--model.encoder.norm_eps=0.1",
        "--model.schedule=constant",
        "--trainer.limit_train_batches=1", epochs=1,
    )  # fmt: skip
    keep(s3d, "last.ckpt")
    export("s3d", 32)
    compress(s3d / "checkpoints" / "last.ckpt")
    compress(s3d / "exported" / "model.safetensors")
    for left in ("sparse.pt", "tasks.yaml", "store/contact_sheet.png"):
        Path(left).unlink()
    shutil.rmtree("corpus")
    with (s3d / "predictions.csv").open() as file:
        print(*csv.reader(file), sep="\n")
