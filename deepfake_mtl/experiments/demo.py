"""Show the whole way on a small synthetic corpus: synthesize, fit, test, and a page of results.

Takes a few minutes on two cores without a GPU. What is finished is not done again: after an
interruption, the same command goes on.
"""

# ruff: noqa: PLC0415 (what --help does without takes seconds to import: `run` imports it)

import time
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Final

from deepfake_mtl.data.records import MANIPULATIONS
from deepfake_mtl.synthetic.config import SyntheticConfig

_WORLD: Final = SyntheticConfig(identities=120, seed=0, compression="c23", size=64, seconds=2.0)
_LOSSES: Final = "configs/losses/binary_ce_manipulation_ce.yaml"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What is shown.

    Attributes:
        out: Where the corpus and the results are written.
        held_out: The manipulation that is not learnt.
        seed: Seed of the training.
    """

    _: KW_ONLY
    out: Path = Path("demo")
    held_out: Annotated[str, MANIPULATIONS] = "FaceSwap"
    seed: int = 0


def run(arguments: Arguments) -> int:
    """Run the demo and say where its page is."""
    from deepfake_mtl.experiments.forecast import forecast
    from deepfake_mtl.synthetic.world import synthesize
    from deepfake_mtl.training.command import resolve_config, run_trainer_command

    begin = time.monotonic()
    corpus, folder = arguments.out / "corpus", arguments.out / arguments.held_out
    last = folder / "checkpoints" / "last.ckpt"
    options = [
        "--config=configs/demo.yaml",
        f"--config={_LOSSES}",
        f"--data.root={corpus}",
        f"--data.held_out={arguments.held_out}",
        f"--trainer.default_root_dir={folder}",
        f"--seed_everything={arguments.seed}",
    ]
    whole = forecast(_WORLD, resolve_config(options))
    _say(f"From nothing to a page of results this takes about {_minutes(whole)} on this machine")
    _say(f"1/3 A synthetic corpus of {_WORLD.identities} people in {corpus}")
    synthesize(corpus, _WORLD)

    _say(f"2/3 Training with {arguments.held_out} held out, in {folder}")
    resume = [f"--ckpt_path={last}"] if last.is_file() else []
    run_trainer_command(["fit", *options, *resume])

    _say("3/3 Testing, on manipulations that were learnt and on the one that was not")
    run_trainer_command(["test", *options, f"--ckpt_path={last}"])
    took = _minutes(time.monotonic() - begin)
    _say(f"Done in {took}. Open {folder / 'results.html'} in a browser.")
    return 0


def _minutes(seconds: float) -> str:
    return f"{max(round(seconds / 60), 1)} min" if seconds > 90 else f"{seconds:.0f} s"


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)
