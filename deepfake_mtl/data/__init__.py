"""From a corpus on disk to batches of clips; knows no model."""
