"""What all tests share: one thread for torch, so that small models do not wait for each other's threads."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
