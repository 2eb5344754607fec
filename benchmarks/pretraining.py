"""Give S3D a start on a synthetic corpus, without any manipulated video.

    deepfake-mtl synthesize runs/others --identities 60 --seed 1 --size 64 --seconds 2
    python benchmarks/pretraining.py runs/others --out runs/start.pt

The paper starts from an encoder that was pre-trained without labels on other videos. Such weights
are of no use to clips of 64 px of drawn faces, and from scratch nothing is learnt in a few hundred
steps where the plainest manipulation is held out. So the encoder learns first to tell what was done
to a soft-edged part of originals: nothing, blur, noise, another colour, loss of resolution, or a
shift in time (in the spirit of self-blended images, arXiv 2204.08376). It sees originals alone, of
people who are in no other corpus.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deepfake_mtl.data.corpora import FaceForensics
from deepfake_mtl.data.records import ORIGINAL
from deepfake_mtl.data.video import probe, read_clip
from deepfake_mtl.models import S3D, MLPHead

Clip = NDArray[np.float32]
CLASSES = ("nothing", "blur", "noise", "colour", "resolution", "time")


class TreatedParts(Dataset[tuple[torch.Tensor, int]]):
    """Clips of originals, and what was done to a part of them; a function of seed and index."""

    def __init__(self, root: Path, frames: int, length: int, seed: int) -> None:
        paths = [r.path for r in FaceForensics(root).index() if r.method == ORIGINAL]
        self.videos = [read_clip(path, 0, probe(path).frames) for path in tqdm(paths, "Reading")]
        self.frames, self.length, self.seed = frames, length, seed

    def __len__(self) -> int:
        """Return the number of clips."""
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return a clip (uint8, 3 x T x H x W) and its class."""
        rng = np.random.default_rng([self.seed, index])
        video = self.videos[rng.integers(len(self.videos))]
        margin = 3
        start = rng.integers(margin, len(video) - self.frames - margin + 1)
        clip = video[start : start + self.frames].astype(np.float32)
        label = index % len(CLASSES)
        if label:
            later = video[start + margin : start + margin + self.frames].astype(np.float32)
            part = soft_ellipse(clip.shape[1], rng)
            treated = treat(clip, later, CLASSES[label], rng)
            clip += part * (treated - clip)
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        rounded = clip.round().clip(0, 255).astype(np.uint8).transpose(3, 0, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(rounded)), label


def soft_ellipse(size: int, rng: np.random.Generator) -> Clip:
    """Return weights (size x size x 1) of a random part in the middle of a picture."""
    centre = size * rng.uniform(0.35, 0.65, 2)
    axes = size * rng.uniform(0.12, 0.35, 2)
    mask = np.zeros((size, size), np.float32)
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(mask, (tuple(centre), tuple(2 * axes), angle), 1.0, -1)
    return cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.3, 2.5)))[..., None]


def treat(clip: Clip, later: Clip, how: str, rng: np.random.Generator) -> Clip:
    """Treat all frames (T x H x W x 3) alike, but for noise."""
    if how == "noise":
        return clip + rng.normal(0, rng.uniform(3, 10), clip.shape).astype(np.float32)
    if how == "colour":
        return clip * rng.uniform(0.85, 1.15, 3).astype(np.float32) + np.float32(rng.normal(0, 6))
    if how == "time":
        return later
    if how == "blur":
        deviation = float(rng.uniform(0.5, 1.5))
        return np.stack([cv2.GaussianBlur(frame, (0, 0), deviation) for frame in clip])
    size = clip.shape[1]
    small = round(size * rng.uniform(0.3, 0.6))
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, (small, small), interpolation=cv2.INTER_AREA),
                (size, size),
                interpolation=cv2.INTER_CUBIC,
            )
            for frame in clip
        ]
    )


def main() -> None:
    """Parse the options, train, and write the encoder's state dict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, metavar="CORPUS")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    clips = TreatedParts(
        options.corpus, options.frames, options.steps * options.batch, options.seed
    )
    encoder, head = S3D(norm_bias=1.0), MLPHead(1024, len(CLASSES))
    optimizer = torch.optim.Adam(
        [{"params": encoder.parameters()}, {"params": head.parameters(), "lr": 1e-4}], lr=1e-3
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [1e-3, 1e-4], total_steps=options.steps, pct_start=0.1
    )
    right = 0.0
    with tqdm(DataLoader(clips, options.batch, num_workers=1), "Steps") as progress:
        for clip, label in progress:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                logits = head(encoder(clip))
                loss = functional.cross_entropy(logits, label)
            loss.backward()
            optimizer.step()
            schedule.step()
            right += 0.05 * ((logits.argmax(1) == label).float().mean().item() - right)
            progress.set_postfix(loss=f"{loss.item():.2f}", right=f"{right:.0%}")
    torch.save(encoder.state_dict(), options.out)


if __name__ == "__main__":
    main()
