"""Networks that do not fit on a device together: they stay in files, loaded one at a time."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, overload

from torch import Tensor

from distill_core.networks import Network

RESIDENT_SHARE = 0.25
"""Part of a device's free memory that a pool may occupy."""

ParameterTensors = dict[str, Tensor]


class _Prefetched(NamedTuple):
    """Parameters that are being read."""

    place: int
    parameters: Future[ParameterTensors]


class _Loaded(NamedTuple):
    """The network that is on the device."""

    place: int
    network: Network


class StreamedNetworks(Sequence[Network]):
    """A sequence of networks of one architecture that all share one object.

    A network is valid until another one is requested. While the device computes, a thread reads the
    network that `prefetch` names.
    """

    def __init__(
        self,
        files: Sequence[Path],
        read: Callable[[Path], ParameterTensors],
        load: Callable[[Path, ParameterTensors], Network],
    ) -> None:
        """Store the arguments; no file is read yet.

        Args:
            files: one per network.
            read: reads a file's parameters into CPU memory; called from a thread.
            load: loads them into the one network on the device, and returns it.
        """
        self._files, self._read, self._load = files, read, load
        self._reader = ThreadPoolExecutor(1, "extractors")
        self._next: _Prefetched | None = None
        self._loaded: _Loaded | None = None

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> Network: ...
    @overload
    def __getitem__(self, place: slice) -> "StreamedNetworks": ...
    def __getitem__(self, place: "int | slice") -> "Network | StreamedNetworks":
        if isinstance(place, slice):
            return StreamedNetworks(self._files[place], self._read, self._load)
        place = range(len(self))[place]
        if self._loaded is None or self._loaded.place != place:
            self.prefetch(place)
            assert self._next is not None
            parameters = self._next.parameters.result()
            self._loaded = _Loaded(place, self._load(self._files[place], parameters))
            self._next = None
        return self._loaded.network

    def prefetch(self, place: int) -> None:
        """Start reading the network that is requested next, unless it is loaded or being read."""
        is_loaded = self._loaded is not None and self._loaded.place == place
        is_being_read = self._next is not None and self._next.place == place
        if not is_loaded and not is_being_read:
            parameters = self._reader.submit(self._read, self._files[place])
            self._next = _Prefetched(place, parameters)


def fits_in_memory(files: Iterable[Path], free: int | None) -> bool:
    """Return whether all networks may be in `free` bytes of a device, by the size of their files.

    None means unlimited memory.
    """
    return free is None or sum(file.stat().st_size for file in files) <= RESIDENT_SHARE * free
