"""Work captured once and replayed: on a GPU, small computations are bound by the launches of their
kernels.

The work reads its inputs from buffers that stay where they are. Which kernels it launches depends
on more than these (a number of images, an operation of the augmentation): that is the kind of the
call, and each kind has a graph of its own. The first call of a kind runs as it is, which also warms
up what a capture cannot hold; the second is captured.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Kind = TypeVar("Kind", bound=Hashable)
Result = TypeVar("Result")
Replay = Callable[[], object]
Capture = Callable[[Callable[[], None]], Replay]
"""Records the kernels that a function launches, without running them, and returns what runs them.
What one capture recorded shares memory, so it must not be replayed at the same time, nor leave
anything there for another."""


class ReplayedFunction(Generic[Kind, Result]):
    """A function of tensors like any other, which launches one graph from the third call of a kind
    on.

    The work must be the same from its second call of a kind on, but for the values of its inputs
    and of what it keeps in place: an optimizer that starts anew needs a new one. What it returns is
    good until the next call.
    """

    def __init__(self, work: Callable[[Kind, Sequence[Tensor]], Result], capture: Capture) -> None:
        self._work, self._capture = work, capture
        self._seen: set[Kind] = set()
        self._recorded: dict[Kind, tuple[list[Tensor], Replay, dict[str, Any]]] = {}

    def __call__(self, kind: Kind, inputs: Sequence[Tensor]) -> Result:
        """Do the work; inputs of one kind have the same shapes."""
        if kind not in self._seen:
            self._seen.add(kind)
            return self._work(kind, inputs)
        if kind not in self._recorded:
            self._recorded[kind] = self._record(kind, inputs)
        buffers, replay, made = self._recorded[kind]
        for buffer, value in zip(buffers, inputs, strict=True):
            buffer.copy_(value, non_blocking=True)
        replay()
        result: Result = made["result"]
        return result

    def _record(
        self, kind: Kind, inputs: Sequence[Tensor]
    ) -> tuple[list[Tensor], Replay, dict[str, Any]]:
        buffers = [value.clone(memory_format=torch.contiguous_format) for value in inputs]
        made: dict[str, Any] = {}

        def work() -> None:
            made["result"] = self._work(kind, buffers)

        return buffers, self._capture(work), made


def capture_on_gpu() -> Capture:
    """Return a capture as CUDA graphs, all in one pool of memory: each alone would keep the peak of
    its work.
    """
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Callable[[], None]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            work()
        return graph.replay

    return capture
