"""Which code made a model: the installed version, and the commit where there is a checkout."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path


def code_version() -> str:
    """Return the version, in a checkout with the commit: ``0.1.0+g3f2a91c``, and ``.dirty`` if changed."""
    try:
        version = metadata.version("backchat")
    except metadata.PackageNotFoundError:
        version = "0"
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return version
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=.dirty"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+g{described}"
