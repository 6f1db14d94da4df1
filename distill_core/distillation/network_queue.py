"""The networks of IDM's queue and their training on real batches, without augmentation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.datasets.image_set import ImageSet
from distill_core.datasets.load import Dataset
from distill_core.distillation.gradients import copy_all, parameters_and_buffers
from distill_core.networks import Network, network_for, uses_batch_statistics
from distill_core.runtime.chunk_sizes import choose_forward_images
from distill_core.runtime.cuda_graphs import ReplayedFunction
from distill_core.runtime.execution import ExecutionMode
from distill_core.runtime.precision import autocast
from distill_core.settings import DistillationSettings, Precision, QueueSettings


@dataclass
class QueueMember:
    """One network of the queue, its optimizer, and its running training accuracy."""

    network: Network
    optimizer: torch.optim.SGD
    correct: Tensor
    """Scalar: real images that the network classified correctly during training."""
    seen: int = 0
    """Real images it trained on."""

    @classmethod
    def build(
        cls,
        dataset: Dataset,
        network: str,
        queue: QueueSettings,
        draws: torch.Generator | None = None,
    ) -> "QueueMember":
        """Build a new network of an architecture on the device of the images."""
        device = dataset.train.device
        built = network_for(dataset.info, network, device, draws)
        optimizer = torch.optim.SGD(
            built.parameters(),
            lr=queue.lr_net,
            momentum=queue.momentum,
            weight_decay=queue.weight_decay,
        )
        return cls(built, optimizer, torch.zeros((), dtype=torch.int64, device=device))

    @property
    def accuracy(self) -> Tensor:
        """Training accuracy in percent over all steps, a scalar on the device; 0 before training.

        The released code resets the count whenever it evaluates the images. Here nothing is
        evaluated during a distillation, so the count is never reset.
        """
        return 100 * self.correct.double() / max(1, self.seen)

    @property
    def momenta(self) -> dict[str, Tensor]:
        """Momentum by name of the parameter; empty before the first step."""
        momenta = {}
        for name, parameter in self.network.named_parameters():
            # `get`, because the state creates missing entries when it is indexed.
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                momenta[name] = momentum
        return momenta

    def set_momenta(self, momenta: dict[str, Tensor]) -> None:
        """Set momenta by name of the parameter, which are copied."""
        for name, parameter in self.network.named_parameters():
            if name in momenta:
                self.optimizer.state[parameter]["momentum_buffer"] = momenta[name].clone()


class QueueTrainer:
    """Trains members of a queue; captured steps run on a member whose memory stays in place."""

    def __init__(
        self,
        dataset: Dataset,
        settings: DistillationSettings,
        queue: QueueSettings,
        mode: ExecutionMode,
    ) -> None:
        self._dataset, self._settings, self._queue, self._mode = dataset, settings, queue, mode
        self._step = partial(
            take_train_step,
            images=dataset.train,
            batch_train=queue.batch_train,
            precision=settings.precision,
            mode=mode,
        )

    def train(self, member: QueueMember, draws: torch.Generator) -> None:
        """Take the training steps of one member after an iteration."""
        member.network.train().requires_grad_(True)
        step: Callable[[Tensor], None] = partial(self._step, member)
        if self._mode.capture is not None:
            step = self._load_into_fixed(member)
        for _ in range(self._queue.train_steps):
            batch = self._dataset.train.draw_batch(draws, self._queue.batch_train)
            step(batch)
            member.seen += len(batch)
        if self._mode.capture is not None:
            copy_all(_list_tensors(member), _list_tensors(self._fixed_member))

    def _load_into_fixed(self, member: QueueMember) -> Callable[[Tensor], None]:
        """Copy a member into the fixed member, and return its replayed step."""
        # SGD treats a momentum of zero like a missing one, but only tensors can be copied.
        for each in (member, self._fixed_member):
            missing = {}
            for name, parameter in each.network.named_parameters():
                if name not in each.momenta:
                    missing[name] = torch.zeros_like(parameter)
            each.set_momenta(missing)
        copy_all(_list_tensors(self._fixed_member), _list_tensors(member))
        return lambda batch: self._replayed(len(batch), [batch])

    @cached_property
    def _fixed_member(self) -> QueueMember:
        fixed = QueueMember.build(self._dataset, self._settings.network, self._queue)
        fixed.network.train().requires_grad_(True)
        return fixed

    @cached_property
    def _replayed(self) -> ReplayedFunction[int, None]:
        # The step must not hold this object: a reference cycle keeps a GPU's memory.
        step = partial(self._step, self._fixed_member)

        def work(size: int, inputs: Sequence[Tensor]) -> None:
            step(inputs[0])

        assert self._mode.capture is not None
        return ReplayedFunction(work, self._mode.capture())


def take_train_step(
    member: QueueMember,
    batch: Tensor,
    *,
    images: ImageSet,
    batch_train: int,
    precision: Precision,
    mode: ExecutionMode,
) -> None:
    """Take one step on images at int64 indices (B,); batch norm gets all of them in one pass."""
    labels = images.labels[batch]
    whole = uses_batch_statistics(member.network)
    at_once = batch_train if whole else choose_forward_images(images.device.type, images.image_size)
    member.optimizer.zero_grad()
    for part, targets in zip(batch.split(at_once), labels.split(at_once), strict=True):
        with autocast(precision, labels.device):
            logits = mode.run(member.network, images.normalized(part))
        (F.cross_entropy(logits.float(), targets, reduction="sum") / len(labels)).backward()
        member.correct += (logits.argmax(1) == targets).sum()
    member.optimizer.step()


def _list_tensors(member: QueueMember) -> list[Tensor]:
    """Return everything that a step changes."""
    return [*parameters_and_buffers(member.network), *member.momenta.values(), member.correct]
