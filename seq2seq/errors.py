"""What can go wrong in the model's own rooms. Every message says what was found and what to do next."""


class Seq2SeqError(Exception):
    """Base of every expected failure of this package."""


class CorpusError(Seq2SeqError):
    """A corpus is missing, malformed or empty."""


class TokenizerError(Seq2SeqError):
    """A tokenizer file is damaged, or does not belong to the model."""


class TrainingError(Seq2SeqError):
    """A run cannot start, go on or be resumed."""


class ModelFilesError(Seq2SeqError):
    """A model directory is missing, damaged, foreign or newer than this program."""


class RegistryError(Seq2SeqError):
    """A model id cannot be resolved, published, promoted or removed."""


class DecodingError(Seq2SeqError):
    """A decoding setting is out of its range."""


class PersonaError(Seq2SeqError):
    """A persona file is missing or malformed."""


class MissingExtraError(Seq2SeqError):
    """A feature needs an optional dependency that is not installed."""
