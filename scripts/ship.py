"""Put a published model among those that ship with the project: ``python -m scripts.ship MODEL NAME``.

For those who keep this repository; a model that is there already is replaced.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bot.assembly import open_registry
from bot.settings import load_settings, set_values
from seq2seq.model_files import FILES, load_model_dir, remove_model_dir, write_model_dir
from seq2seq.registry import SHIPPED_DIR


def ship(source: Path, name: str) -> Path:
    """Copy a model directory to ``seq2seq/pretrained/NAME``, with the decoding settings of ``backchat.toml``.

    Raises:
        ModelFilesError: the model is damaged.
    """
    model = load_model_dir(source, verify_digests=True)
    decoding = model.decoding.with_changes(**set_values(load_settings().decoding))
    provenance = {key: value for key, value in model.manifest.items() if key not in ("model", "format", "files")}
    target = SHIPPED_DIR / name
    if target.exists():
        remove_model_dir(target)

    def fill(folder: Path) -> None:
        for file in FILES:
            if file != "config.json":
                shutil.copyfile(source / file, folder / file)

    write_model_dir(target, model.config, decoding, {**provenance, "published_as": model.model_id}, fill)
    return target


if __name__ == "__main__":
    print(ship(open_registry(load_settings()).resolve(sys.argv[1]), sys.argv[2]))
