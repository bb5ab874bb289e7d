"""Saves and loads the state of a training run.

Batches depend on the seed and the step alone (see `material.sampler`), so the step number is the
whole random state of the data; the state of torch's generator is saved as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vsrpp_cli.checkpoints.load import to_metadata
from vsrpp_cli.errors import ResumeRefusedError
from vsrpp_cli.network.basicvsrpp import BasicVSRPP

STATE_VERSION = 1


class Average:
    """An exponential moving average of parameters; its decay grows from 0 to the full value."""

    def __init__(self, network: BasicVSRPP, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    def update(self, network: BasicVSRPP) -> None:
        """Update the average with the network's parameters."""
        self.steps += 1
        share = 1 - min(self.decay, self.steps / (self.steps + 10))
        current = dict(network.named_parameters())
        torch._foreach_lerp_(
            list(self.weights.values()), [current[name].detach() for name in self.weights], share
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what must be saved."""
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.steps = int(state["steps"])
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a state; an interruption leaves the previous file intact."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        torch.save({"version": STATE_VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.chmod(0o644)
    temporary.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        ResumeRefusedError: the file is damaged or of another version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ResumeRefusedError(
            f"cannot go on from {path}: {error.__class__.__name__}; `restart=True` begins anew"
        ) from error
    if state.get("version") != STATE_VERSION:
        raise ResumeRefusedError(
            f"{path} was written by another version; `restart=True` begins anew"
        )
    return state


def export(path: Path, network: BasicVSRPP, weights: dict[str, Tensor]) -> None:
    """Write a network's checkpoint with other parameters instead of its own, atomically.

    Args:
        path: a `.safetensors` file; it can be given as a model.
        network: has the configuration and the buffers.
        weights: parameters by name.
    """
    whole = {**network.state_dict(), **weights}
    tensors = {name: value.detach().float().contiguous().cpu() for name, value in whole.items()}
    temporary = path.with_name(path.name + ".part")
    save_file(tensors, temporary, metadata=to_metadata(network.config))
    temporary.chmod(0o644)
    temporary.replace(path)
