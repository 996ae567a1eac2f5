"""How training and conversion fail."""


class TrainingError(Exception):
    """Base of all errors of this package."""


class TrainingDataError(TrainingError, ValueError):
    """Histories that cannot train a model; says which site or file and what is missing."""


class ConversionError(TrainingError):
    """A model cannot be brought into its shipped form. The message says why and what to do."""


class ParityError(TrainingError):
    """The shipped form does not answer like the trained model: it must not be released."""
