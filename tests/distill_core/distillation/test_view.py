"""Losses of a `View`: options, weights, blocks, generators and state; alone, together, resumed."""

from dataclasses import replace

import pytest
import torch

from distill_core.distillation.loop import distill, distill_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationError, DistillationState
from distill_core.settings import DistillationSettings, QueueSettings, SettingsError

BASE = DistillationSettings(network="ConvNetW8D2", iterations=6, batch_real=6, lr_img=0.05)
LOSSES = """
import torch

def blocks(view, *, power=2.0):
    total = 0
    for real, synthetic in zip(view.real.blocks, view.synthetic.blocks):
        gap = real.pow(power).mean((1, 2)) - synthetic.pow(power).mean((1, 2))
        total = total + gap.square().sum()
    return total
blocks.blocks = True

def drawn(view, scale=1.0):
    weights = torch.rand(view.real.embedding.shape[-1], generator=view.draw("weights"))
    gap = view.real.embedding.mean(1) - view.synthetic.embedding.mean(1)
    return scale * (weights * gap).square().sum()

def labels(view):
    logits = view.synthetic.logits.flatten(0, 1)
    targets = view.labels.repeat_interleave(view.synthetic.images.shape[1])
    return torch.nn.functional.cross_entropy(logits, targets, reduction="sum")

class Moving:
    def __init__(self, *, rate=0.5):
        self.rate, self.mean = rate, None

    def __call__(self, view):
        now = view.synthetic.maps.mean((1, 2))
        if self.mean is None:
            self.mean = torch.zeros(view.classes, *now.shape[1:])
        old = self.mean[view.labels]
        self.mean = self.mean.clone()
        self.mean[view.labels] = (1 - self.rate) * old + self.rate * now.detach()
        return (now - old).square().sum() + 0.01 * view.iteration * now.sum()

    def tensors(self):
        return {} if self.mean is None else {"mean": self.mean}

    def restore(self, tensors):
        self.mean = tensors["mean"]

class Forgets(Moving):
    def tensors(self):
        return {}

def pixels(view):
    return view.synthetic.images.square().sum()

def changes(view):
    view.real.maps.zero_()
    return view.synthetic.maps.sum()
"""


@pytest.fixture(autouse=True)
def module(plug_in):
    plug_in("view_losses", LOSSES)


def named(loss, *more, **changes):
    names = [f"view_losses:{name}" for name in (loss, *more)]
    return replace(BASE, loss=names[0], more_losses=tuple(names[1:]), **changes)


CELLS = {
    "blocks": named("blocks", loss_options=(("power", 3.0),), lambda_mean=0.0),
    "drawn": named("drawn", lambda_loss=2.0),
    "labels": named("labels"),
    "pixels": named("pixels", lambda_mean=0.0),
    "state": named("Moving", loss_options=(("rate", 0.25),)),
    "several": named(
        "Moving", "blocks", "drawn", loss_options=(("blocks.weight", 0.1), ("drawn.scale", 2.0))
    ),
    "adam": named("drawn", optimizer_img="adam", lr_img=0.01),
    "adamw": replace(BASE, optimizer_img="adamw", lr_img=0.01),
    "plain": BASE,
}


@pytest.mark.parametrize("base", ["DM", "IDM"])
def test_alone_in_a_cohort_and_resumed_are_the_same(tiny_dataset, tmp_path, base):
    cells = list(CELLS.values())
    if base == "IDM":
        queue = QueueSettings(networks=2, interval=2, max_networks=3, train_steps=1, batch_train=8)
        cells = [replace(cell, queue=queue, partition=2, iterations=4) for cell in cells]
    alone = [distill(tiny_dataset, cell, ipc=2, seed=0) for cell in cells]
    together = distill_cohort(tiny_dataset, [SetRun(settings=c) for c in cells], ipc=2, seed=0)
    for name, one, other in zip(CELLS, alone, together, strict=True):
        assert not isinstance(other, Exception), (name, other)
        assert torch.equal(one.images, other.images), name
    images = [one.images for one in alone]
    assert all(not torch.equal(a, b) for i, a in enumerate(images) for b in images[:i])
    for name, cell, one in zip(CELLS, cells, alone, strict=True):
        saved = DistillationState.load(kill_and_save(tiny_dataset, cell, tmp_path / "state"))
        resumed = distill(tiny_dataset, cell, ipc=2, seed=0, resume=saved)
        assert torch.equal(resumed.images, one.images), name


