"""Training steps captured once and replayed: on a GPU, small sets are bound by the launches of a step's kernels.

A step reads a batch's indices and its augmentation from buffers that stay where they are. Which kernels it launches
depends on the number of images and on the operation of the augmentation, so there is one graph for each of these. The
first step of a kind runs as it is, which also warms up what a capture cannot hold; the second is captured.
"""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from distill_core.augment import Draw

Step = Callable[[Tensor, Draw | None], None]
"""One update of the parameters, given indices (B,) on the device and the batch's augmentation."""
Replay = Callable[[], object]
Capture = Callable[[Callable[[], None]], Replay]
"""Records the kernels that a function launches, without running them, and returns what runs them."""


class Replayed:
    """A step like any other, which launches one graph from the third step of a kind on.

    A step must be the same from its second call on: an optimiser that starts anew needs a new one.
    """

    def __init__(self, step: Step, capture: Capture) -> None:
        self.step, self.capture = step, capture
        self.seen: set[object] = set()
        self.recorded: dict[object, tuple[list[Tensor], Replay]] = {}

    def __call__(self, index: Tensor, draw: Draw | None) -> None:
        """Take the step."""
        kind = (len(index), None if draw is None else draw.ops)
        if kind not in self.seen:
            self.seen.add(kind)
            self.step(index, draw)
            return
        if kind not in self.recorded:
            self.recorded[kind] = self._record(index, draw)
        buffers, replay = self.recorded[kind]
        for buffer, value in zip(buffers, tensors(index, draw), strict=True):
            buffer.copy_(value, non_blocking=True)
        replay()

    def _record(self, index: Tensor, draw: Draw | None) -> tuple[list[Tensor], Replay]:
        buffers = [value.clone(memory_format=torch.contiguous_format) for value in tensors(index, draw)]
        static = draw and Draw(ops=draw.ops, **dict(zip(_names(draw), buffers[1:], strict=True)))
        return buffers, self.capture(lambda: self.step(buffers[0], static))


def tensors(index: Tensor, draw: Draw | None) -> list[Tensor]:
    """Return what a step reads, in a fixed order."""
    return [index] if draw is None else [index, *(getattr(draw, name) for name in _names(draw))]


def _names(draw: Draw) -> list[str]:
    return [f.name for f in fields(draw) if f.name != "ops"]


def capture_on_gpu(work: Callable[[], None]) -> Replay:
    """Capture as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay
