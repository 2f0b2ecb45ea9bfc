"""What can go wrong with the memory. Every message says what was found and what to do next."""


class StorageError(Exception):
    """The database cannot be opened, is of another version, did not answer in time, or lacks what was named."""


class LinkCodeError(StorageError):
    """A code that links identities is unknown, used up or has expired."""
