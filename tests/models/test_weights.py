import copy
import hashlib
import json
import logging
import math
import os
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar
from urllib.error import URLError

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchvision.models import GoogLeNet, googlenet, resnet18
from torchvision.models.video import s3d

from deepfake_mtl.detector import Detector
from deepfake_mtl.errors import CheckpointError, ConfigurationError
from deepfake_mtl.models import (
    R3D18,
    S3D,
    Encoder,
    LoadReport,
    MViTv2S,
    R2Plus1D18,
    without_pretrained,
)
from deepfake_mtl.models.checkpoint_files import read_state_dict
from deepfake_mtl.models.coclr import coclr_adapter
from deepfake_mtl.models.inflation import identity_norm
from deepfake_mtl.models.weights import (
    PYTORCH,
    NormSettings,
    Pretrained,
    torchvision_adapter,
)
from tests.conftest import shared_path

LAYOUTS = ("infonce_or_ubernce_pretrain", "coclr_pretrain", "classifier_finetune")
GREY = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
OWN = NormSettings((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), norm_eps=1e-3, norm_momentum=1e-2)
ADAPTER = torchvision_adapter(OWN, prefix="features.", heads=("fc.",))


class Tiny(Encoder):
    pretrained: ClassVar = {
        "kinetics400": Pretrained("https://example.org/t-00000000.pth", ADAPTER)
    }
    adapters = (ADAPTER,)

    def __init__(self, weights: str = "none", strict: bool = True, **norm: float) -> None:
        super().__init__(4)
        self.features = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4))
        self.start_from(weights, strict=strict, **norm)

    def encode(self, clip: Tensor) -> Tensor:
        return self.features(clip).mean(dim=(2, 3, 4))


def foreign_state(seed: int = 0) -> dict[str, Tensor]:
    """The weights of `Tiny` as another program writes them, with a classifier."""
    torch.manual_seed(seed)
    state = {k.removeprefix("features."): v for k, v in Tiny().state_dict().items()}
    del state["_extra_state"]
    state["0.weight"] = torch.randn(4, 3, 1, 1, 1)
    return {**state, "fc.weight": torch.zeros(2, 4)}


def save(content: object, path: Path, **options: bool) -> str:
    torch.save(content, path, **options)
    return str(path)


@pytest.fixture
def foreign(tmp_path: Path) -> str:
    return save(foreign_state(), tmp_path / "foreign.pth")


# --- CoCLR ------------------------------------------------------------------------------------


@cache
def coclr_layouts() -> dict[str, list[tuple[str, list[int], str]]]:
    path = shared_path("reference") / "coclr_layouts.json"
    return json.loads(path.read_text())["layouts"]


@pytest.fixture(scope="module")
def coclr_backbone() -> dict[str, Tensor]:
    """The tensors of CoCLR's S3D under both of their names, in the closed form of the reference."""
    reference = json.loads((shared_path("reference") / "coclr_features.json").read_text())
    rows = [
        (name.removeprefix("backbone."), shape, kind)
        for name, shape, kind in coclr_layouts()["classifier_finetune"]
        if name.startswith("backbone.")
    ]
    tensors = {}
    for i, (name, shape, kind) in enumerate(sorted(r for r in rows if r[0].startswith("block"))):
        count = math.prod(shape)
        x = np.sin(np.arange(1, count + 1) * (0.7 + 0.013 * i)).reshape(shape)
        if name.endswith("num_batches_tracked"):
            x = np.ones_like(x)
        elif name.endswith("running_var"):
            x = 1 + 0.5 * x
        elif name.endswith(("running_mean", "bias")):
            x = 0.1 * x
        elif ".bn" in name:
            x = 1 + 0.2 * x
        else:
            x = x * math.sqrt(4 / math.prod(shape[1:]))
        tensors[name] = torch.from_numpy(x).to(getattr(torch, kind))
    for name, _, _ in rows:
        if name not in tensors:
            stage, _, rest = name.partition(".")
            tensors[name] = tensors[f"{reference['alias'][stage]}.{rest}"]
    return tensors


def coclr_state(layout: str, backbone: dict[str, Tensor]) -> dict[str, Tensor]:
    ours = "backbone." if layout == "classifier_finetune" else "encoder_q.0."
    return {
        name: backbone[name.removeprefix(ours)]
        if name.startswith(ours)
        else torch.zeros((), dtype=getattr(torch, kind)).expand(shape)
        for name, shape, kind in coclr_layouts()[layout]
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_coclr_checkpoints_give_the_features_of_the_coclr_code(
    layout: str, coclr_backbone: dict[str, Tensor], tmp_path: Path
) -> None:
    reference = json.loads((shared_path("reference") / "coclr_features.json").read_text())
    state = coclr_state(layout, coclr_backbone)
    prefix = "module." if layout == "coclr_pretrain" else ""
    checkpoint = {
        "epoch": 3,
        "state_dict": {prefix + name: tensor for name, tensor in state.items()},
        "best_acc": np.float64(0.5) if prefix else np.float32(0.5),
        "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "iteration": 7,
    }
    path = tmp_path / "coclr.pth.tar"
    save(checkpoint, path, _use_new_zipfile_serialization=not prefix)
    if prefix:  # as PyTorch and NumPy wrote it in 2020
        path.write_bytes(
            path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        )
        assert b"numpy.core.multiarray" in path.read_bytes()

    encoder = S3D(weights=str(path)).eval()

    report = encoder.load_report
    assert report is not None
    assert report.loaded.keys() | report.skipped.keys() == state.keys()
    assert not report.loaded.keys() & report.skipped.keys()
    assert report.left == {}
    assert not any("unknown" in why for why in report.skipped.values())
    assert all(name.startswith(("encoder_q.0.", "backbone.")) for name in report.loaded)
    assert encoder.norms == PYTORCH

    j = np.arange(1, 3 * 16 * 64 * 64 + 1)
    clip = torch.from_numpy(1.5 * np.sin(j * 0.0137)).float().view(1, 3, 16, 64, 64)
    with torch.no_grad():
        features = encoder.encode(clip)[0].double()
    expected = torch.tensor(reference["pooled"], dtype=torch.float64)
    assert (features - expected).norm() <= 1e-5 * expected.norm()
    assert (features - expected).abs().max() <= 1e-5 * expected.max()


def test_two_names_of_one_coclr_tensor_must_agree() -> None:
    state = {
        "encoder_q.0.Conv_2b.bn.weight": torch.ones(64),
        "encoder_q.0.block2.1.bn.weight": torch.ones(64),
    }
    assert set(coclr_adapter(state).sources.values()) == {"features.2.1.weight"}
    state["encoder_q.0.block2.1.bn.weight"] = torch.zeros(64)
    with pytest.raises(CheckpointError, match=r"Conv_2b.bn.weight and .*block2.1.bn.weight"):
        coclr_adapter(state)


# --- Files of torchvision and of this library ---------------------------------------------------


def test_torchvision_s3d_brings_its_normalisation_and_batch_norm(tmp_path: Path) -> None:
    theirs = s3d(weights=None, num_classes=2).eval()
    encoder = S3D(weights=save({"model": theirs.state_dict()}, tmp_path / "s3d.pth")).eval()
    assert encoder.norms == NormSettings(
        (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989), 1e-3, 1e-3
    )
    assert encoder.load_report is not None
    assert set(encoder.load_report.skipped) == {"classifier.1.weight", "classifier.1.bias"}
    clip = torch.randint(256, (1, 3, 8, 32, 32), dtype=torch.uint8)
    expected = theirs.features(encoder.normalize(clip)).mean(dim=(2, 3, 4))
    torch.testing.assert_close(encoder(clip), expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_a_detector_brings_its_norm_settings(foreign: str, tmp_path: Path) -> None:
    detector = Detector(encoder=Tiny(weights=foreign, norm_eps=2e-4))
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(detector)
    path = tmp_path / "detector.ckpt"
    trainer.save_checkpoint(path)
    Path(foreign).unlink()
    expected = replace(OWN, norm_eps=2e-4)

    restored = Detector.load_from_checkpoint(path, encoder=Tiny(), weights_only=True)
    started = Tiny(weights=str(path))
    for encoder in (restored.network.encoder, started):
        assert encoder.norms == expected
        assert (encoder.features[1].eps, encoder.features[1].momentum) == (2e-4, 1e-2)
        assert encoder.mean.flatten().tolist() == pytest.approx(OWN.mean)
        assert encoder.std.flatten().tolist() == pytest.approx(OWN.std)
        assert torch.equal(encoder.features[0].weight, detector.network.encoder.features[0].weight)
    assert started.load_report is not None
    assert "network.encoder._extra_state" in started.load_report.loaded
    assert set(started.load_report.skipped.values()) == {"not a part of network.encoder"}
    # What is given wins over what the checkpoint says.
    assert Tiny(weights=str(path), norm_momentum=0.3).features[1].momentum == 0.3


def test_state_dicts_of_encoders_hold_tensors_and_load_with_or_without_norm_settings(
    foreign: str, tmp_path: Path
) -> None:
    encoder = Tiny(weights=foreign)
    state = read_state_dict(Path(save(encoder.state_dict(), tmp_path / "encoder.pth")))
    assert all(isinstance(value, Tensor) for value in state.values())
    for fresh in (Tiny(), copy.deepcopy(Tiny()), pickle.loads(pickle.dumps(Tiny()))):
        fresh.load_state_dict(state)
        assert fresh.norms == OWN
    assert Tiny(weights=str(tmp_path / "encoder.pth")).norms == OWN

    del state["_extra_state"]  # as earlier versions wrote it
    old = nn.ModuleDict({"encoder": Tiny(norm_eps=0.5)})
    old.load_state_dict({f"encoder.{name}": value for name, value in state.items()})
    assert old["encoder"].norms == replace(PYTORCH, norm_eps=0.5)
    with pytest.raises(CheckpointError, match="extra state"):
        fresh.set_extra_state({"mean": 0})


def test_synchronised_batch_norm_follows_too(foreign: str) -> None:
    encoder = nn.SyncBatchNorm.convert_sync_batchnorm(Tiny())
    encoder.load_state_dict(Tiny(weights=foreign).state_dict())
    assert (encoder.features[1].eps, encoder.features[1].momentum) == (1e-3, 1e-2)


# --- What is refused -----------------------------------------------------------------------------


def test_a_partial_checkpoint_needs_strict_to_be_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = foreign_state()
    del state["1.running_mean"], state["1.num_batches_tracked"]
    state["0.bias"] = torch.zeros(5)
    state["9.weight"] = torch.zeros(1)
    path = save(state, tmp_path / "partial.pth")
    message = (
        r"partial.pth: it fits 4 of the 7 tensors of Tiny.*0.bias.*running_mean.*shape is \(5,\)"
    )
    with pytest.raises(CheckpointError, match=message):
        Tiny(weights=path)

    with caplog.at_level(logging.DEBUG, logger="deepfake_mtl.models.load_report"):
        encoder = Tiny(weights=path, strict=False)
    assert encoder.load_report == LoadReport(
        source=path,
        loaded={
            "0.weight": "features.0.weight",
            "1.weight": "features.1.weight",
            "1.bias": "features.1.bias",
            "1.running_var": "features.1.running_var",
        },
        skipped={
            "fc.weight": "the classifier of the other task",
            "9.weight": "Tiny has no such tensor",
            "0.bias": "its shape is (5,), that of Tiny's features.0.bias is (4,)",
        },
        left={
            "features.0.bias": "at random",
            "features.1.running_mean": "at random",
            "features.1.num_batches_tracked": "at zero",
        },
    )
    assert torch.equal(encoder.features[0].weight, state["0.weight"])
    summary = [r.getMessage() for r in caplog.records if r.levelno >= logging.INFO]
    assert summary[0] == f"Tiny: 4 tensors loaded from {path}"
    assert any("fc.weight" in line for line in summary)
    assert any("features.0.bias" in line for line in summary)
    named = " ".join(r.getMessage() for r in caplog.records if r.levelno == logging.DEBUG)
    assert all(name in named for name in (*state, *encoder.load_report.left))


def test_missing_batch_counters_are_no_reason_to_refuse(tmp_path: Path) -> None:
    state = foreign_state()
    del state["1.num_batches_tracked"]
    report = Tiny(weights=save(state, tmp_path / "old.pth")).load_report
    assert report is not None
    assert report.left == {"features.1.num_batches_tracked": "at zero"}


@pytest.mark.parametrize("strict", [True, False])
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, strict: bool) -> None:
    path = save({"state_dict": {"resnet.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"nothing in it fits Tiny: it holds resnet.weight"):
        Tiny(weights=path, strict=strict)


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    victim = tmp_path / "victim"
    path = tmp_path / "evil.pth"
    content = {"state_dict": foreign_state(), "extra": Malicious(victim)}
    save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"posix.mkdir.*refused") as caught:
        Tiny(weights=str(path))
    assert not victim.exists()
    # The remedy is code that works where one trusts the file.
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 2
    monkeypatch.chdir(tmp_path)
    exec("\n".join(line.strip() for line in lines), {"torch": torch})
    assert Tiny(weights="weights.pth").load_report is not None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, I am not a checkpoint",
        b"PK\x03\x04" + b"0" * 50,
        b"\x80\x02}q\x00.",
        b"\0" * 99,
    ],
)
def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"broken.pth (cannot be read|holds a dict)"):
        Tiny(weights=str(path))


