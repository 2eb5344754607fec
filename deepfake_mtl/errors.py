"""The errors that users meet: each says what was wrong, where, and what to do next."""


class DeepfakeMTLError(Exception):
    """Base of all errors that this library raises for bad input.

    The command line prints the message without a traceback and exits with status 2.
    """


class CorpusError(DeepfakeMTLError):
    """A corpus on disk is not laid out as expected, or files of it are missing."""


class FileNameError(CorpusError):
    """A file cannot have the name that is asked of it; others in the same folder can."""


class SplitError(DeepfakeMTLError):
    """The lists of identities for train, val and test are missing or contradict each other."""


class VideoError(DeepfakeMTLError):
    """A video cannot be opened or decoded; the message begins with its path."""


class ConfigurationError(DeepfakeMTLError):
    """Options contradict each other or are out of range."""


class CheckpointError(DeepfakeMTLError):
    """A checkpoint is missing, or belongs to another experiment than the one asked for."""


class DivergenceError(DeepfakeMTLError):
    """A training has gone to weights that are not finite, from which it cannot come back."""
