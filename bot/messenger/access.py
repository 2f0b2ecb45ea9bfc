"""Who may talk to the bot, and who commands it: by number, which nobody can choose."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Access:
    """``allowed`` empty lets everybody in. Numbers are of people, or of groups, whose members are then let in."""

    admins: Collection[int] = ()
    allowed: Collection[int] = ()
    blocked: Collection[int] = ()

    def allows(self, user: int, chat: int) -> bool:
        if self.is_admin(user):
            return True
        if self.is_blocked(user, chat):
            return False
        return not self.allowed or user in self.allowed or chat in self.allowed

    def is_blocked(self, user: int, chat: int) -> bool:
        return not self.is_admin(user) and (user in self.blocked or chat in self.blocked)

    def is_admin(self, user: int) -> bool:
        return user in self.admins
