"""The rules of IDM's queue, one by one."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distill_core.distillation.idm import IDM, take_class_steps
from distill_core.settings import DistillationSettings, QueueSettings

SETTINGS = DistillationSettings(
    network="ConvNetW8D2",
    queue=QueueSettings(
        networks=3, interval=2, max_networks=4, train_steps=5, batch_train=16, ce_weight=0.5
    ),
)


@pytest.fixture
def queue(tiny_dataset):
    return IDM(tiny_dataset, SETTINGS, seed=0)


def parameters(queue):
    return [
        torch.cat([p.detach().flatten() for p in m.network.parameters()]) for m in queue._members
    ]


def test_untrained_networks_have_no_cross_entropy(queue):
    drawn = queue.draw(0)
    assert drawn.ce_weight == 0 and not drawn.network.training
    assert not any(p.requires_grad for p in drawn.network.parameters())


def test_two_networks_train_for_the_steps_set(queue):
    before = parameters(queue)
    queue.after(0)
    changed = [not torch.equal(a, b) for a, b in zip(before, parameters(queue), strict=True)]
    assert sum(changed) == 2
    assert [member.seen for member in queue._members] == [5 * 16 * c for c in changed]


def test_the_weight_is_ce_weight_times_accuracy_in_percent(queue):
    queue.after(0)
    for member in queue._members:
        assert member.accuracy == pytest.approx(
            100 * int(member.correct) / member.seen if member.seen else 0
        )
    weights = {float(queue.draw(2 * i + 1).ce_weight) for i in range(40)}
    assert weights <= {float((0.5 * member.accuracy).float()) for member in queue._members}
    assert max(weights) > 5


def test_a_new_network_enters_every_interval_and_the_oldest_leaves(queue):
    first = queue._members[0]
    lengths = []
    for iteration in range(5):
        queue.draw(iteration)
        lengths.append(len(queue._members))
    assert lengths == [3, 3, 4, 4, 4]
    assert first not in queue._members


def test_training_continues_with_its_momentum_after_a_restart(tiny_dataset):
    whole, cut = (IDM(tiny_dataset, SETTINGS, seed=0) for _ in range(2))
    for iteration in range(6):
        whole.draw(iteration)
        whole.after(iteration)
    for iteration in range(3):
        cut.draw(iteration)
        cut.after(iteration)
    saved = {name: value.clone() for name, value in cut.tensors().items()}
    resumed = IDM(tiny_dataset, SETTINGS, seed=0)
    resumed.restore(saved, 3)
    for iteration in range(3, 6):
        resumed.draw(iteration)
        resumed.after(iteration)
    for ours, theirs in zip(parameters(resumed), parameters(whole), strict=True):
        assert torch.equal(ours, theirs)


def test_idm_needs_a_queue(tiny_dataset):
    with pytest.raises(ValueError, match="queue"):
        IDM(tiny_dataset, replace(SETTINGS, queue=None), seed=0)


@pytest.mark.parametrize(("network", "parts"), [("ConvNetW8D2", 4), ("ConvNetW8D2BN", 1)])
def test_training_in_parts_is_one_step_on_the_whole_batch(
    tiny_dataset, monkeypatch, network, parts
):
    """Mean, momentum and count agree; batch norm needs the batch in one piece."""
    settings = replace(SETTINGS, network=network)
    whole, cut = (IDM(tiny_dataset, settings, seed=0) for _ in range(2))
    for queue, images in ((whole, 16), (cut, 4)):
        monkeypatch.setattr(
            "distill_core.distillation.network_queue.choose_forward_images",
            lambda *_, images=images: images,
        )
        mode = count_passes(queue)
        queue.after(0)
    assert len(mode) == 2 * 5 * parts
    assert [int(member.correct) for member in whole._members] == [
        int(member.correct) for member in cut._members
    ]
    for ours, theirs in zip(parameters(cut), parameters(whole), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def count_passes(queue):
    mode = []
    for member in queue._members:
        member.network.register_forward_hook(lambda *_: mode.append(1))
    return mode


class _Alone(TorchDispatchMode):
    """Refuses tensors of the CPU: to copy one to a GPU makes the host wait."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves((args, kwargs, result)):
            assert not isinstance(leaf, torch.Tensor) or leaf.device.type != "cpu", function
        return result


@pytest.mark.parametrize("last", [False, True])
def test_the_update_never_waits_for_the_device(last):
    images = torch.empty(3, 2, 1, 8, 8, device="meta")
    with _Alone():
        moved, velocity = take_class_steps(images, images, images, lr=0.2, momentum=0.5, last=last)
    assert moved.shape == velocity.shape == images.shape
