import csv
import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from sklearn import metrics as sklearn_metrics

from deepfake_mtl.cli import main
from deepfake_mtl.data.records import MANIPULATION_CLASSES
from deepfake_mtl.detector import Detector
from deepfake_mtl.training.command import resolve_config
from tests.conftest import PAIRS, shared_path, video_path, write_splits
from tests.data.videos import spoil

LOSSES = (
    "binary_ce",
    "binary_con",
    "binary_ce_manipulation_ce",
    "binary_ce_manipulation_con",
    "binary_con_manipulation_ce",
    "binary_con_manipulation_con",
)
CONFIG = "--config=configs/faceforensics.yaml"
SMALL = [
    "--data.size=32",
    "--data.clip_length=8",
    "--data.batch_size=4",
    "--data.num_workers=0",
    "--data.eval_clips_per_video=2",
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--model.warmup_steps=2",
]


def fit_words(
    root: Path,
    run: Path,
    *more: str,
    held_out: str = "Face2Face",
    losses: str = "binary_ce_manipulation_ce",
    encoder: str = "tests.worlds.TinyEncoder",
) -> list[str]:
    return [
        "fit",
        CONFIG,
        f"--config=configs/losses/{losses}.yaml",
        f"--data.root={root}",
        f"--data.held_out={held_out}",
        f"--trainer.default_root_dir={run}",
        *SMALL,
        f"--model.encoder={encoder}",
        *more,
    ]


