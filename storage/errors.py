"""What can go wrong with the memory. Every message says what was found and what to do next."""


class StorageError(Exception):
    """The database cannot be opened, is of another version, or did not answer in time."""
