"""Each set of a cohort is bit for bit the same as if distilled alone."""

from dataclasses import replace

import pytest
import torch

from distill_core.distillation.loop import distill, distill_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import CheckpointError, DistillationError, DistillationState
from distill_core.networks import build_network
from distill_core.settings import DistillationSettings, QueueSettings
from distill_core.training.extractors import ExtractorPool

DM = DistillationSettings(network="ConvNetW8D2", iterations=5, batch_real=10)
QUEUE = QueueSettings(networks=2, interval=2, max_networks=3, train_steps=2, batch_train=8)
IDM = replace(DM, partition=2, lr_img=0.2, queue=QUEUE)
BASES = {"DM": DM, "IDM": IDM}
CHANGES = {
    "weights of zero": {},
    "CC": {"lambda_cc": 0.05},
    "CM": {"lambda_cm": 0.01},
    "both": {"lambda_cc": 0.05, "lambda_cm": 0.01},
    "exponential form": {"lambda_cc": 0.05, "cc_alpha": 0.001, "cc_beta": 0.5},
    "global covariance": {"lambda_cm": 0.001, "covariance": "global"},
    "pixels' optimizer": {"lambda_cm": 0.01, "lr_img": 0.5, "momentum_img": 0.1},
}


@pytest.fixture(scope="module")
def pool():
    networks = [
        build_network(name, channels=1, classes=3, image_size=16)
        for name in ("ConvNetW8D1", "ConvNetW8D2")
    ]
    return ExtractorPool([network.eval().requires_grad_(False) for network in networks])


@pytest.fixture
def alone(tiny_dataset, pool):
    def alone(settings, **options):
        return distill(tiny_dataset, settings, ipc=2, seed=0, extractors=pool, **options)

    return alone


@pytest.fixture
def together(tiny_dataset, pool):
    def together(cells, **options):
        return distill_cohort(tiny_dataset, cells, ipc=2, seed=0, extractors=pool, **options)

    return together


def cells_of(base):
    return [replace(base, **changes) for changes in CHANGES.values()]


def equal(one, other):
    assert torch.equal(one.images, other.images) and torch.equal(one.velocity, other.velocity)
    assert (
        one.curve.iteration == other.curve.iteration
        and one.curve.values.keys() == other.curve.values.keys()
    )
    for name, values in one.curve.values.items():
        assert other.curve.values[name] == pytest.approx(values, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("base", BASES)
def test_each_set_equals_a_single_run(alone, together, base, chunk):
    settings = cells_of(BASES[base])
    states = together([SetRun(settings=each) for each in settings], class_chunk=chunk)
    for each, state in zip(settings, states, strict=True):
        equal(state, alone(each, class_chunk=chunk))
    assert len({state.images.numpy().tobytes() for state in states}) == len(settings)


class Killed(Exception):
    pass


def saving(path, *, at):
    """Hooks that save the state once and end the run."""
    due = iter(range(1, 100))

    def save(state):
        state.save(path)
        raise Killed

    return Hooks(checkpoint_due=lambda: next(due) == at, checkpoint=save)


@pytest.mark.parametrize("base", BASES)
def test_cells_stopped_at_different_iterations_go_on_together(tmp_path, alone, together, base):
    settings = cells_of(BASES[base])[:4]
    stops = [1, 3, 4, None]
    cells = [
        SetRun(settings=each)
        if at is None
        else SetRun(settings=each, hooks=saving(tmp_path / str(at), at=at))
        for each, at in zip(settings, stops, strict=True)
    ]
    ended = together(cells)
    assert [type(end) for end in ended] == [Killed, Killed, Killed, DistillationState]
    equal(ended[3], alone(settings[3]))
    resumed = [DistillationState.load(tmp_path / str(at)) for at in stops[:3]]
    assert [state.iteration for state in resumed] == [1, 3, 4]
    again = together(
        [
            SetRun(settings=each, resume=state)
            for each, state in zip(settings, resumed, strict=False)
        ]
    )
    for each, state in zip(settings, again, strict=False):
        equal(state, alone(each))


def test_cells_wait_for_those_behind_even_if_these_end_on_the_way(tmp_path, alone, together):
    """The queue skips to the iteration of the cells that waited."""
    one, other = cells_of(IDM)[:2]
    together([SetRun(settings=other, hooks=saving(tmp_path / "other", at=4))])
    cells = [
        SetRun(settings=one, hooks=saving(tmp_path / "one", at=2)),
        SetRun(settings=other, resume=DistillationState.load(tmp_path / "other")),
    ]
    _, resumed = together(cells)
    equal(resumed, alone(other))
    (last,) = together([SetRun(settings=one, resume=DistillationState.load(tmp_path / "one"))])
    equal(last, alone(one))


def test_a_cell_that_diverges_ends_alone(alone, together):
    wild = replace(DM, lr_img=1e30, lambda_cm=0.01)
    first, diverged, last = together(
        [SetRun(settings=each) for each in (DM, wild, replace(DM, lambda_cm=0.01))]
    )
    assert isinstance(diverged, DistillationError) and "at iteration" in str(diverged)
    equal(first, alone(DM))
    equal(last, alone(replace(DM, lambda_cm=0.01)))


def test_time_is_shared_out(together):
    seconds = [
        state.seconds for state in together([SetRun(settings=each) for each in cells_of(DM)])
    ]
    assert min(seconds) > 0 and seconds == pytest.approx([seconds[0]] * len(seconds))


def test_networks_are_drawn_once_for_all(together, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "distill_core.distillation.dm.initialize", lambda network, generator: drawn.append(network)
    )
    together([SetRun(settings=each) for each in cells_of(DM)])
    assert len(drawn) == DM.iterations


def own_loss(real, synthetic):
    real.zero_()
    return synthetic.square().mean()


def test_a_custom_loss_cannot_disturb_the_others(alone, together):
    mine = replace(DM, lambda_cm=0.01, loss=f"{__name__}:own_loss")
    states = together(
        [SetRun(settings=mine), SetRun(settings=replace(DM, lambda_cm=0.01))], class_chunk=1
    )
    equal(states[1], alone(replace(DM, lambda_cm=0.01), class_chunk=1))


@pytest.mark.parametrize(
    "change", [{"batch_real": 5}, {"network": "ConvNetW8D1"}, {"iterations": 4}, {"init": "noise"}]
)
def test_cells_share_all_that_an_iteration_draws(together, change):
    with pytest.raises(ValueError, match="may differ only in weights"):
        together([SetRun(settings=DM), SetRun(settings=replace(DM, **change))])


def test_a_custom_base_is_not_shared(together):
    each = replace(DM, base="distill_core.distillation.dm:DM")
    assert len(together([SetRun(settings=each)])) == 1
    with pytest.raises(ValueError, match="may differ only in weights"):
        together([SetRun(settings=each), SetRun(settings=each)])


def test_another_runs_state_is_refused(tiny_dataset, alone):
    state = distill(tiny_dataset, DM, ipc=1, seed=0)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        alone(DM, resume=state)
