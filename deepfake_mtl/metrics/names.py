"""How the names of predictors are made; for code that needs no tensors."""

from typing import Final

NEIGHBOURS: Final = "_neighbours"
"""What the name of a predictor ends with that is a vote of the nearest keys.

See `deepfake_mtl.metrics.neighbours.neighbour_vote`.
"""
