"""The gradients of one iteration as a function of tensors alone, so that a GPU can replay them as
one graph.

Networks change from iteration to iteration, a graph reads fixed memory: the parameters of an
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
from distill_core.distillation.objective import Losses, Objective, compute_gradients
from distill_core.networks import Network
from distill_core.runtime import chunk_sizes
from distill_core.runtime.cuda_graphs import Capture, ReplayedFunction
from distill_core.runtime.execution import ExecutionMode
from distill_core.settings import DistillationSettings, parse_dsa_strategy

IterationResults = list[tuple[Tensor, Losses]]
"""Of each cell its gradient (K, M, C, H, W) and its losses."""


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What the gradients of one iteration follow from."""

    settings: tuple[DistillationSettings, ...]
    """Of each cell."""
    images: tuple[Tensor, ...]
    """Of each cell its stored images (K, M, C, H, W), normalized."""
    matching: MatchingNetwork
    """φ."""
    extractor: Network | None
    """ψ; None where no cell needs one."""
    indices: Tensor
    """int64 (K, N): the real images of each class."""
    draw: Draw | None
    """Siamese augmentation, one operation a class."""


def compute_iteration(
    iteration: Iteration,
    *,
    images: ImageSet,
    mode: ExecutionMode,
    extractor_mode: ExecutionMode,
    class_chunk: int,
) -> IterationResults:
    """Return each cell's gradient and losses.

    Args:
        iteration: what they follow from.
        images: real training images.
        passes: how images go through φ.
        extractor_passes: how images go through ψ.
        class_chunk: classes in memory at once.
    """
    objectives = [
        Objective(
            network=iteration.matching.network,
            extractor=iteration.extractor,
            settings=settings,
            ce_weight=iteration.matching.ce_weight,
            forward_images=chunk_sizes.choose_forward_images(images.device.type, images.image_size),
            mode=mode,
            extractor_mode=extractor_mode,
        )
        for settings in iteration.settings
    ]
    return compute_gradients(
        objectives,
        iteration.images,
        lambda classes: images.normalized(iteration.indices[classes]),
        iteration.draw,
        class_chunk=class_chunk,
    )


_ArchitectureKey = tuple[str, str, bool]
"""φ or ψ, layers in words, and whether in train mode: such networks can take over each other's
parameters.
"""


class _IterationKind(NamedTuple):
    """What decides which kernels an iteration launches, beside shapes that never change."""

    settings: tuple[DistillationSettings, ...]
    matching: _ArchitectureKey
    extractor: _ArchitectureKey | None
    weighted: bool
    """Whether there is a cross entropy."""
    augmented: bool


class ReplayedIterations:
    """Gradients like those of `compute`, replayed from the third iteration of a kind on; good until
    the next call.
    """

    def __init__(
        self, compute: Callable[[Iteration], IterationResults], capture: Callable[[], Capture]
    ) -> None:
        self._compute, self._capture = compute, capture
        self._in_place: dict[_ArchitectureKey, Network] = {}
        self._architectures: WeakKeyDictionary[Network, str] = WeakKeyDictionary()
        self._settings: tuple[DistillationSettings, ...] = ()
        self._replayed: ReplayedFunction[_IterationKind, IterationResults] = self._unrecorded()

    def __call__(self, iteration: Iteration) -> IterationResults:
        """Compute one iteration's gradients."""
        if (
            iteration.settings != self._settings
        ):  # cells that ended do not come back, and graphs take memory
            self._settings = iteration.settings
            self._replayed = self._unrecorded()
        extractor = None if iteration.extractor is None else self._put("ψ", iteration.extractor)
        weight, draw = iteration.matching.ce_weight, iteration.draw
        weighted = isinstance(weight, Tensor) or weight
        weights = (
            [torch.as_tensor(weight, dtype=torch.float32, device=iteration.indices.device)]
            if weighted
            else []
        )
        drawn = [] if draw is None else draw.tensors()
        kind = _IterationKind(
            settings=iteration.settings,
            matching=self._put("φ", iteration.matching.network),
            extractor=extractor,
            weighted=bool(weights),
            augmented=draw is not None,
        )
        return self._replayed(kind, [*iteration.images, iteration.indices, *weights, *drawn])

    def _unrecorded(self) -> "ReplayedFunction[_IterationKind, IterationResults]":
        return ReplayedFunction(
            partial(_compute_from_tensors, self._compute, self._in_place), self._capture()
        )

    def _put(self, role: str, network: Network) -> _ArchitectureKey:
        """Copy a network's parameters and statistics into the one that stays in place."""
        if network not in self._architectures:
            self._architectures[network] = str(network)
        architecture = (role, self._architectures[network], network.training)
        if architecture in self._in_place:
            copy_all(
                parameters_and_buffers(self._in_place[architecture]),
                parameters_and_buffers(network),
            )
        else:
            self._in_place[architecture] = copy.deepcopy(network)
        return architecture


def _compute_from_tensors(
    compute: Callable[[Iteration], IterationResults],
    in_place: Mapping[_ArchitectureKey, Network],
    kind: _IterationKind,
    inputs: Sequence[Tensor],
) -> IterationResults:
    """Compute an iteration of a kind from its tensors; a function of its own, as a cycle would keep
    a GPU's memory.
    """
    cells = len(kind.settings)
    images, (indices, *rest) = inputs[:cells], inputs[cells:]
    weight = rest.pop(0) if kind.weighted else 0.0
    return compute(
        Iteration(
            settings=kind.settings,
            images=tuple(images),
            matching=MatchingNetwork(in_place[kind.matching], ce_weight=weight),
            extractor=None if kind.extractor is None else in_place[kind.extractor],
            indices=indices,
            draw=Draw.from_tensors(_list_all_ops(kind.settings[0]), rest)
            if kind.augmented
            else None,
        )
    )


def parameters_and_buffers(network: Network) -> list[Tensor]:
    """Return a network's parameters and statistics, in the order in which another of its
    architecture has them.
    """
    return [*network.parameters(), *network.buffers()]


@torch.no_grad()
def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors into others of their shapes and types, with few launches for all of one type."""
    for dtype in {source.dtype for source in sources}:
        pairs = [pair for pair in zip(targets, sources, strict=True) if pair[1].dtype == dtype]
        copy_tensors([target for target, _ in pairs], [source for _, source in pairs])


def _list_all_ops(settings: DistillationSettings) -> frozenset[str]:
    """Return all operations of a strategy: what an iteration launches must not depend on which of
    them it drew.
    """
    return frozenset(parse_dsa_strategy(settings.dsa_strategy))