@pytest.fixture(scope="session")
def trained(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a training on the tiny corpus; not to be written to."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(fit_words(tiny_corpus, run)) == 0
    return run


def error_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that is to fail, and return the one message that it prints."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert printed.err.count("deepfake-mtl: error: ") == 1
    return printed.err.split("deepfake-mtl: error: ")[1]


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("more", "class_name", "options"),
    [
        ([], "S3D", {"norm_momentum": 0.1, "norm_bias": 0.0}),
        (["--model.encoder=deepfake_mtl.models.R3D18"], "R3D18", {"norm_momentum": 0.1}),
    ],
)
def test_the_encoder_has_options_whether_its_class_is_given_or_not(
    more: list[str],
    class_name: str,
    options: dict[str, float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["fit", *more, "--model.encoder.norm_momentum=0.1", "--data.root=x"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--data.held_out=FaceSwap", "--print_config"])
    assert ended.value.code == 0
    encoder = yaml.safe_load(capsys.readouterr().out)["model"]["encoder"]
    assert encoder["class_path"] == f"deepfake_mtl.models.{class_name}"
    assert options.items() <= encoder["init_args"].items()


# -- What goes wrong -----------------------------------------------------------------------------


def test_a_wrong_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(fit_words(tmp_path / "nowhere", tmp_path / "run"), capsys)
    assert "nowhere: no such folder; name the folder of FaceForensics++, which holds" in message


def test_a_missing_method(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "manipulated_sequences" / "FaceSwap").rename(tmp_path / "elsewhere")
    message = error_of(fit_words(corpus, tmp_path / "run"), capsys)
    assert "FaceSwap: all 8" in message
    assert "--data.on_missing skip" in message


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()  # the tiny corpus is linked, not copied
    if how == "empty":
        path.touch()
    elif how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "no video":
        write_audio(path)


@pytest.mark.parametrize("how", ["empty", "truncated", "no video"])
def test_an_unusable_video(
    how: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = video_path(corpus, "Deepfakes", "001_000")
    damage(path, how)
    message = error_of(fit_words(corpus, tmp_path / "run"), capsys)
    assert message.startswith(str(path))
    assert "--data.on_corrupt skip" in message


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ({**PAIRS, "val": [["004", "005"], ["004", "005"]]}, "val.json: identity 004 stands twice"),
        ({**PAIRS, "test": [["004", "007"]]}, "test.json: identity 004 stands here and in"),
    ],
)
def test_contradicting_splits(
    pairs: dict[str, list[list[str]]],
    expected: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_splits(tmp_path / "lists", pairs)
    words = fit_words(corpus, tmp_path / "run", f"--data.splits={tmp_path / 'lists'}")
    assert expected in error_of(words, capsys)


def test_splits_that_are_no_json_or_not_there(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_splits(tmp_path / "lists")
    (tmp_path / "lists" / "train.json").write_text("[[000, 001]]")
    words = fit_words(corpus, tmp_path / "run", f"--data.splits={tmp_path / 'lists'}")
    assert "train.json, line 1: cannot be read as JSON" in error_of(words, capsys)
    words = fit_words(corpus, tmp_path / "run", f"--data.splits={tmp_path / 'none'}")
    assert "--data.splits random" in error_of(words, capsys)


def test_a_checkpoint_of_another_fold(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = f"--ckpt_path={trained}/checkpoints/best.ckpt"
    out = f"--trainer.default_root_dir={tmp_path}"
    message = error_of(["test", "--data.held_out=Deepfakes", out, checkpoint, *SMALL[3:5]], capsys)
    assert "trained with Face2Face held out, but held_out is Deepfakes" in message
    assert "--data.held_out Face2Face" in message
    write_splits(tmp_path / "lists", {**PAIRS, "train": PAIRS["test"], "test": PAIRS["train"]})
    words = ["test", f"--data.splits={tmp_path / 'lists'}", out, checkpoint, *SMALL[3:5]]
    assert "other lists of identities" in error_of(words, capsys)
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_no_checkpoint(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of([command, CONFIG], capsys)
    assert f"deepfake-mtl {command} ... --ckpt_path runs/detector/checkpoints/best.ckpt" in message


def test_a_checkpoint_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such checkpoint" in error_of(["test", "--ckpt_path=gone.ckpt"], capsys)
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    message = error_of(["test", "--ckpt_path", str(tmp_path / "text.ckpt")], capsys)
    assert "text.ckpt: cannot be read as a checkpoint" in message
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    message = error_of(["test", "--ckpt_path", str(tmp_path / "other.ckpt")], capsys)
    assert "not a checkpoint of deepfake-mtl fit" in message


def test_options_before_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["test", "--ckpt_path", "x.ckpt", "--config", "configs/faceforensics.yaml"]
    message = error_of(words, capsys)
    assert "--config stands after --ckpt_path" in message
    assert "deepfake-mtl test --config FILE" in message


def test_an_unknown_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    message = error_of(["fit", "--config", "configs/losses/trinary.yaml"], capsys)
    assert "configs/losses/binary_ce.yaml" in message


def test_a_run_folder_in_use(
    tiny_corpus: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(fit_words(tiny_corpus, trained), capsys)
    assert f"--ckpt_path {trained}/checkpoints/last.ckpt" in message


def test_a_batch_larger_than_an_epoch(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = error_of(fit_words(tiny_corpus, tmp_path, "--data.batch_size=99"), capsys)
    assert "set --data.batch_size to at most 16" in message


@pytest.mark.slow
def test_no_traceback_in_a_real_terminal(corpus: Path, tmp_path: Path) -> None:
    """A file whose damage shows only when it is decoded, in a worker process."""
    path = video_path(corpus, "original", "002")
    spoil(path)
    words = fit_words(
        corpus, tmp_path / "run", "--data.num_workers=1", "--data.train_clips_per_video=3"
    )
    done = subprocess.run(
        [sys.executable, "-m", "deepfake_mtl", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert f"deepfake-mtl: error: {path}" in done.stderr


# -- What goes well ------------------------------------------------------------------------------


def test_the_run_folder_of_a_training(trained: Path) -> None:
    files = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert {"config.yaml", "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= files
    assert any(name.startswith("tensorboard/fit/events") for name in files)
    checkpoint = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    assert checkpoint["hyper_parameters"]["held_out"] == "Face2Face"


def test_results_can_be_recomputed_from_the_predictions(trained: Path, tmp_path: Path) -> None:
    words = [
        f"--ckpt_path={trained}/checkpoints/last.ckpt",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    assert main(["test", *words, *SMALL[3:4]]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 10
    assert results["held_out"] == ["Face2Face"]
    assert results["counts"]["train"] == {"real": 4, "fake": 12}
    assert results["corpus"]["synthetic"] is False
    threshold = results["figures"]["held_out"]["threshold"]
    for name, excluded in (
        ("held_out", {"Deepfakes", "FaceSwap", "NeuralTextures"}),
        ("seen", {"Face2Face"}),
    ):
        chosen = [row for row in rows if row["method"] not in excluded]
        truth = [int(row["label"]) for row in chosen]
        score = [float(row["score"]) for row in chosen]
        figures = results["figures"][name]
        assert figures["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, score))
        assert figures["accuracy_calibrated"] == pytest.approx(
            np.mean([(s >= threshold) == t for s, t in zip(score, truth, strict=True)])
        )
    for row in rows:
        outputs = [float(row[f"manipulation/{name}"]) for name in MANIPULATION_CLASSES]
        assert sum(outputs) == pytest.approx(1, abs=1e-5)
    page = (tmp_path / "results.html").read_text()
    assert "Face2Face" in page


def test_predict_scores_every_video(trained: Path, tmp_path: Path) -> None:
    words = [
        f"--ckpt_path={trained}/checkpoints/best.ckpt",
        f"--trainer.default_root_dir={tmp_path}",
    ]
    assert main(["predict", *words, *SMALL[3:4]]) == 0
    with (tmp_path / "predict" / "predictions.csv").open() as file:
        keys = [row["key"] for row in csv.DictReader(file)]
    assert len(keys) == len(set(keys)) == 40


def test_skipped_videos_are_counted_in_the_results(corpus: Path, tmp_path: Path) -> None:
    video_path(corpus, "FaceSwap", "000_001").unlink()
    broken = video_path(corpus, "original", "006")
    damage(broken, "truncated")
    skip = ["--data.on_missing=skip", "--data.on_corrupt=skip"]
    run = tmp_path / "run"
    assert main(fit_words(corpus, run, *skip)) == 0
    assert main(["test", f"--ckpt_path={run}/checkpoints/best.ckpt", *SMALL[3:4]]) == 0
    counts = json.loads((run / "results.json").read_text())["counts"]
    assert counts["missing"] == {"FaceSwap": 1}
    assert len(counts["corrupt"]) == 1
    assert counts["corrupt"][0].startswith(str(broken))


def test_the_six_configurations_of_the_paper_are_there() -> None:
    assert sorted(path.stem for path in Path("configs/losses").iterdir()) == sorted(LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize("losses", [each for each in LOSSES if each != "binary_ce_manipulation_ce"])
def test_every_configuration_is_trained_and_tested(
    losses: str, tiny_corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = ["--conflict.every_n_steps=2", "--data.train_clips_per_video=2"]
    assert main(fit_words(tiny_corpus, run, *words, losses=losses, encoder="S3D")) == 0
    assert main(["test", f"--ckpt_path={run}/checkpoints/last.ckpt", *SMALL[3:4]]) == 0
    results = json.loads((run / "results.json").read_text())
    expected = []
    for task in ("binary", "manipulation"):
        if f"{task}_con" in losses:
            expected += [task, f"{task}_neighbours"]
        elif f"{task}_ce" in losses:
            expected += [task]
    readouts = results["figures"]["readouts"]
    assert list(readouts) == expected
    assert readouts["binary"]["seen"]["auc"] == results["figures"]["seen"]["auc"]
    for readout in readouts.values():
        assert 0 <= readout["held_out"]["auc"] <= 1
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for task in ("binary", "manipulation"):
        labels = state.get(f"network.tasks.{task}.queue.labels")
        assert (labels is not None) == (f"{task}_con" in losses)
        if labels is not None:
            assert (labels >= 0).sum() == 32  # two epochs' worth of 16 clips
    measured = {row["group"] for row in results.get("gradient_conflict", [])}
    two = "manipulation" in losses
    assert measured == ({"stem", "mixed_3", "mixed_4", "mixed_5"} if two else set())
    assert ("Do the tasks pull together?" in (run / "results.html").read_text()) == two


def test_a_contrastive_configuration_without_second_views(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = fit_words(tiny_corpus, tmp_path, "--data.second_view=none", losses="binary_con")
    assert "set --data.second_view to same_clip or other_clip" in error_of(words, capsys)


@pytest.mark.slow
def test_a_checkpoint_is_loaded_where_its_first_weights_are_gone(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    """A second training starts from the encoder of a first, whose file is then removed."""
    start = tmp_path / "first/checkpoints/last.ckpt"
    weights = ["--model.encoder=S3D", f"--model.encoder.weights={start}"]
    run = tmp_path / "run"
    more = ["--trainer.max_steps=1", "--model.moco.momentum=0.5"]
    assert main(fit_words(tiny_corpus, tmp_path / "first", *more[:1], encoder="S3D")) == 0
    assert main(fit_words(tiny_corpus, run, *weights, *more, losses="binary_con")) == 0
    start.unlink()
    checkpoint = run / "checkpoints/last.ckpt"
    detector = Detector.load_from_checkpoint(checkpoint, weights_only=True)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert detector.contrasts
    for name, value in detector.state_dict().items():
        assert torch.equal(value, saved[name]), name


@pytest.mark.slow
def test_a_store_of_crops_takes_the_place_of_the_corpus(
    tiny_corpus: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--detector=center", "--codec=raw", "--workers=1"]
    for name, size in (("store", 32), ("smaller", 24)):
        words = ["prepare", str(tiny_corpus), f"--out={tmp_path / name}", f"--size={size}"]
        assert main([*words, *options]) == 0
    run = tmp_path / "run"
    assert main(fit_words(tmp_path / "store", run, losses="binary_ce")) == 0
    checkpoint, more = f"--ckpt_path={run}/checkpoints/last.ckpt", SMALL[3:4]
    assert main(["test", checkpoint, *more]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["corpus"]["root"] == str(tmp_path / "store")
    assert results["counts"]["test"] == {"real": 2, "fake": 8}

    out = f"--trainer.default_root_dir={tmp_path / 'other'}"
    smaller = ["test", f"--data.root={tmp_path / 'smaller'}", checkpoint, out, *more]
    assert "size is 32 there and 24 here" in error_of(smaller, capsys)
    assert main([*smaller, "--data.allow_other_crops=true"]) == 0
    frames = ["test", f"--data.root={tiny_corpus}", checkpoint, out, *more]
    assert "trained on face crops, but --data.root holds frames" in error_of(frames, capsys)
    whole = f"--ckpt_path={trained}/checkpoints/last.ckpt"
    crops = ["test", f"--data.root={tmp_path / 'store'}", whole, out, *more]
    assert "trained on whole frames, but --data.root holds face crops" in error_of(crops, capsys)


@pytest.mark.slow
def test_the_real_sample(tmp_path: Path) -> None:
    root, run = shared_path("ffpp_sample"), tmp_path / "run"
    words = ["--data.on_missing=skip", "--data.batch_size=2"]
    assert main(fit_words(root, run, *words, held_out="NeuralTextures")) == 0
    assert main(["test", f"--ckpt_path={run}/checkpoints/best.ckpt", *SMALL[3:4]]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["figures"]["held_out"]["real"] == results["figures"]["held_out"]["fake"] == 1
    assert results["figures"]["seen"]["auc"] is None
    assert len((run / "predictions.csv").read_text().splitlines()) == 3


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--version"], ["fit", "--help"], ["demo", "--help"]):
        with pytest.raises(SystemExit) as status:
            main(words)
        assert status.value.code == 0
    printed = capsys.readouterr().out
    assert "synthesize" in printed
    assert "--data.held_out" in printed


@pytest.mark.slow
def test_two_ranks_train_and_score_as_one(tiny_corpus: Path, trained: Path, tmp_path: Path) -> None:
    two = ["--trainer.devices=2", "--trainer.strategy=ddp"]
    command = [sys.executable, "-m", "deepfake_mtl"]
    words = fit_words(tiny_corpus, tmp_path / "fit", "--data.batch_size=2", *two)
    done = subprocess.run([*command, *words], check=True, stderr=subprocess.PIPE, text=True)
    assert "batches of 2 clips on each of 2 devices, 4 together" in done.stderr
    files = [path.name for path in (tmp_path / "fit").rglob("*.ckpt")]
    assert sorted(files) == ["best.ckpt", "last.ckpt"]

    # Ten videos, two clips each, batches of three: the ranks' last batches are uneven.
    words = [
        "test",
        f"--ckpt_path={trained}/checkpoints/last.ckpt",
        "--data.batch_size=3",
        *SMALL[3:4],
    ]
    tables = []
    for name in ("one", "two"):
        out = f"--trainer.default_root_dir={tmp_path / name}"
        here = [*words, out, "--trainer.accelerator=cpu"]
        if name == "one":
            assert main(here) == 0
        else:
            subprocess.run([*command, *here, *two], check=True)
        with (tmp_path / name / "predictions.csv").open() as file:
            tables.append(list(csv.DictReader(file)))
    assert [row["key"] for row in tables[0]] == [row["key"] for row in tables[1]]
    for one, both in zip(*tables, strict=True):
        assert one["clips"] == both["clips"] == "2"
        assert float(one["score"]) == pytest.approx(float(both["score"]), abs=1e-5)


def test_where_a_training_began_is_no_configuration(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, tiny = tmp_path / "run", ["--model.encoder=tests.worlds.TinyEncoder"]
    assert main(fit_words(tiny_corpus, run, *tiny)) == 0
    again = [*tiny, "--ckpt_path=last", "--trainer.max_epochs=2"]
    assert main(fit_words(tiny_corpus, run, *again)) == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["ckpt_path"] is None
    assert config["trainer"]["max_epochs"] == 2
    # As versions before wrote it.
    config["ckpt_path"] = str(run / "checkpoints" / "last.ckpt")
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(config))
    words = ["fit", f"--config={tmp_path / 'old.yaml'}", f"--trainer.default_root_dir={run}2"]
    assert "ckpt_path stands in a configuration file" in error_of(words, capsys)


def test_a_run_folder_is_of_one_training_at_a_time(
    tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, tiny = tmp_path / "run", "--model.encoder=tests.worlds.TinyEncoder"
    (run / "checkpoints").mkdir(parents=True)
    with FileLock(run / "checkpoints" / ".training"):
        message = error_of(fit_words(tiny_corpus, run, tiny), capsys)
        assert "another training is writing to this folder" in message
        assert {path.name for path in run.rglob("*")} <= {"checkpoints", ".training"}
    # Also after one that ended in an error, in the same process.
    assert "set --data.batch_size" in error_of(
        fit_words(tiny_corpus, run, tiny, "--data.batch_size=99"), capsys
    )
    assert main(fit_words(tiny_corpus, run, tiny)) == 0


@pytest.mark.parametrize("name", ["train", "val", "test", "predict"])
@pytest.mark.parametrize(("text", "expected"), [("1", 1), ("1.0", 1.0), ("3", 3), ("0.5", 0.5)])
def test_one_batch_is_not_all_of_them(name: str, text: str, expected: float) -> None:
    option = f"limit_{name}_batches"
    words = ["--data.root=x", "--data.held_out=FaceSwap", f"--trainer.{option}={text}"]
    value = resolve_config(words)["trainer"][option]
    assert value == expected
    assert type(value) is type(expected)