def kill_and_save(dataset, settings, path, at=2):
    class Killed(Exception):
        pass

    def save(state):
        state.save(path)
        raise Killed

    counted = iter(range(1, 100))
    hooks = Hooks(checkpoint_due=lambda: next(counted) == at, checkpoint=save)
    with pytest.raises(Killed):
        distill(dataset, settings, ipc=2, seed=0, hooks=hooks)
    return path


@pytest.mark.parametrize("name", ["blocks", "drawn", "labels", "state", "several"])
def test_chunks_of_classes_change_only_rounding(tiny_dataset, name):
    whole, parts = (
        distill(tiny_dataset, CELLS[name], ipc=2, seed=0, class_chunk=chunk) for chunk in (3, 1)
    )
    torch.testing.assert_close(whole.images, parts.images, rtol=1e-3, atol=1e-4)


def test_adam_is_torchs(tiny_dataset):
    settings = CELLS["adamw"]
    torch.manual_seed(0)
    start = torch.randn(2, 1, 1, 4, 4)
    gradients = torch.randn(5, *start.shape)
    from distill_core.distillation.pixel_optimizers import take_adam_step

    for name, optimizer in (("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)):
        pixels = start.clone().requires_grad_()
        reference = optimizer([pixels], lr=0.01)
        state = DistillationState.at_start(start.clone())
        for gradient in gradients:
            pixels.grad = gradient.clone()
            reference.step()
            take_adam_step(state, gradient, replace(settings, optimizer_img=name))
            state.iteration += 1
        torch.testing.assert_close(state.images, pixels.detach(), rtol=1e-5, atol=1e-6)


def test_curves_of_several_losses_are_recorded(tiny_dataset):
    values = distill(tiny_dataset, CELLS["several"], ipc=2, seed=0).curve.values
    assert {"mean", "own", "own.blocks", "own.drawn", "total"} <= values.keys()
    totals = (
        torch.tensor(values["mean"])
        + torch.tensor(values["own"])
        + 0.1 * torch.tensor(values["own.blocks"])
        + torch.tensor(values["own.drawn"])
    )
    torch.testing.assert_close(totals, torch.tensor(values["total"]), rtol=1e-4, atol=1e-4)
    assert "mean" not in distill(tiny_dataset, CELLS["blocks"], ipc=2, seed=0).curve.values


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            named("blocks", loss_options=(("powr", 1),)),
            "no option 'powr'; its options are power",
        ),
        (named("labels", loss_options=(("x", 1),)), "no option 'x'; it has no options"),
        (named("drawn", "blocks", loss_options=(("power", 1),)), "drawn.power or blocks.power"),
        (named("drawn", loss_options=(("blocks.power", 1),)), "'blocks.power' is of no loss"),
        (named("changes"), "changes images or features in place"),
        (named("Moving", loss_options=(("rate", "x"),)), "failed on features .*TypeError"),
        (named("blocks", network="MLP"), "'MLP' has no blocks"),
        (named("LOSSES"), "has no LOSSES"),
    ],
)
def test_what_cannot_work_is_refused(tiny_dataset, settings, message):
    with pytest.raises(SettingsError, match=message):
        distill(tiny_dataset, settings, ipc=2, seed=0)


def test_losses_without_weight_are_nothing_to_minimize(tiny_dataset):
    with pytest.raises(DistillationError, match="nothing would be minimized"):
        distill(tiny_dataset, named("drawn", lambda_mean=0.0, lambda_loss=0.0), ipc=2, seed=0)


def test_nothing_to_minimize_is_refused(tiny_dataset):
    with pytest.raises(DistillationError, match="nothing would be minimized"):
        distill(tiny_dataset, replace(BASE, lambda_mean=0.0), ipc=2, seed=0)
