"""The gradients of one iteration as a function of tensors alone, so that a GPU can replay them.

Networks change between iterations, but a CUDA graph reads fixed memory. So the parameters of an
iteration's φ and ψ are copied into networks that stay in place.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from distill_core._compat import copy_tensors
from distill_core.augmentation import Draw
from distill_core.datasets.image_set import ImageSet
from distill_core.distillation.base import MatchingNetwork
from distill_core.distillation.custom_loss import CustomLoss
from distill_core.distillation.objective import (
    DrawIdentity,
    Objective,
    SetGradient,
    compute_gradients,
)
from distill_core.networks import Network
from distill_core.runtime import chunk_sizes
from distill_core.runtime.cuda_graphs import Capture, ReplayedFunction
from distill_core.runtime.execution import ExecutionMode
from distill_core.settings import DistillationSettings, parse_dsa_strategy

IterationResults = list[SetGradient]
"""One for each set."""


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """Everything that determines the gradients of one iteration."""

    settings: tuple[DistillationSettings, ...]
    """Of each set."""
    images: tuple[Tensor, ...]
    """Stored images (K, M, C, H, W) of each set, normalized."""
    matching: MatchingNetwork
    """φ."""
    extractor: Network | None
    """ψ; None where no set needs one."""
    indices: Tensor
    """int64 (K, N): the real images of each class."""
    draw: Draw | None
    """Siamese augmentation, one operation per class."""
    seed: int | None = None
    """Of the global generators, for dropout and custom code; None where nothing draws from them."""
    losses: tuple[tuple[CustomLoss, ...], ...] = ()
    """Custom losses of each set."""
    draws: DrawIdentity | None = None
    """What seeds the generators of custom losses."""


def compute_iteration(
    iteration: Iteration,
    *,
    images: ImageSet,
    mode: ExecutionMode,
    extractor_mode: ExecutionMode,
    class_chunk: int,
) -> IterationResults:
    """Compute each set's gradient and losses.

    Args:
        iteration: networks, images and draws.
        images: real training images.
        mode: how φ is run.
        extractor_mode: how ψ is run.
        class_chunk: classes in memory at once.
    """
    device, size = images.device.type, images.image_size
    objectives = []
    losses = iteration.losses or ((),) * len(iteration.settings)
    for settings, custom in zip(iteration.settings, losses, strict=True):
        objectives.append(
            Objective(
                network=iteration.matching.network,
                extractor=iteration.extractor,
                settings=settings,
                ce_weight=iteration.matching.ce_weight,
                forward_images=chunk_sizes.choose_forward_images(device, size),
                mode=mode,
                extractor_mode=extractor_mode,
                losses=custom,
                classes=images.classes,
                draws=iteration.draws,
            )
        )
    return compute_gradients(
        objectives,
        iteration.images,
        lambda classes: images.normalized(iteration.indices[classes]),
        iteration.draw,
        class_chunk=class_chunk,
        seed=iteration.seed,
    )


class _ArchitectureKey(NamedTuple):
    """What networks have in common that can take over each other's parameters."""

    role: str
    """φ or ψ."""
    layers: str
    """In words."""
    training: bool


class _IterationKind(NamedTuple):
    """What decides which kernels an iteration launches, apart from shapes that never change."""

    settings: tuple[DistillationSettings, ...]
    matching: _ArchitectureKey
    extractor: _ArchitectureKey | None
    weighted: bool
    """Whether there is a cross entropy."""
    augmented: bool


