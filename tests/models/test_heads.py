import torch
from torch import nn
from torch.nn import functional

from deepfake_mtl.models import MLPHead


def features(clips: int) -> torch.Tensor:
    """What an encoder from scratch gives: clips differ by less than the mean that they share."""
    return 1 + 0.3 * torch.randn(clips, 1024)


def test_a_head_with_nothing_to_learn_stays_alive() -> None:
    torch.manual_seed(0)
    head = MLPHead(1024, 2)
    optimizer = torch.optim.Adam(head.parameters(), 1e-3)
    for _ in range(200):
        loss = functional.cross_entropy(head(features(16)), torch.randint(2, (16,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hidden = nn.Sequential(*list(head)[:3])(features(64))
    assert (hidden.amax(dim=0) > 0).float().mean() > 0.9
    assert head(features(64)).std(dim=0).min() > 1e-3
