import subprocess
import sys

import pytest
import torch
from torchvision.models.video import s3d

from deepfake_mtl.models import S3D, MLPHead


@pytest.fixture(scope="module")
def encoder() -> S3D:
    torch.manual_seed(0)
    return S3D().eval()


@pytest.mark.parametrize("shape", [(8, 32, 32), (9, 33, 47), (16, 64, 64)])
def test_any_clip_of_eight_frames_and_32_pixels(encoder: S3D, shape: tuple[int, int, int]) -> None:
    features = encoder(torch.randint(256, (2, 3, *shape), dtype=torch.uint8))
    assert features.shape == (2, encoder.feature_dim) == (2, 1024)
    assert features.isfinite().all()


def test_equals_torchvision_in_outputs_and_gradients() -> None:
    torch.manual_seed(0)
    ours = S3D(norm_eps=1e-3, norm_momentum=1e-3).double()
    theirs = s3d(weights=None).double()
    theirs.features.load_state_dict(ours.features.state_dict())
    clip = torch.rand(2, 3, 16, 64, 64, dtype=torch.float64)

    features = ours(clip)
    expected = theirs.features(ours.normalize(clip)).mean(dim=(2, 3, 4))
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-9 * expected.norm().item())

    probe = torch.randn_like(features)
    (features * probe).sum().backward()
    (expected * probe).sum().backward()
    for mine, other in zip(ours.features.parameters(), theirs.features.parameters(), strict=True):
        assert (mine.grad - other.grad).norm() <= 1e-9 * max(other.grad.norm().item(), 1e-12)


def test_uint8_and_unit_interval_are_the_same_clip(encoder: S3D) -> None:
    clip = torch.randint(256, (1, 3, 8, 32, 32), dtype=torch.uint8)
    torch.testing.assert_close(encoder(clip), encoder(clip.float() / 255))
    # Channels are normalised one by one, in the order RGB.
    grey = torch.full((1, 3, 8, 32, 32), 255, dtype=torch.uint8)
    normal = encoder.normalize(grey)[0, :, 0, 0, 0]
    torch.testing.assert_close(normal, torch.tensor([2.2489083, 2.4285715, 2.64]))


@pytest.mark.parametrize(
    "shape", [(2, 3, 7, 32, 32), (2, 3, 8, 31, 32), (2, 1, 8, 32, 32), (3, 8, 32, 32)]
)
def test_other_clips_are_refused(encoder: S3D, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least 8 frames and 32 x 32|B x 3 x T x H x W"):
        encoder(torch.zeros(shape))


def test_an_empty_batch_has_no_features(encoder: S3D) -> None:
    assert encoder(torch.zeros((0, 3, 8, 32, 32), dtype=torch.uint8)).shape == (0, 1024)


def test_norm_settings_reach_every_layer() -> None:
    norms = [m for m in S3D(1e-3, 0.05).modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert len(norms) > 50
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.05)}


def test_the_head_has_three_linear_layers() -> None:
    head = MLPHead(6, 5, hidden_features=4)
    layers = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
    assert [(x.in_features, x.out_features) for x in layers] == [(6, 4), (4, 4), (4, 5)]
    assert head(torch.zeros(2, 6)).shape == (2, 5)


def test_models_need_torch_and_torchvision_alone() -> None:
    code = (
        "import sys\n"
        "blocked = ('pytorch_lightning', 'lightning', 'torchmetrics', 'jsonargparse', 'av', 'cv2',"
        " 'albumentations', 'matplotlib', 'jinja2', 'tensorboard', 'tqdm')\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked: raise ImportError(name)\n"
        "import torch, torchvision\n"
        "sys.meta_path.insert(0, Block())\n"
        "import deepfake_mtl.models\n"
        "deepfake_mtl.models.S3D()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