class ReplayedIterations:
    """Gradients like those of `compute`, replayed from the third iteration of a kind on.

    Results are valid until the next call.
    """

    def __init__(
        self, compute: Callable[[Iteration], IterationResults], capture: Callable[[], Capture]
    ) -> None:
        self._compute, self._capture = compute, capture
        self._in_place: dict[_ArchitectureKey, Network] = {}
        self._layers: WeakKeyDictionary[Network, str] = WeakKeyDictionary()
        self._settings: tuple[DistillationSettings, ...] = ()
        self._replayed: ReplayedFunction[_IterationKind, IterationResults] = self._build_replayed()

    @property
    def failure(self) -> str | None:
        """Why iterations are not replayed any more; None where no capture has failed."""
        return self._replayed.failure

    def __call__(self, iteration: Iteration) -> IterationResults:
        """Compute one iteration's gradients."""
        if any(iteration.losses):
            # Custom code may read from the device or draw, which a graph cannot repeat.
            return self._compute(iteration)
        if iteration.settings != self._settings:
            # Sets that ended do not come back, and their graphs would keep memory.
            self._settings = iteration.settings
            self._replayed = self._build_replayed()
        weights = _weight_tensors(iteration)
        drawn = [] if iteration.draw is None else iteration.draw.tensors()
        extractor = None
        if iteration.extractor is not None:
            extractor = self._copy_in_place("ψ", iteration.extractor)
        kind = _IterationKind(
            settings=iteration.settings,
            matching=self._copy_in_place("φ", iteration.matching.network),
            extractor=extractor,
            weighted=bool(weights),
            augmented=iteration.draw is not None,
        )
        return self._replayed(kind, [*iteration.images, iteration.indices, *weights, *drawn])

    def _build_replayed(self) -> ReplayedFunction[_IterationKind, IterationResults]:
        work = partial(_compute_from_tensors, self._compute, self._in_place)
        return ReplayedFunction(work, self._capture())

    def _copy_in_place(self, role: str, network: Network) -> _ArchitectureKey:
        """Copy a network's parameters and statistics into the network that stays in place."""
        if network not in self._layers:
            self._layers[network] = str(network)
        key = _ArchitectureKey(role, self._layers[network], network.training)
        if key in self._in_place:
            copy_all(parameters_and_buffers(self._in_place[key]), parameters_and_buffers(network))
        else:
            self._in_place[key] = copy.deepcopy(network)
        return key


def _weight_tensors(iteration: Iteration) -> list[Tensor]:
    """Return the weight of the cross entropy as a tensor on the device; none where it is zero."""
    weight = iteration.matching.ce_weight
    if not isinstance(weight, Tensor) and not weight:
        return []
    return [torch.as_tensor(weight, dtype=torch.float32, device=iteration.indices.device)]


# Not a method: an object that refers to itself would keep a GPU's memory until it is collected.
def _compute_from_tensors(
    compute: Callable[[Iteration], IterationResults],
    in_place: Mapping[_ArchitectureKey, Network],
    kind: _IterationKind,
    inputs: Sequence[Tensor],
) -> IterationResults:
    """Compute an iteration of a kind from its tensors."""
    sets = len(kind.settings)
    images, (indices, *rest) = inputs[:sets], inputs[sets:]
    weight = rest.pop(0) if kind.weighted else 0.0
    draw = Draw.from_tensors(_list_all_ops(kind.settings[0]), rest) if kind.augmented else None
    return compute(
        Iteration(
            settings=kind.settings,
            images=tuple(images),
            matching=MatchingNetwork(in_place[kind.matching], ce_weight=weight),
            extractor=None if kind.extractor is None else in_place[kind.extractor],
            indices=indices,
            draw=draw,
        )
    )


def parameters_and_buffers(network: Network) -> list[Tensor]:
    """Return a network's parameters and statistics, in an order that its architecture decides."""
    return [*network.parameters(), *network.buffers()]


@torch.no_grad()
def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors into others of the same shapes and types, with few launches for each type."""
    by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        of_type = by_type.setdefault(source.dtype, ([], []))
        of_type[0].append(target)
        of_type[1].append(source)
    for targets_of_type, sources_of_type in by_type.values():
        copy_tensors(targets_of_type, sources_of_type)


def _list_all_ops(settings: DistillationSettings) -> frozenset[str]:
    """Return all operations of a strategy: a graph must not depend on which of them were drawn."""
    return frozenset(parse_dsa_strategy(settings.dsa_strategy))
