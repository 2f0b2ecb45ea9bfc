"""What all tests share: one thread for torch, so that small models do not wait for each other's threads; and times
as python-telegram-bot will give them from its next version on."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("PTB_TIMEDELTA", "true")
