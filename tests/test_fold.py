"""The fold is held once: what is reported as unseen was not learnt, whoever put the parts together.

The truth is what the batches of the training held.
"""

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

from deepfake_mtl.data.datamodule import DeepfakeDataModule
from deepfake_mtl.data.protocol import DATA_STATE, data_state
from deepfake_mtl.data.records import MANIPULATION_CLASSES, MANIPULATIONS
from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.inference.loading import load_detector
from tests.worlds import TinyEncoder, loader, trainer


class Renamed(DeepfakeDataModule):
    """A user's own."""


class Forgetful(DeepfakeDataModule):
    """A user's own, with a state of its own."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


class Detected(Detector):
    """Likewise."""


class Careless(Detected):
    """Likewise, with hooks that call none of those that they replace."""

    def setup(self, stage: str) -> None:
        pass

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        pass

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        pass


class Own(pl.LightningModule):
    """A user's own, which knows nothing of folds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.layer(clip.float().mean(dim=(2, 3, 4)))

    def training_step(self, batch: Any, _: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self(batch["clip"]), batch["is_fake"])

    def validation_step(self, batch: Any, _: int) -> None:
        self(batch["clip"])

    test_step = validation_step

    def predict_step(self, batch: Any, _: int) -> torch.Tensor:
        return self(batch["clip"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Learnt(pl.Callback):
    """Names of the manipulations that were trained on."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def on_train_batch_start(self, _: pl.Trainer, __: Any, batch: Any, ___: int) -> None:
        self.names |= {MANIPULATION_CLASSES[label] for label in batch["manipulation"].tolist()}


def data(
    root: Path, held_out: str | list[str] | None, kind: type[DeepfakeDataModule] = Renamed
) -> DeepfakeDataModule:
    return kind(
        str(root), held_out, size=16, clip_length=4, batch_size=4, num_workers=0,
        eval_clips_per_video=1,
    )  # fmt: skip


def detector(held_out: str | list[str] | None = None) -> Detector:
    torch.manual_seed(0)
    return Detected(TinyEncoder(), held_out=held_out)


def fit(
    model: Detector, source: DeepfakeDataModule, folder: Path, **options: Any
) -> tuple[Path, set[str]]:
    learnt = Learnt()
    run = trainer(folder, callbacks=[learnt])
    run._loggers = [CSVLogger(folder)]  # for which Lightning compares the records of both
    run.fit(model, source, **options)
    run.save_checkpoint(folder / "trained.ckpt")
    return folder / "trained.ckpt", learnt.names - {"original"}


def as_before(path: Path, name: str = "Renamed") -> Path:
    """What versions before kept: the state under the name of the datamodule's class."""
    content = torch.load(path, weights_only=True)
    content[name] = content.pop(DATA_STATE)
    torch.save(content, path.with_name("before.ckpt"))
    return path.with_name("before.ckpt")


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("held_out", ["Deepfakes", ["FaceSwap", "NeuralTextures"], None, "none"])
def test_a_detector_takes_the_fold_of_its_data(
    held_out: str | list[str] | None, told: bool, tiny_corpus: Path, tmp_path: Path
) -> None:
    model, source = detector(held_out if told else None), data(tiny_corpus, held_out)
    path, learnt = fit(model, source, tmp_path)
    assert set(model.held_out) == set(MANIPULATIONS) - learnt
    trainer(tmp_path).test(model, source, verbose=False)
    # Nor does a copy of it forget.
    again = Detected.load_from_checkpoint(path, encoder=TinyEncoder())
    assert again.held_out == model.held_out
    other = data(tiny_corpus, "Face2Face", DeepfakeDataModule)
    with pytest.raises(ConfigurationError, match="and its data Face2Face"):
        trainer(tmp_path).test(again, other, verbose=False)


@pytest.mark.parametrize("told", ["NeuralTextures", "none", ["Deepfakes", "FaceSwap"]])
def test_a_detector_that_was_told_otherwise_is_refused(
    told: str | list[str], tiny_corpus: Path, tmp_path: Path
) -> None:
    source = data(tiny_corpus, "Deepfakes")
    for use in ("fit", "validate", "test", "predict"):
        with pytest.raises(ConfigurationError, match=r"holds out .*, and its data Deepfakes"):
            getattr(trainer(tmp_path), use)(detector(told), datamodule=source)


def test_a_second_fold_needs_a_second_detector(tiny_corpus: Path, tmp_path: Path) -> None:
    model = detector()
    fit(model, data(tiny_corpus, "Deepfakes"), tmp_path)
    with pytest.raises(ConfigurationError, match="a detector of its own"):
        fit(model, data(tiny_corpus, "FaceSwap"), tmp_path)


@pytest.mark.parametrize("before", [False, True], ids=["now", "before"])
@pytest.mark.parametrize("kind", [DeepfakeDataModule, Renamed])
@pytest.mark.parametrize("use", ["fit", "validate", "test", "predict"])
def test_a_checkpoint_knows_its_fold_whatever_classes_are_called(
    use: str, kind: type[DeepfakeDataModule], before: bool, tiny_corpus: Path, tmp_path: Path
) -> None:
    path, _ = fit(detector(), data(tiny_corpus, "Deepfakes"), tmp_path)
    path = as_before(path) if before else path
    wrong, right = data(tiny_corpus, "FaceSwap", kind), data(tiny_corpus, "Deepfakes", kind)
    with pytest.raises(CheckpointError, match="trained with Deepfakes held out"):
        getattr(trainer(tmp_path), use)(detector(), datamodule=wrong, ckpt_path=path)
    right.splits = "random"
    with pytest.raises(CheckpointError, match="other lists of identities"):
        # Predictions ask for no lists.
        getattr(trainer(tmp_path), "test" if use == "predict" else use)(
            detector(), datamodule=right, ckpt_path=path
        )
    right = data(tiny_corpus, "Deepfakes", kind)
    getattr(trainer(tmp_path), use)(detector(), datamodule=right, ckpt_path=path)


@pytest.mark.parametrize("weights_only", [False, True], ids=["whole", "weights"])
@pytest.mark.parametrize("kind", [DeepfakeDataModule, Renamed, Forgetful])
def test_data_is_compared_whatever_module_it_feeds(
    kind: type[DeepfakeDataModule], weights_only: bool, tiny_corpus: Path, tmp_path: Path
) -> None:
    run, path = trainer(tmp_path), tmp_path / "own.ckpt"
    run.fit(Own(), data(tiny_corpus, "Deepfakes", DeepfakeDataModule))
    run.save_checkpoint(path, weights_only)
    for use in ("validate", "test", "predict") if weights_only else ("fit", "test"):
        wrong, right = data(tiny_corpus, "FaceSwap", kind), data(tiny_corpus, "Deepfakes", kind)
        with pytest.raises(CheckpointError, match=r'trained with .* Give `held_out="Deepfakes"`'):
            getattr(trainer(tmp_path), use)(Own(), datamodule=wrong, ckpt_path=path)
        getattr(trainer(tmp_path), use)(Own(), datamodule=right, ckpt_path=path)


def test_hooks_of_ones_own_lose_no_fold(tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="and its data Deepfakes"):
        trainer(tmp_path).fit(
            Careless(TinyEncoder(), held_out="FaceSwap"), data(tiny_corpus, "Deepfakes")
        )
    run, path = trainer(tmp_path), tmp_path / "careless.ckpt"
    run.fit(Careless(TinyEncoder()), data(tiny_corpus, "Deepfakes"))
    run.save_checkpoint(path)
    for use in ("fit", "test"):
        with pytest.raises(CheckpointError, match="trained with Deepfakes held out"):
            getattr(trainer(tmp_path), use)(
                Careless(TinyEncoder()),
                datamodule=data(tiny_corpus, "FaceSwap", DeepfakeDataModule),
                ckpt_path=path,
            )
    again = Careless(TinyEncoder())
    trainer(tmp_path).test(again, data(tiny_corpus, "Deepfakes"), ckpt_path=path, verbose=False)
    assert again.held_out == ("Deepfakes",)
    assert again.test_metrics is not None
    assert again.test_metrics["recall"]["Deepfakes"]["held_out"]


def test_a_checkpoint_keeps_the_fold_though_a_datamodule_keeps_nothing(
    tiny_corpus: Path, tmp_path: Path
) -> None:
    path, _ = fit(detector(), data(tiny_corpus, "Deepfakes", Forgetful), tmp_path)
    for kind in (Forgetful, Renamed):
        with pytest.raises(CheckpointError, match="trained with Deepfakes held out"):
            trainer(tmp_path).test(detector(), data(tiny_corpus, "FaceSwap", kind), ckpt_path=path)


def test_a_checkpoint_that_cannot_be_compared_is_said(
    tiny_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run, path = trainer(tmp_path), tmp_path / "own.ckpt"
    run.fit(Own(), data(tiny_corpus, "Deepfakes", DeepfakeDataModule))
    run.save_checkpoint(path, weights_only=True)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "of the user": Path()}, path)
    run.test(Own(), data(tiny_corpus, "FaceSwap"), ckpt_path=path, weights_only=False)
    assert "is not compared" in caplog.text


def test_what_is_given_to_load_a_checkpoint_is_compared(tiny_corpus: Path, tmp_path: Path) -> None:
    path, _ = fit(detector(), data(tiny_corpus, "Deepfakes"), tmp_path)
    for each in (path, as_before(path)):
        with pytest.raises(CheckpointError, match="trained with Deepfakes held out"):
            Detector.load_from_checkpoint(each, encoder=TinyEncoder(), held_out="FaceSwap")
    content = torch.load(path, weights_only=True)
    assert data_state(content) == data_state(torch.load(as_before(path), weights_only=True))
    assert content["hyper_parameters"]["held_out"] == "Deepfakes"
    with pytest.raises(CheckpointError, match="put together in Python"):
        load_detector(as_before(path))  # its data is found


def test_with_loaders_alone_the_word_of_the_detector_counts(tmp_path: Path) -> None:
    seen, unseen = loader([0, 1, 0, 2]), loader([0, 1, 0, 3])
    model = detector("FaceSwap")
    run = trainer(tmp_path)
    run.fit(model, seen, seen)
    run.test(model, unseen, verbose=False)
    run.save_checkpoint(tmp_path / "loaders.ckpt")
    with pytest.raises(CheckpointError, match="trained with FaceSwap held out"):
        trainer(tmp_path).test(
            detector("Deepfakes"), unseen, ckpt_path=tmp_path / "loaders.ckpt", verbose=False
        )
    for loaders in ((unseen, seen), (seen, unseen)):
        with pytest.raises(ConfigurationError, match="loaders hold FaceSwap"):
            trainer(tmp_path).fit(detector("FaceSwap"), *loaders)


def test_ranks_are_equal_where_the_library_makes_the_batches() -> None:
    class Own(DeepfakeDataModule):
        def train_dataloader(self) -> Any:
            return loader([0, 1])

    assert Renamed("none", "FaceSwap").equal_ranks
    assert not Own("none", "FaceSwap").equal_ranks
