"""Networks that do not fit a device together: they stay in their files, and one at a time is on the
device.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import overload

from torch import Tensor

from distill_core.networks import Network

RESIDENT_SHARE = 0.25
"""Part of a device's free memory that a pool may take for itself."""

ParameterTensors = dict[str, Tensor]


class StreamedNetworks(Sequence[Network]):
    """A sequence of networks of one architecture, all of which are the same object with other
    parameters.

    A network holds until another is asked for. A thread reads the one that `ahead` names while the
    device computes.
    """

    def __init__(
        self,
        files: Sequence[Path],
        read: Callable[[Path], ParameterTensors],
        put: Callable[[Path, ParameterTensors], Network],
    ) -> None:
        """Look at nothing yet.

        Args:
            files: one a network.
            read: reads a file's parameters into the CPU's memory; it is called from a thread.
            put: puts them into the one network on the device, and returns it.
        """
        self._files, self._read, self._put = files, read, put
        self._reader = ThreadPoolExecutor(1, "extractors")
        self._next: tuple[int, Future[ParameterTensors]] | None = None
        self._held: tuple[int, Network] | None = None

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> Network: ...
    @overload
    def __getitem__(self, place: slice) -> "StreamedNetworks": ...
    def __getitem__(self, place: "int | slice") -> "Network | StreamedNetworks":
        if isinstance(place, slice):
            return StreamedNetworks(self._files[place], self._read, self._put)
        place = range(len(self))[place]
        if self._held is None or self._held[0] != place:
            self.ahead(place)
            assert self._next is not None
            self._held, self._next = (
                (place, self._put(self._files[place], self._next[1].result())),
                None,
            )
        return self._held[1]

    def ahead(self, place: int) -> None:
        """Start to read the network that is asked for next, unless that is under way or it is
        there.
        """
        if (self._held is None or self._held[0] != place) and (
            self._next is None or self._next[0] != place
        ):
            self._next = place, self._reader.submit(self._read, self._files[place])


def fits_in_memory(files: Iterable[Path], free: int | None) -> bool:
    """Return whether networks may all lie in `free` bytes of a device, by the size of their files;
    None is no bound.
    """
    return free is None or sum(file.stat().st_size for file in files) <= RESIDENT_SHARE * free
