"""Replayed iterations are what iterations are that run anew, with a capture that merely calls the work again."""

from dataclasses import replace

import pytest
import torch

from distill_core.extractors import ExtractorPool
from distill_core.matching.cell import Cell, Hooks
from distill_core.matching.loop import start
from distill_core.matching.state import DistillationState
from distill_core.networks import build_network
from distill_core.passes import captured
from distill_core.settings import DistillationSettings, QueueSettings

DM = DistillationSettings(network="ConvNetW8D2", iterations=8, batch_real=10, lambda_cc=0.05, lambda_cm=0.01)
IDM = replace(
    DM,
    partition=2,
    lr_img=0.2,
    queue=QueueSettings(networks=2, interval=2, max_networks=3, train_steps=2, batch_train=16, ce_weight=0.5),
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
    """Counts what it recorded and replayed; the work is called again each time."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, work):
        self.recorded += 1

        def replay():
            self.replayed += 1
            work()

        return replay


@pytest.fixture
def pool():
    networks = [
        build_network(name, channels=1, classes=3, image_size=16, generator=torch.Generator().manual_seed(seed))
        for seed, name in enumerate(("ConvNetW8D1", "ConvNetW8D1", "ConvNetW8D2"))
    ]
    return ExtractorPool([network.eval().requires_grad_(False) for network in networks])


@pytest.fixture
def advanced(tiny_dataset, pool):
    """Distils a cohort to its end, in graphs if there is a capture."""

    def advanced(*cells, capture=None):
        cohort = start(tiny_dataset, cells, ipc=2, seed=0, extractors=pool)
        if capture is not None:
            cohort.passes = replace(captured(), capture=capture)
            if cohort.settings.queue is not None:
                cohort.source.passes = cohort.passes
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
def test_replayed_equals_anew(advanced, case):
    capture, cell = Capture(), Cell(settings=CASES[case])
    (replayed,) = advanced(cell, capture=capture)
    (anew,) = advanced(cell)
    equal(replayed, anew)
    assert 0 < capture.recorded < capture.replayed


def test_a_cohort_of_which_one_cell_comes_later(advanced, tmp_path):
    """Its cells leave one graph for another as the late one catches up."""

    def late():
        (state,) = advanced(Cell(settings=replace(DM, iterations=3)))
        state.save(tmp_path / "checkpoint")
        return Cell(settings=replace(DM, lambda_cm=0.0), resume=DistillationState.load(tmp_path / "checkpoint"))

    others = [Cell(settings=replace(DM, lambda_cc=0.0)), Cell(settings=DM)]
    replayed, anew = advanced(late(), *others, capture=Capture()), advanced(late(), *others)
    for one, other in zip(replayed, anew, strict=True):
        equal(one, other)


def test_a_queue_goes_on_in_graphs_where_it_stopped_without(advanced, tmp_path):
    saved = {}

    def save(state):
        saved["at"] = state.iteration
        state.save(tmp_path / "checkpoint")

    due = iter([False, False, False, False, True, *[False] * 9])
    (whole,) = advanced(Cell(settings=IDM, hooks=Hooks(checkpoint_due=lambda: next(due), checkpoint=save)))
    state = DistillationState.load(tmp_path / "checkpoint")
    (resumed,) = advanced(Cell(settings=IDM, resume=state), capture=Capture())
    assert saved == {"at": 5} and torch.equal(resumed.images, whole.images)
