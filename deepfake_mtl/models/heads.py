"""What stands between the features of the encoder and a loss."""

from torch import nn


class MLPHead(nn.Sequential):
    """Three linear layers with ReLU between them, as the paper has for each task.

    Turns features (B x in_features) into outputs (B x out_features). The paper does not state the
    width of the hidden layers: an assumption.

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
            nn.Linear(in_features, hidden_features),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_features, hidden_features),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden_features, out_features),
        )
