"""Feature extractors ψ of class centralization: a pool of networks trained on the real images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from distill_core.datasets.info import DatasetInfo
from distill_core.datasets.load import Dataset
from distill_core.networks import Network, network_for
from distill_core.runtime.device import get_free_memory
from distill_core.seeds import generator
from distill_core.settings import ExtractorSettings, SettingsError
from distill_core.tensor_files import write_tensors
from distill_core.training.extractor_streaming import StreamedNetworks, fits_in_memory
from distill_core.training.import_parameters import CheckpointError, read_parameters
from distill_core.training.trainer import Checkpoints, Fit, Progress, Schedule, fit


class ExtractorError(ValueError):
    """Parameters do not fit the architecture, or a file is damaged; the message names the file."""


@dataclass(frozen=True)
class ExtractorPool:
    """Frozen networks in eval mode; each iteration draws one of them."""

    networks: Sequence[Network]

    def __len__(self) -> int:
        return len(self.networks)

    def draw(self, draws: torch.Generator) -> Network:
        """Draw one network uniformly; it is valid until the next draw."""
        return self.networks[self._draw_place(draws)]

    def prefetch(self, draws: torch.Generator) -> None:
        """Load in the background what `draw` will return for a generator in the same state."""
        if isinstance(self.networks, StreamedNetworks):
            self.networks.prefetch(self._draw_place(draws))

    def _draw_place(self, draws: torch.Generator) -> int:
        return int(torch.randint(len(self.networks), (), generator=draws))

    @classmethod
    def load(
        cls, files: Sequence[Path], network: str, info: DatasetInfo, device: torch.device | str
    ) -> "ExtractorPool":
        """Load networks for a data set from parameter files that `save_parameters` wrote.

        All of them are on the device if they take at most a quarter of its free memory. Otherwise
        they stay in their files and are read when they are drawn.

        Raises:
            ExtractorError: a file is missing, damaged, or of another architecture; in a streamed
                pool this is found when the file is read.
        """
        try:
            together = fits_in_memory(files, get_free_memory(device))
        except OSError as error:
            raise ExtractorError(f"{error.filename} cannot be read: {error.strerror}") from error

        def load_into(shell: Network, file: Path, parameters: dict[str, Tensor]) -> Network:
            return _load_parameters(shell, parameters, _mismatch_message(file, network, info))

        if not together:
            shell = network_for(info, network, device)
            return cls(StreamedNetworks(files, _read_parameters, partial(load_into, shell)))
        networks = []
        for file in files:
            shell = network_for(info, network, device)
            networks.append(load_into(shell, file, _read_parameters(file)))
        return cls(networks)


def train_extractor(
    dataset: Dataset,
    settings: ExtractorSettings,
    *,
    index: int,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[Network, Fit]:
    """Train network number `index` of the pool on the real training images, on their device."""
    identity = (dataset.info.name, settings.network, index)
    initial = generator("extractor network", *identity)
    network = network_for(dataset.info, settings.network, dataset.train.device, initial)
    schedule = Schedule(
        epochs=settings.epochs,
        batch=settings.batch_train,
        lr=settings.lr_net,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        dsa_strategy=settings.dsa_strategy,
        precision=settings.precision,
    )
    images = dataset.train
    draws = generator("extractor training", *identity)
    return network, fit(
        network, images.normalized, images.labels, schedule, draws, progress, checkpoints
    )


def save_parameters(network: Network, path: Path) -> None:
    """Write a network's `state_dict` as one safetensors file."""
    write_tensors(network.state_dict(), path)


def import_parameters(
    file: Path, network: str, info: DatasetInfo, device: torch.device | str
) -> Network:
    """Read the parameters that another program saved, from a checkpoint or a `state_dict`.

    Nothing in the file is executed. Names of multi-GPU training ("module.…") and of torch.compile
    ("_orig_mod.…") are accepted; see `read_parameters`.

    Raises:
        ExtractorError: the file is damaged, holds more than tensors, or is of another architecture.
    """
    extractor = network_for(info, network, device)
    try:
        parameters = read_parameters(file, list(extractor.state_dict()))
    except (CheckpointError, SettingsError) as error:
        raise ExtractorError(str(error)) from error
    return _load_parameters(extractor, parameters, _mismatch_message(file, network, info))


def _read_parameters(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ExtractorError(f"{file} cannot be read: {error}") from error


def _load_parameters(extractor: Network, parameters: Mapping[str, Tensor], invalid: str) -> Network:
    try:
        extractor.load_state_dict(parameters, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[1:3] or lines)[:300]
        raise ExtractorError(f"{invalid}: {reason}") from error
    return extractor.eval().requires_grad_(False)


def _mismatch_message(file: Path, network: str, info: DatasetInfo) -> str:
    return f"{file} does not fit {network} for {info.name}"
