"""The world must not be solvable without looking for the traces of a manipulation."""

import itertools
import json
from pathlib import Path

import av
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.synthetic import SyntheticConfig, synthesize
from deepfake_mtl.synthetic.video import read_video


def statistics(path: Path) -> list[float]:
    """Mean and deviation of each channel, file size, frame count, frame rate."""
    video = np.stack(read_video(path)).astype(np.float32)
    with av.open(str(path)) as container:
        rate = float(container.streams.video[0].average_rate)
    colours = [*video.mean(axis=(0, 1, 2)), *video.std(axis=(0, 1, 2))]
    return [*colours, path.stat().st_size, len(video), rate]


def pairs(root: Path) -> dict[str, int]:
    """The number of the pair that each identity is in."""
    lists = [json.loads(path.read_text()) for path in sorted((root / "splits").iterdir())]
    return {name: n for n, pair in enumerate(itertools.chain(*lists)) for name in pair}


@pytest.mark.slow
def test_global_statistics_do_not_tell_fakes(tmp_path):
    root = tmp_path / "world"
    synthesize(root, SyntheticConfig(identities=72, size=64, seconds=1.0), progress=False)
    pair_of = pairs(root)
    originals = sorted((root / "original_sequences/youtube/c23/videos").iterdir())
    real = [statistics(path) for path in originals]
    for method in MANIPULATIONS:
        fakes = sorted((root / "manipulated_sequences" / method / "c23/videos").iterdir())
        # Target and source stay together: whoever is scored was not seen in training.
        scores = cross_val_predict(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
            np.array(real + [statistics(path) for path in fakes]),
            labels := np.repeat([0, 1], 72),
            groups=[pair_of[path.stem[:3]] for path in originals + fakes],
            cv=GroupKFold(5),
            method="predict_proba",
        )[:, 1]
        assert roc_auc_score(labels, scores) < 0.65, method
