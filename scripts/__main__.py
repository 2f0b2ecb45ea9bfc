"""``python -m scripts`` is ``backchat``."""

from scripts.cli import main

main()
