"""Work that is captured once and replayed, because kernel launches bound small work on a GPU.

The work reads its inputs from buffers that stay in place. Which kernels it launches may depend on
more than its inputs, such as the number of images or an operation of the augmentation. That is the
kind of a call, and each kind has its own graph. The first call of a kind runs normally, which also
does the initialization that cannot be captured; the second call is captured. Where that fails, the
work runs normally from then on, which a line of the log tells.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Hashable)
Result = TypeVar("Result")
Replay = Callable[[], object]
Capture = Callable[[Callable[[], None]], Replay]
"""Records the kernels that a function launches, without running them, and returns a function that
runs them. The recordings of one capture share memory. So they must not be replayed at the same
time, and none may rely on what another left in memory."""


class _Recording(NamedTuple):
    """The graph of one kind of call."""

    buffers: list[Tensor]
    """Where the work reads its inputs."""
    replay: Replay
    outputs: dict[str, Any]
    """What the work returned, as "result"; a replay fills it with new values."""


class ReplayedFunction(Generic[Kind, Result]):
    """A function of tensors that launches a single graph from the third call of a kind on.

    From the second call of a kind on, only the values of inputs and of tensors in place may change:
    a new optimizer, for example, needs a new replayed function. Results are valid until the next
    call.
    """

    def __init__(self, work: Callable[[Kind, Sequence[Tensor]], Result], capture: Capture) -> None:
        self._work, self._capture = work, capture
        self._seen: set[Kind] = set()
        self._recordings: dict[Kind, _Recording] = {}
        self.failure: str | None = None
        """Why nothing is captured any more; None where no capture has failed."""

    def __call__(self, kind: Kind, inputs: Sequence[Tensor]) -> Result:
        """Do the work; all inputs of one kind have the same shapes."""
        if kind not in self._seen:
            self._seen.add(kind)
            return self._work(kind, inputs)
        if kind not in self._recordings and self.failure is None:
            self._try_to_record(kind, inputs)
        if kind not in self._recordings:
            return self._work(kind, inputs)
        recording = self._recordings[kind]
        for buffer, value in zip(recording.buffers, inputs, strict=True):
            buffer.copy_(value, non_blocking=True)
        recording.replay()
        result: Result = recording.outputs["result"]
        return result

    def _try_to_record(self, kind: Kind, inputs: Sequence[Tensor]) -> None:
        """Record a kind; its work launches nothing meanwhile, so it can still run normally."""
        try:
            self._recordings[kind] = self._record(kind, inputs)
        except RuntimeError as error:  # all errors of CUDA are of this class
            self.failure = " ".join(f"{type(error).__name__}: {error}".split())
            _log.warning("a CUDA graph failed, so steps run without: %s", self.failure)

    def _record(self, kind: Kind, inputs: Sequence[Tensor]) -> "_Recording":
        buffers = [value.clone(memory_format=torch.contiguous_format) for value in inputs]
        outputs: dict[str, Any] = {}

        def work() -> None:
            outputs["result"] = self._work(kind, buffers)

        return _Recording(buffers, self._capture(work), outputs)


def capture_on_gpu() -> Capture:
    """Return a capture with CUDA graphs.

    All graphs share one pool of memory: separate pools would each keep the peak of their work.
    """
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Callable[[], None]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=pool):
                work()
        except BaseException:
            # A capture that fails leaves its own stream as the current one.
            torch.cuda.set_stream(before)
            raise
        return graph.replay

    return capture
