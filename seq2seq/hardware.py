"""What training asks of the machine: the device, its number format, its random generator, its allocator."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from seq2seq.errors import TrainingError


def choose_device(wish: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises:
        TrainingError: ``cuda`` is wished for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise TrainingError("--device cuda: torch finds no CUDA device here; use --device cpu or auto")
    if wish == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Say whether to compute in bfloat16: where it is asked for, or by itself where the processor has it."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # since torch 2.9
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def generator_state(device: torch.device) -> Tensor:
    """Return the state of the random generator that dropout draws from: ByteTensor."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_generator_state(device: torch.device, state: Tensor) -> None:
    """Put back what ``generator_state`` returned."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


@contextmanager
def tuned_for_training() -> Iterator[None]:
    """Let fp32 products use the faster kernels, and keep glibc from returning big blocks at every step.

    Batches have thousands of shapes, and oneDNN keeps what it compiled for a thousand of them: about a megabyte each
    of a recurrent layer. Compiling anew takes half a millisecond, so it may keep fewer.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")  # read when the first kernel is made
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    _keep_large_blocks()
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def return_free_memory() -> None:
    """Give what the allocator holds between its blocks back to the system: 70 ms, and half of what a process holds
    after a hundred batches of different shapes."""
    if _glibc() is not None:
        _glibc().malloc_trim(0)


def _keep_large_blocks() -> None:
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    if _glibc() is not None:
        _glibc().mallopt(mmap_threshold, 1 << 30)
        _glibc().mallopt(trim_threshold, 1 << 30)


@cache
def _glibc() -> Any:
    """Return the C library where it is GNU's, else None."""
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError, TypeError):
        return None
