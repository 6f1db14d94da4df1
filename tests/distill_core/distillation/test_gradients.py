"""Replayed iterations equal plain ones, with a capture that simply calls the work again."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distill_core.distillation.base import MatchingNetwork
from distill_core.distillation.gradients import Iteration, ReplayedIterations, compute_iteration
from distill_core.distillation.loop import start_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationState
from distill_core.networks import build_network
from distill_core.runtime.execution import captured_mode, eager_mode
from distill_core.settings import DistillationSettings, QueueSettings
from distill_core.training.extractors import ExtractorPool

DM = DistillationSettings(
    network="ConvNetW8D2", iterations=8, batch_real=10, lambda_cc=0.05, lambda_cm=0.01
)
IDM = replace(
    DM,
    partition=2,
    lr_img=0.2,
    queue=QueueSettings(
        networks=2, interval=2, max_networks=3, train_steps=2, batch_train=16, ce_weight=0.5
    ),
)
CASES = {
    "DM+IID": DM,
    "IDM+IID": IDM,
    "no augmentation": replace(DM, dsa_strategy="none"),
    "one operation": replace(DM, dsa_strategy="flip"),
    "batch norm": replace(DM, network="ConvNetW8D2BN"),
    "queue with batch norm": replace(IDM, network="ConvNetW8D2BN"),
}


class Capture:
    """Counts captures and replays, which call the work on tensors that must not have moved."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self):
        return self.record

    def record(self, work):
        self.recorded += 1
        places = {}

        def replay():
            self.replayed += 1
            with ParametersStay(places):
                work()

        return replay


class ParametersStay(TorchDispatchMode):
    """Remembers the memory of large operands from outside, and refuses other memory later."""

    def __init__(self, places):
        super().__init__()
        self.places, self.made, self.calls = places, [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, torch.Tensor) and not any(leaf is made for made in self.made):
                storage = leaf.untyped_storage().data_ptr()
                if storage not in {made.untyped_storage().data_ptr() for made in self.made}:
                    self.calls += 1
                    assert self.places.setdefault(self.calls, storage) == storage, (
                        f"{function} reads what was moved"
                    )
        result = function(*args, **(kwargs or {}))
        self.made += [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        return result


@pytest.fixture
def pool():
    networks = [
        build_network(
            name,
            channels=1,
            classes=3,
            image_size=16,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed, name in enumerate(("ConvNetW8D1", "ConvNetW8D1", "ConvNetW8D2"))
    ]
    return ExtractorPool([network.eval().requires_grad_(False) for network in networks])


@pytest.fixture
def advanced(tiny_dataset, pool):
    """Distill a cohort to its end, in graphs if there is a capture."""

    def advanced(*cells, capture=None):
        cohort = start_cohort(tiny_dataset, cells, ipc=2, seed=0, extractors=pool)
        if capture is not None:
            cohort.mode = replace(captured_mode(), capture=capture)
            if cohort.settings.queue is not None:
                cohort.source.mode = cohort.mode
        while cohort.advance():
            pass
        assert all(run.error is None for run in cohort.runs)
        return [run.state for run in cohort.runs]

    return advanced


def equal(one, other):
    assert torch.equal(one.images, other.images) and torch.equal(one.velocity, other.velocity)
    for name, values in one.curve.values.items():
        if name != "seconds_per_iteration":
            assert other.curve.values[name] == pytest.approx(values, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_replayed_equals_plain(advanced, case):
    capture, cell = Capture(), SetRun(settings=CASES[case])
    (replayed,) = advanced(cell, capture=capture)
    (plain,) = advanced(cell)
    equal(replayed, plain)
    assert 0 < capture.recorded < capture.replayed


def test_a_cohort_of_which_one_cell_comes_later(advanced, tmp_path):
    """The cells change to another graph when the late one has caught up."""

    def late():
        (state,) = advanced(SetRun(settings=replace(DM, iterations=3)))
        state.save(tmp_path / "checkpoint")
        return SetRun(
            settings=replace(DM, lambda_cm=0.0),
            resume=DistillationState.load(tmp_path / "checkpoint"),
        )

    others = [SetRun(settings=replace(DM, lambda_cc=0.0)), SetRun(settings=DM)]
    capture = Capture()
    replayed, plain = advanced(late(), *others, capture=capture), advanced(late(), *others)
    assert 0 < capture.recorded < capture.replayed
    for one, other in zip(replayed, plain, strict=True):
        equal(one, other)


def test_a_queue_continues_in_graphs_where_it_stopped_without(advanced, tmp_path):
    saved = {}

    def save(state):
        saved["at"] = state.iteration
        state.save(tmp_path / "checkpoint")

    due = iter([False, False, False, False, True, *[False] * 9])
    (whole,) = advanced(
        SetRun(settings=IDM, hooks=Hooks(checkpoint_due=lambda: next(due), checkpoint=save))
    )
    state = DistillationState.load(tmp_path / "checkpoint")
    capture = Capture()
    (resumed,) = advanced(SetRun(settings=IDM, resume=state), capture=capture)
    assert saved == {"at": 5} and torch.equal(resumed.images, whole.images) and capture.replayed


def test_what_an_iteration_follows_from_decides_its_graph(tiny_dataset):
    """Weights that are numbers, and networks with the same parameters but other layers."""
    images, mode = tiny_dataset.train, eager_mode("asked for")
    settings = DistillationSettings(batch_real=10, lambda_cc=0.0, lambda_cm=0.0)
    draws = torch.Generator().manual_seed(0)
    plain = partial(compute_iteration, images=images, mode=mode, extractor_mode=mode, class_chunk=3)
    capture = Capture()
    replayed = ReplayedIterations(plain, capture)
    networks = [
        build_network(name, channels=1, classes=3, image_size=16, generator=draws).requires_grad_(
            False
        )
        for name in ("ConvNetW8D2AP", "ConvNetW8D2MP", "ConvNetW8D2AP")
    ]
    for round_ in range(3):
        for network in networks:
            for weight in (0.0, 0.5 + round_):
                iteration = Iteration(
                    settings=(settings,),
                    images=(torch.randn(3, 2, 1, 16, 16, generator=draws),),
                    matching=MatchingNetwork(network, ce_weight=weight),
                    extractor=None,
                    indices=images.draw(draws, 10),
                    draw=None,
                )
                ((one, losses),), ((other, expected),) = replayed(iteration), plain(iteration)
                assert (
                    torch.equal(one, other)
                    and losses == expected
                    and ("ce" in losses) == (weight > 0)
                )
    assert capture.recorded == 4
