"""What all tests share: one thread for torch, so that small models do not wait for each other's threads; and times
as python-telegram-bot will give them from its next version on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.postgres import postgres_server, postgres_url

if TYPE_CHECKING:
    from tests.builders import PublishedModel

__all__ = ["postgres_server", "postgres_url", "published"]  # fixtures

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PTB_TIMEDELTA", "true")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> PublishedModel:
    """Return one tiny published model; whoever damages files takes a copy."""
    from tests.builders import publish_tiny

    return publish_tiny(tmp_path_factory.mktemp("published"))