@pytest.mark.parametrize("zipped", [True, False])
def test_files_that_were_not_copied_whole_are_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "whole.pth"
    save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 7):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"whole.pth (cannot be read|holds)"):
            read_state_dict(path)


def test_unknown_weights_are_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"no checkpoint file .*none, kinetics400 or the path"
    ):
        Tiny(weights=str(tmp_path / "missing.pth"))
    with pytest.raises(ConfigurationError, match=r"Tiny has no .*'imagenet' .*R3D18, S3D"):
        Tiny(weights="imagenet")
    with pytest.raises(CheckpointError, match="holds a list"):
        Tiny(weights=save([1], tmp_path / "list.pth"))
    for norm in ({"norm_eps": 0.0}, {"norm_momentum": 1.5}, {"norm_momentum": -0.1}):
        with pytest.raises(ConfigurationError, match="norm_eps"):
            Tiny(**norm)


def test_loading_can_be_put_off() -> None:
    with without_pretrained():
        assert Tiny(weights="/no/such/file", norm_eps=0.25).features[1].eps == 0.25
        report = Tiny(weights="kinetics400").load_report
    assert report is not None
    assert report.loaded == {}
    with pytest.raises(CheckpointError):
        Tiny(weights="/no/such/file")


# --- Downloads -----------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


