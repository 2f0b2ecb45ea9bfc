"""The few things that training on several processes needs, all of which are no-ops on one.

Started by ``torchrun``: gloo on CPUs, nccl on GPUs. Gradients are summed and divided by the tokens of the
whole update, so the number of processes changes the result only by rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


class ProcessGroup:
    """This process's place among those that train together."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._owned = "RANK" in os.environ and not dist.is_initialized()
        if self._owned:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum_gradients(self, parameters: Iterable[Tensor], *counts: float) -> list[float]:
        """Sum gradients in place over all processes, and return the sums of ``counts``."""
        if self.world_size == 1:
            return list(counts)
        parameters = list(parameters)
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        scalars = torch.tensor(counts, dtype=torch.float32, device=self.device)
        flat = torch.cat([gradient.flatten() for gradient in gradients] + [scalars])
        dist.all_reduce(flat)
        start = 0
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = flat[start : start + gradient.numel()].view_as(gradient)
            start += gradient.numel()
        return [float(value) for value in flat[start:]]

    def agree(self, *values: float) -> list[float]:
        """Return the first process's ``values`` everywhere: clocks and signals differ between processes."""
        if self.world_size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return [float(value) for value in shared]

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Let the first process through alone, so that the others find what it leaves in a cache."""
        if not self.is_first:
            self.agree(0)
        yield
        if self.is_first:
            self.agree(0)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return every process's ``tensor``, all of one shape, by rank."""
        if self.world_size == 1:
            return [tensor]
        local = tensor.to(self.device)
        gathered = [torch.empty_like(local) for _ in range(self.world_size)]
        dist.all_gather(gathered, local)
        return [part.to(tensor.device) for part in gathered]

    def close(self) -> None:
        if self._owned:
            dist.destroy_process_group()
