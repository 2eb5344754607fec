"""Names of the files of a test."""

from typing import Final

RESULTS: Final = "results.json"
"""What a test found."""

PREDICTIONS: Final = "predictions.csv"
"""The score of each video of a test."""

PAGE: Final = "results.html"
"""What a test found, as a page."""

FEATURES: Final = "features.npz"
"""Features of the test videos."""
