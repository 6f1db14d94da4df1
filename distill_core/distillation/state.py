"""The state of a distillation between iterations, and its file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from distill_core.tensor_files import write_tensors


class DistillationError(RuntimeError):
    """A distillation cannot start or continue; the message says where and why."""


class CheckpointError(ValueError):
    """A checkpoint is damaged or belongs to another run; the message names the file."""


@dataclass(kw_only=True)
class Curve:
    """Losses over the iterations at which they were recorded."""

    iteration: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    """One list per loss, as long as `iteration`."""

    def append(self, iteration: int, values: dict[str, float]) -> None:
        """Add one record; NaN stands for losses that a record lacks."""
        for name in {*self.values, *values}:
            known = self.values.setdefault(name, [float("nan")] * len(self.iteration))
            known.append(values.get(name, float("nan")))
        self.iteration.append(iteration)


class Way(NamedTuple):
    """How the networks were run from an iteration on. It changes only rounding."""

    iteration: int
    """The first one, 0-based."""
    passes: str
    """Such as "compiled", or "eager" and why."""
    class_chunk: int
    """Classes in memory at once."""


_PARTS = ("source", "moments", "losses")
"""Fields whose tensors have names of their own; in the file, the field comes before the name."""


def _select_part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}."
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


@dataclass(kw_only=True)
class DistillationState:
    """Everything a distillation needs to continue as if it had never stopped."""

    iteration: int
    """Iterations done."""
    images: Tensor
    """(K, M, C, H, W) stored images, normalized."""
    velocity: Tensor
    """Momentum of the pixels, of the same shape."""
    source: dict[str, Tensor] = field(default_factory=dict)
    """State of the matching networks (IDM's queue)."""
    moments: dict[str, Tensor] = field(default_factory=dict)
    """Further moments of the pixels' optimizer, of the images' shape (Adam)."""
    losses: dict[str, Tensor] = field(default_factory=dict)
    """State of the custom losses, by place and name."""
    curve: Curve = field(default_factory=Curve)
    seconds: float = 0.0
    """Time spent so far, including earlier runs."""
    ways: list[Way] = field(default_factory=list)
    """How its networks were run; more than one where an attempt continued another differently. A
    first one after iteration 0 continues a checkpoint that did not say it."""

    @classmethod
    def at_start(cls, images: Tensor) -> "DistillationState":
        """Return the state before the first iteration."""
        return cls(iteration=0, images=images, velocity=torch.zeros_like(images))

    def store_losses(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Keep the state of each custom loss."""
        self.losses = {}
        for place, tensors in enumerate(states):
            self.losses |= {f"{place}.{name}": value for name, value in tensors.items()}

    def select_loss(self, place: int) -> dict[str, Tensor]:
        """Return the state of one custom loss."""
        return _select_part(self.losses, str(place))

    def note_way(self, passes: str, class_chunk: int) -> None:
        """Note how the next iteration is run, where it differs from the one before."""
        if not self.ways or self.ways[-1][1:] != (passes, class_chunk):
            self.ways.append(Way(self.iteration, passes, class_chunk))

    def save(self, path: Path) -> None:
        """Write the state as one safetensors file."""
        record = {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "curve_iteration": self.curve.iteration,
            "curve_values": self.curve.values,
            "ways": self.ways,
        }
        tensors = {"images": self.images, "velocity": self.velocity}
        for part in _PARTS:
            named: dict[str, Tensor] = getattr(self, part)
            tensors |= {f"{part}.{name}": value for name, value in named.items()}
        write_tensors(tensors, path, metadata={"state": json.dumps(record)})

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> "DistillationState":
        """Read a state that `save` wrote.

        Raises:
            CheckpointError: the file is damaged or not a checkpoint.
        """
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                record = json.loads((file.metadata() or {})["state"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
            return cls(
                iteration=record["iteration"],
                seconds=record["seconds"],
                images=tensors.pop("images"),
                velocity=tensors.pop("velocity"),
                **{part: _select_part(tensors, part) for part in _PARTS},
                curve=Curve(iteration=record["curve_iteration"], values=record["curve_values"]),
                ways=[Way(*way) for way in record.get("ways", [])],
            )
        except (OSError, SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
            raise CheckpointError(
                f"{path} is not a checkpoint of a distillation ({error}); delete it to start again"
            ) from error
