"""Put a published model among those that ship with the project: ``python -m scripts.ship MODEL NAME [SHARE]``.

For those who keep this repository; a model that is there already is replaced. With a share, say 0.75, its weights are
left so far of the way from those of the one that is replaced, where the new one was trained on from it: such means
often do better on what both know than either (Wortsman et al. 2022, arXiv:2109.01903).
"""

from __future__ import annotations

import sys
from pathlib import Path

from bot.assembly import open_registry
from bot.settings import load_settings, set_values
from seq2seq.learning.interpolation import between
from seq2seq.model_files import load_model_dir, remove_model_dir, write_model_dir
from seq2seq.publishing import load_model, write_model
from seq2seq.registry import SHIPPED_DIR
from seq2seq.tokenizer import Tokenizer


def ship(source: Path, name: str, share: float = 1.0) -> Path:
    """Write a model to ``seq2seq/pretrained/NAME``, with the decoding settings of ``backchat.toml``.

    Args:
        share: how much the new weights count, in (0, 1]; those that are there count the rest.

    Raises:
        ModelFilesError: the model is damaged.
        ValueError: the share is out of range, or the model that is there has another tokenizer.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    model_dir = load_model_dir(source, verify_digests=True)
    decoding = model_dir.decoding.with_changes(**set_values(load_settings().decoding))
    kept = {key: value for key, value in model_dir.manifest.items() if key not in ("model", "format", "files")}
    model, tokenizer, target = load_model(model_dir), source / "tokenizer.json", SHIPPED_DIR / name
    if share != 1:
        if (target / "tokenizer.json").read_bytes() != tokenizer.read_bytes():
            raise ValueError(f"the tokenizer of {target} is another one: weights of both cannot be mixed")
        before = load_model(load_model_dir(target)).state_dict()
        model.load_state_dict(between(before, model.state_dict(), share))
    if target.exists():
        remove_model_dir(target)
    provenance = {**kept, "published_as": model_dir.model_id, "share": share}
    write_model_dir(
        target,
        model_dir.config,
        decoding,
        provenance,
        lambda folder: write_model(model, Tokenizer.load(tokenizer), folder),
    )
    return target


if __name__ == "__main__":
    print(ship(open_registry(load_settings()).resolve(sys.argv[1]), sys.argv[2], *map(float, sys.argv[3:])))
