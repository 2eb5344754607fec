"""The commands as a Mac and Windows see them: what Linux alone has is gone, workers are spawned."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SITE = """
import os
from tests.portability.other_system import install
install(os.environ["SEEN_SYSTEM"])
"""
PROGRAM = """
import json, sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module="deepfake_mtl")
from deepfake_mtl.cli import main
if __name__ == "__main__":
    for words in json.loads(sys.argv[1]):
        status = main(words)
        print("status", words[0], status, flush=True)
        if status:
            sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems are themselves")
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_commands_need_nothing_of_linux_alone(system: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    world, store, runs = (tmp_path / name for name in ("world", "store", "runs"))
    run = runs / "binary_ce" / "FaceSwap" / "seed-0"
    options = [
        f"--data.root={store}",
        "--data.size=32",
        "--data.clip_length=5",
        "--data.batch_size=2",
        "--data.num_workers=1",
        "--data.eval_clips_per_video=1",
        "--model.encoder=tests.worlds.TinyEncoder",
        "--trainer.accelerator=cpu",
        "--trainer.max_epochs=1",
        "--trainer.limit_train_batches=1",
        "--trainer.limit_val_batches=0",
        "--trainer.num_sanity_val_steps=0",
        "--trainer.enable_model_summary=false",
        "--trainer.precision=32-true",
    ]
    video = world / "original_sequences" / "youtube" / "c23" / "videos" / "000.mp4"
    commands = [
        ["synthesize", str(world), "--identities=6", "--size=48", "--seconds=0.4", "--workers=2"],
        ["prepare", str(world), f"--out={store}", "--detector=center", "--size=32", "--workers=1"],
        [
            *("benchmark", "--config=configs/faceforensics.yaml", f"--out={runs}"),
            *("--losses=binary_ce", "--held_out=FaceSwap", "--checkpoint=last", *options),
        ],
        ["report", str(runs)],
        ["export", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", f"--out={tmp_path / 'out'}"],
        [
            *("detect", str(video), f"--ckpt_path={tmp_path / 'out'}", "--device=cpu"),
            *(f"--out={tmp_path / 'answers'}", "--workers=1", "--trust=tests"),
        ],
    ]
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", str(program), json.dumps(commands)],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(REPOSITORY)]),
            "SEEN_SYSTEM": system,
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    log = run / "log.txt"
    said = done.stdout + (log.read_text(encoding="utf-8") if log.is_file() else "")
    assert done.returncode == 0, said
    assert [line for line in done.stdout.splitlines() if line.startswith("status")] == [
        f"status {words[0]} 0" for words in commands
    ]
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) > 0
    (verdict,) = (tmp_path / "answers").glob("*/verdict.json")
    assert json.loads(verdict.read_text(encoding="utf-8"))["status"] == "scored", said
