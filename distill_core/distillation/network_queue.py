"""A network of IDM's queue, and how such networks train: on real batches, without augmentation."""

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
    """Scalar: real images that the network got right while it trained."""
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
        """Return a new network of an architecture, on the device of the images."""
        device = dataset.train.device
        made = network_for(dataset.info, network, device, draws)
        optimizer = torch.optim.SGD(
            made.parameters(),
            lr=queue.lr_net,
            momentum=queue.momentum,
            weight_decay=queue.weight_decay,
        )
        return cls(made, optimizer, torch.zeros((), dtype=torch.int64, device=device))

    @property
    def accuracy(self) -> Tensor:
        """Training accuracy in percent over all its steps, a scalar on the device; 0 before it was
        trained.

        The release forgets the count whenever it evaluates the images; here nothing is evaluated on
        the way.
        """
        return 100 * self.correct.double() / max(1, self.seen)

    @property
    def momenta(self) -> dict[str, Tensor]:
        """Momentum by name of the parameter; nothing before the first step."""
        state = self.optimizer.state
        found = {
            name: state[p].get("momentum_buffer")
            for name, p in self.network.named_parameters()
            if p in state
        }
        return {name: momentum for name, momentum in found.items() if momentum is not None}

    def set_momenta(self, momenta: dict[str, Tensor]) -> None:
        """Go on with these, which are copied."""
        for name, parameter in self.network.named_parameters():
            if name in momenta:
                self.optimizer.state[parameter]["momentum_buffer"] = momenta[name].clone()


class QueueTrainer:
    """Trains members of a queue; where steps are captured, in a member that stays in place."""

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
        """Take the steps that a network takes after an iteration."""
        member.network.train().requires_grad_(True)
        step = (
            partial(self._step, member)
            if self._mode.capture is None
            else self._replayed_from(member)
        )
        for _ in range(self._queue.train_steps):
            batch = self._dataset.train.draw_batch(draws, self._queue.batch_train)
            step(batch)
            member.seen += len(batch)
        if self._mode.capture is not None:
            copy_all(_list_tensors(member), _list_tensors(self._still))

    def _replayed_from(self, member: QueueMember) -> Callable[[Tensor], None]:
        """Return the replayed steps of the member in place, which starts where another stands."""
        for of in (member, self._still):  # a momentum of zero is none yet
            missing = {
                name: p for name, p in of.network.named_parameters() if name not in of.momenta
            }
            of.set_momenta(
                {name: torch.zeros_like(parameter) for name, parameter in missing.items()}
            )
        copy_all(_list_tensors(self._still), _list_tensors(member))
        return lambda batch: self._replayed(len(batch), [batch])

    @cached_property
    def _still(self) -> QueueMember:
        still = QueueMember.build(self._dataset, self._settings.network, self._queue)
        still.network.train().requires_grad_(True)
        return still

    @cached_property
    def _replayed(self) -> ReplayedFunction[int, None]:
        step = partial(
            self._step, self._still
        )  # of nothing that holds this object: a cycle keeps a GPU's memory

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
    """Take one step on the images at int64 indices (B,), in parts where the network allows it."""
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
    """Return all that a step changes."""
    return [*parameters_and_buffers(member.network), *member.momenta.values(), member.correct]
