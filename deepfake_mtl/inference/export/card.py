"""The model card of an exported detector, in Markdown."""

from collections.abc import Mapping
from typing import Any, Final

from deepfake_mtl.data.protocol import TEST_SETS
from deepfake_mtl.html.numbers import ABSENT
from deepfake_mtl.inference.aggregation import CONFIDENT
from deepfake_mtl.inference.description import Description
from deepfake_mtl.inference.loading import TrainedDetector
from deepfake_mtl.inference.reliability import SYNTHETIC

_FIGURES: Final = {
    "auc": "AUC",
    "accuracy": "Accuracy at 0.5",
    "accuracy_calibrated": "Accuracy at the calibrated threshold",
    "balanced_accuracy": "Balanced accuracy at 0.5",
    "eer": "Equal error rate",
}


def model_card(trained: TrainedDetector, difference: float | None, untraced: str) -> str:
    """Return the text of ``README.md``.

    Args:
        trained: The detector.
        difference: Largest difference of the traced network; None where there is no such network.
        untraced: Why there is none.
    """
    description = trained.description
    return (
        "\n\n".join(
            [
                "---\nlibrary_name: deepfake-mtl\ntags: [deepfake-detection]\n---",
                "# A deepfake detector",
                *([f"**{SYNTHETIC}**"] if description.synthetic else []),
                _what(description),
                _use(description),
                _training(description),
                _figures(description.metrics),
                _limits(description),
                _files(description, difference, untraced),
            ]
        )
        + "\n"
    )


def _what(description: Description) -> str:
    stride = description.clip_stride
    frames = "neighbouring frames" if stride == 1 else f"one of {stride} frames of the video"
    judged = "whole frames" if description.crops is None else "crops of faces"
    encoder = str(description.encoder["class_path"]).rpartition(".")[2]
    readouts = "\n".join(
        f"- `{name}`: {', '.join(classes)}" for name, classes in description.labels.items()
    )
    return (
        f"It takes clips of {description.clip_length} frames of {description.size} x "
        f"{description.size} pixels, {judged}, {frames}. "
        f"The encoder is {encoder}. Its readouts, each with the probabilities of its classes; the "
        f"first one is the score:\n\n{readouts}\n\n"
        f"A video is called fake from a probability of {description.threshold:.4f} on, which was "
        "best on validation videos."
    )


def _use(description: Description) -> str:
    return (
        "## Use\n\n```sh\ndeepfake-mtl detect VIDEO --ckpt_path THIS_FOLDER\n```\n\n"
        "```python\nfrom deepfake_mtl import VideoDetector\n\n"
        "detector = VideoDetector.from_checkpoint('THIS_FOLDER')\n"
        "verdict = detector('video.mp4')\nprint(verdict.score, verdict.is_fake)\n```"
        + (
            ""
            if description.crops is None
            else "\n\nFaces are found, followed and cropped as they were for the training."
        )
    )


def _training(description: Description) -> str:
    corpus = description.corpus
    if corpus is None:
        trained = "The checkpoint does not say which corpus it was trained on."
    else:
        kind = ", a synthetic world" if corpus["synthetic"] else ""
        trained = f"Trained on {corpus['name']}, compression {corpus['compression']}{kind}."
    held_out = ", ".join(description.held_out) or "none"
    lines = [f"## Training\n\n{trained} Manipulations held out: {held_out}."]
    names = {
        "shorter_side": "shorter side of a frame, pixels",
        "crop_side": "side of a face crop in the source, pixels",
        "bits_per_pixel": "bits a pixel",
    }
    rows = [
        f"| {names[name]} | {' | '.join(f'{value:.4g}' for value in values)} |"
        for name, values in (description.videos or {}).items()
        if values is not None and name in names
    ]
    if rows:
        lines.append(
            "| of the training videos | 5 % | 50 % | 95 % |\n|---|---|---|---|\n" + "\n".join(rows)
        )
    if description.crops is not None:
        settings = "\n".join(f"| {k} | {v} |" for k, v in description.crops.flat().items())
        lines.append(f"How faces were cropped:\n\n| setting | |\n|---|---|\n{settings}")
    return "\n\n".join(lines)


def _figures(metrics: Mapping[str, Any] | None) -> str:
    if metrics is None:
        return "## Figures\n\nNo test of this checkpoint was found beside it."
    corpus = metrics["corpus"]
    kind = " (a synthetic world)" if corpus["synthetic"] else ""
    rows = [
        f"| {label} | " + " | ".join(_percent(metrics[each], name) for each in TEST_SETS) + " |"
        for name, label in _FIGURES.items()
    ]
    return (
        f"## Figures\n\nOf videos, in %, on the test set of {corpus['name']} "
        f"{corpus['compression']}{kind}:\n\n| | held-out manipulations | seen manipulations |\n"
        "|---|---|---|\n" + "\n".join(rows)
    )


def _percent(report: Mapping[str, float | None] | None, name: str) -> str:
    value = None if report is None else report.get(name)
    return ABSENT if value is None else f"{100 * value:.1f}"


def _limits(description: Description) -> str:
    lines = [
        "It is a statistical detector: it can be wrong in both directions, and is no proof.",
        (
            "Manipulations, compressions, resolutions and people unlike those of its training are "
            "where it fails most; `detect` says where a video is far from them."
        ),
        (
            f"That a fake resembles a manipulation means a probability of {CONFIDENT} or more of "
            "that one (an assumption), among those that it was trained on."
        ),
    ]
    if description.synthetic:
        lines.append(SYNTHETIC)
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _files(description: Description, difference: float | None, untraced: str) -> str:
    traced = f"- `model.pt2`: there is none; the network could not be traced ({untraced})."
    if difference is not None:
        traced = (
            "- `model.pt2`: encoder and heads as `torch.export` traces them, for any number of "
            f"clips; its probabilities differ from the network's by {difference:.1e} at most. "
            "`torch.export.load('model.pt2').module()(clips)` needs PyTorch alone."
        )
    return (
        "## Files\n\n- `model.safetensors`: the weights.\n- `config.json`: all else.\n"
        f"{traced}\n\nWritten by deepfake_mtl {description.version}."
    )
