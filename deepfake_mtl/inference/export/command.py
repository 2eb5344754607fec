"""Turn a checkpoint into a folder to hand out.

It holds the weights as safetensors, a configuration, a model card, and the network as torch.export
traces it. `deepfake-mtl detect` takes it in the place of a checkpoint; no Lightning is needed.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

from dataclasses import KW_ONLY, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is exported.

    Attributes:
        ckpt_path: Checkpoint of ``deepfake-mtl fit``.
        trust: Package from which classes are imported if the checkpoint names some, such as an
            encoder of your own; may be given several times.
        out: New folder for what is written.
    """

    _: KW_ONLY
    ckpt_path: Path
    trust: tuple[str, ...] = ()
    out: Path


def run(arguments: Arguments) -> int:
    """Run the command."""
    from deepfake_mtl.inference.export.folder import PROGRAM, export_detector
    from deepfake_mtl.inference.loading import load_detector

    exported = export_detector(load_detector(arguments.ckpt_path, arguments.trust), arguments.out)
    if exported.difference is None:
        print(f"{PROGRAM} was left out: the network cannot be traced ({exported.untraced})")
    else:
        print(f"Traced; probabilities differ by {exported.difference:.1e} at most")
    print(f"Weights, configuration and model card are in {exported.folder}")
    return 0
