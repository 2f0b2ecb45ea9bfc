"""The kinds of exchanges that a review shows; apart, since a command line names them before anything is loaded."""

from __future__ import annotations

from enum import StrEnum


class Which(StrEnum):
    """Which exchanges are shown: all; those that are out and not decided; those learned; those that are not."""

    ALL = "all"
    WAITING = "waiting"
    IN = "in"
    OUT = "out"
