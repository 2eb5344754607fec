"""What stands between the features of the encoder and a loss."""

from torch import nn


class MLPHead(nn.Sequential):
    """Three linear layers with ReLU between them, as the paper has for each task.

    Turns features (B x in_features) into outputs (B x out_features). Each feature vector is first
    brought to mean 0 and deviation 1: behind a ReLU features share a large mean, along which the
    small but equally long steps of Adam add up in every unit, so that within some hundred steps a
    head that finds nothing to learn yet can switch all its units off for good. That, and the width
    of the hidden layers, are assumptions: the paper states neither.

    Args:
        in_features: Length of the features.
        out_features: Number of outputs.
        hidden_features: Width of both hidden layers.
        dropout: Probability of dropout before the last layer.
    """

    def __init__(
        self, in_features: int, out_features: int, hidden_features: int = 512, dropout: float = 0.0
    ) -> None:
        super().__init__(
            nn.LayerNorm(in_features, elementwise_affine=False),
            nn.Linear(in_features, hidden_features),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, out_features),
        )