def publish(
    encoder: type[Encoder], name: str, state: object, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Offer a state dict at a file:// address whose name carries its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = folder / "plain.pth"
    torch.save(state, plain)
    path = plain.rename(folder / f"w-{hashlib.sha256(plain.read_bytes()).hexdigest()[:8]}.pth")
    monkeypatch.setitem(
        encoder.pretrained, name, replace(encoder.pretrained[name], url=path.as_uri())
    )
    return path


def test_downloads_go_to_the_cache_and_are_checked(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = publish(Tiny, "kinetics400", foreign_state(), tmp_path / "site", monkeypatch)
    encoder = Tiny(weights="kinetics400")
    assert encoder.norms == OWN
    assert (hub / path.name).is_file()
    assert "100%" in capfd.readouterr().err

    path.write_bytes(b"somebody changed this")
    Tiny(weights="kinetics400")  # out of the cache
    (hub / path.name).write_bytes(b"half a file")
    with pytest.raises(CheckpointError, match=r"is damaged.*Delete it"):
        Tiny(weights="kinetics400")
    (hub / path.name).unlink()
    with pytest.raises(CheckpointError, match=r"another SHA-256 than it should have.*put it at"):
        Tiny(weights="kinetics400")
    assert list(hub.iterdir()) == []


def test_without_a_network_the_error_says_what_to_put_where(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    url = S3D.pretrained["kinetics400"].url
    with pytest.raises(CheckpointError) as caught:
        S3D(weights="kinetics400")
    assert f"get {url} and put it at {hub / Path(url).name}" in str(caught.value)


def test_a_file_put_into_the_cache_by_hand_is_used(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(Tiny, "kinetics400", foreign_state(3), hub, monkeypatch)
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    weight = Tiny(weights="kinetics400").features[0].weight
    assert torch.equal(weight, foreign_state(3)["0.weight"])


@pytest.mark.parametrize("encoder", [S3D, R3D18, R2Plus1D18, MViTv2S])
def test_published_weights_have_a_checksum_and_the_mean_of_their_transforms(
    encoder: type[Encoder],
) -> None:
    for pretrained in encoder.pretrained.values():
        assert re.fullmatch(r"https://\S+-[0-9a-f]{8}\.pth", pretrained.url)
    norms = encoder.pretrained["kinetics400"].adapter({}).norms
    if encoder is MViTv2S:
        assert norms == NormSettings((0.45,) * 3, (0.225,) * 3)
    else:
        assert norms.mean == (0.43216, 0.394666, 0.37645)
        assert norms.std == (0.22803, 0.22145, 0.216989)
        assert norms.norm_eps == (1e-3 if encoder is S3D else 1e-5)


# --- Inflation -----------------------------------------------------------------------------------


def with_statistics(network: nn.Module, images: Tensor) -> None:
    """Give BatchNorm weights as after training, and the statistics of these images."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.5)
    with torch.no_grad():
        network.train()(images)
    network.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    torch.manual_seed(0)
    coarse = torch.rand(4, 3, 9, 9)
    smooth = nn.functional.interpolate(coarse, size=64, mode="bicubic")
    return (smooth * 255).clamp(0, 255).to(torch.uint8)


def imagenet_normal(images: Tensor) -> Tensor:
    mean = torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
    std = torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
    return (images / 255 - mean) / std


@pytest.fixture(scope="module")
def inflated(
    images: Tensor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[S3D, GoogLeNet]]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("torch")
        patch.setenv("TORCH_HOME", str(home))
        network = googlenet(weights=None, init_weights=False, transform_input=True)
        with_statistics(network, imagenet_normal(images))
        publish(S3D, "imagenet", network.state_dict(), home / "hub" / "checkpoints", patch)
        network.aux_logits = False
        network.aux1 = network.aux2 = None
        yield S3D(weights="imagenet").eval(), network


STAGES = {
    "conv1": 0,
    "conv2": 2,
    "conv3": 3,
    **{f"inception3{letter}": 5 + i for i, letter in enumerate("ab")},
    **{f"inception4{letter}": 8 + i for i, letter in enumerate("abcde")},
    **{f"inception5{letter}": 14 + i for i, letter in enumerate("ab")},
}


def stages(network: nn.Module, names: list[str], argument: Tensor) -> list[Tensor]:
    found: dict[str, Tensor] = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output.clone()})
        )
        for name in names
    ]
    with torch.no_grad():
        network(argument)
    for handle in handles:
        handle.remove()
    return [found[name] for name in names]


def with_padded_pools(network: GoogLeNet) -> GoogLeNet:
    network = copy.deepcopy(network)
    for pool in ("maxpool1", "maxpool2", "maxpool3"):
        setattr(network, pool, nn.MaxPool2d(3, stride=2, padding=1))
    return network


def compare_stages(
    encoder: S3D, network: GoogLeNet, images: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    clip = images[:, :, None].expand(-1, -1, 8, -1, -1)
    ours = stages(encoder, [f"features.{index}" for index in STAGES.values()], clip)
    return zip(ours, stages(network, list(STAGES), imagenet_normal(images)), strict=True)


def test_inflated_s3d_is_googlenet_with_padded_pools_on_a_clip_that_stands_still(
    inflated: tuple[S3D, GoogLeNet], images: Tensor
) -> None:
    encoder, network = inflated
    for ours, theirs in compare_stages(encoder, with_padded_pools(network), images):
        for frame in ours.unbind(2):
            torch.testing.assert_close(frame, theirs, rtol=1e-3, atol=1e-4)
    # Before the first pool it is GoogLeNet as it is, on every second frame of any clip.
    clip = torch.randint(256, (1, 3, 8, 64, 64), dtype=torch.uint8)
    ours = encoder.features[0](encoder.normalize(clip))
    (theirs,) = stages(network, ["conv1"], imagenet_normal(clip[0, :, ::2].transpose(0, 1)))
    torch.testing.assert_close(ours[0].transpose(0, 1), theirs, rtol=1e-3, atol=1e-4)


def test_inflated_s3d_stays_near_googlenet_in_training(
    inflated: tuple[S3D, GoogLeNet], images: Tensor
) -> None:
    encoder, network = copy.deepcopy(inflated[0]).train(), with_padded_pools(inflated[1]).train()
    errors = [
        ((ours.mean(2) - theirs).norm() / theirs.norm()).item()
        for ours, theirs in compare_stages(encoder, network, images)
    ]
    # With mean 0 and variance 1 in place of the moments, these are 0.6 and 1.1.
    assert errors[0] < 0.1
    assert errors[-1] < 0.8


def test_the_report_of_an_inflation_names_what_it_made(inflated: tuple[S3D, GoogLeNet]) -> None:
    encoder, _ = inflated
    report = encoder.load_report
    assert report is not None
    assert encoder.norms == NormSettings(*GREY, norm_eps=1e-3, norm_momentum=0.1)
    assert {name.partition(".")[0] for name in report.skipped} == {"aux1", "aux2", "fc"}
    made = {name for name, how in report.left.items() if how == "as the identity over time"}
    assert {report.left[name] for name in report.left.keys() - made} == {"at zero"}
    assert len(made) == 5 * 20  # two convolutions and two in each of nine blocks
    own = encoder.state_dict().keys() - {"_extra_state"}
    assert {*report.loaded.values(), *report.left} == own
    assert not made & set(report.loaded.values())


def test_identity_norm_has_the_moments_of_a_rectified_normal_distribution() -> None:
    weight, bias = torch.tensor([1.0, -0.5, 2.0, 1e-9]), torch.tensor([0.0, 1.0, -1.5, 0.3])
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(400_000, 4, generator=generator, dtype=torch.float64)
    rectified = (draws * weight + bias).relu()
    numbers = identity_norm(weight, bias, eps=1e-3)
    for name, expected in (("running_mean", rectified.mean(0)), ("running_var", rectified.var(0))):
        torch.testing.assert_close(numbers[name].double(), expected, rtol=0.02, atol=1e-3)
    norm = nn.BatchNorm1d(4, eps=1e-3).eval()
    norm.load_state_dict(numbers, strict=False)
    torch.testing.assert_close(norm(rectified.float()), rectified.float(), rtol=0, atol=1e-5)


def test_inflated_r3d_sums_to_resnet_over_time(
    images: Tensor, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = resnet18(weights=None)
    with_statistics(network, imagenet_normal(images))
    publish(R3D18, "imagenet", network.state_dict(), hub, monkeypatch)
    encoder = R3D18(weights="imagenet").eval()

    report = encoder.load_report
    assert report is not None
    assert set(report.skipped) == {"fc.weight", "fc.bias"}
    assert report.left == {}
    assert encoder.norms == PYTORCH
    theirs, ours = network.state_dict(), encoder.state_dict()
    for source, target in report.loaded.items():
        tensor = ours[target].sum(2) if theirs[source].dim() == 4 else ours[target]
        torch.testing.assert_close(tensor, theirs[source])

    clip = images[:, :, None].expand(-1, -1, 8, -1, -1)
    stem = encoder.features.stem(encoder.normalize(clip))
    first = network.bn1(network.conv1(imagenet_normal(images))).relu()
    for frame in stem[:, :, 1:-1].unbind(2):
        torch.testing.assert_close(frame, first, rtol=1e-3, atol=1e-4)
