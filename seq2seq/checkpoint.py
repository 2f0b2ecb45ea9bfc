"""The resumable state of a run, in one safetensors file that is replaced in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from seq2seq.errors import TrainingError


@dataclass
class Progress:
    """Where a run stands: everything but tensors that the next update depends on."""

    update: int = 0
    epoch: int = 0
    update_in_epoch: int = 0
    elapsed_s: float = 0.0
    target_tokens: int = 0
    source_tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    next_validation: int = 1
    best_nll: float = float("inf")
    validations_without_gain: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file beside ``path``, sync it, and move it there: whole, or not at all."""
    blob = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, dict(metadata or {}))
    temporary = path.with_name(path.name + ".writing")
    with temporary.open("wb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what ``write_tensors`` wrote.

    Raises:
        TrainingError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path}: not a readable checkpoint ({error}); start the run anew") from error


def save_checkpoint(
    path: Path,
    progress: Progress,
    settings: Mapping[str, object],
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generators: list[Tensor],
) -> None:
    """Write all that makes the rest of the run what it would have been.

    Args:
        settings: what must be the same on resuming; compared key by key.
        average: the running average of the weights, with its count.
        generators: state of the device's random generator in each process, by rank.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"average.{name}": tensor for name, tensor in average.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{name}:{key}"] = value
    tensors |= {f"generator.{rank}": state for rank, state in enumerate(generators)}
    write_tensors(path, tensors, {"progress": json.dumps(asdict(progress)), "settings": json.dumps(settings)})


def load_checkpoint(
    path: Path,
    settings: Mapping[str, object],
    model: torch.nn.Module,
    average: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    rank: int,
) -> tuple[Progress, Tensor]:
    """Put a checkpoint's tensors back in place.

    Returns:
        The run's progress, and the state of this process's random generator.

    Raises:
        TrainingError: the file is damaged, or a setting differs from the run's own.
    """
    tensors, metadata = read_tensors(path)
    try:
        stored = json.loads(metadata["settings"])
        for key, value in settings.items():
            if stored.get(key) != value:
                raise TrainingError(
                    f"{path}: the run was made with {key} = {stored.get(key)!r}, now it is {value!r}; "
                    "a run goes on only as it began"
                )
        model.load_state_dict(_under("model.", tensors))
        average.load_state_dict(_under("average.", tensors))
        states = _under("optimizer.", tensors)
        for name, parameter in model.named_parameters():
            state = optimizer.state[parameter]
            for key in [k for k in states if k.startswith(f"{name}:")]:
                state[key.removeprefix(f"{name}:")] = states[key].to(parameter.device)
        return Progress(**json.loads(metadata["progress"])), tensors[f"generator.{rank}"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{path}: not a checkpoint of this run ({error})") from error


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
