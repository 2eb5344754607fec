"""What stands between the features of the encoder and a loss."""

from torch import nn


class MLPHead(nn.Sequential):
    """Three linear layers with ReLU between them, as the paper has for each task.

    Turns features (B x in_features) into outputs (B x out_features). The paper does not state the
    width of the hidden layers: an assumption.

    Features behind a ReLU share a large mean. Along it the equally long steps of Adam add up in
    every unit, so that a head that finds nothing to learn yet, on an encoder from scratch, can
    switch all its units off within some hundred steps: give heads a smaller learning rate there.

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
