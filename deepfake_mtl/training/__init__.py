"""How a detector is trained and tested: the command line, callbacks and checkpoints."""
