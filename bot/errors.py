"""What can go wrong between a person and the model. Every message says what was found and what to do next."""


class BotError(Exception):
    """Base of every expected failure of this package."""


class SettingsError(BotError):
    """A setting is unknown, or its value is out of range."""


class UpdateError(BotError):
    """What came as an update of the messenger is none."""
