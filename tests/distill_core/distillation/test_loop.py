from dataclasses import replace

import pytest
import torch

from distill_core.distillation.initial_images import draw_initial_indices, make_initial_images
from distill_core.distillation.loop import distill
from distill_core.distillation.objective import decode_canvases
from distill_core.distillation.run import Hooks
from distill_core.distillation.state import CheckpointError, DistillationError, DistillationState
from distill_core.networks import build_network
from distill_core.settings import DistillationSettings, QueueSettings
from distill_core.training.extractors import ExtractorPool

DM = DistillationSettings(network="ConvNetW8D2", iterations=6, batch_real=10)
DM_IID = replace(DM, lambda_cc=0.05, lambda_cm=0.01)
IDM_IID = replace(
    DM_IID,
    partition=2,
    lr_img=0.2,
    queue=QueueSettings(networks=2, interval=2, max_networks=3, train_steps=2, batch_train=16),
)
METHODS = {"DM": DM, "DM+IID": DM_IID, "IDM+IID": IDM_IID}


@pytest.fixture(scope="module")
def pool():
    names = ("ConvNetW8D1", "ConvNetW8D2")
    networks = [build_network(name, channels=1, classes=3, image_size=16) for name in names]
    return ExtractorPool([network.eval().requires_grad_(False) for network in networks])


class Killed(Exception):
    pass


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("at", [1, 3, 5])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, tiny_dataset, pool, method, at):
    settings = METHODS[method]
    whole = distill(tiny_dataset, settings, ipc=2, seed=0, extractors=pool)
    iterations = iter(range(1, settings.iterations + 1))

    def save_and_die(state):
        state.save(tmp_path / "checkpoint")
        raise Killed

    with pytest.raises(Killed):
        hooks = Hooks(checkpoint_due=lambda: next(iterations) == at, checkpoint=save_and_die)
        distill(tiny_dataset, settings, ipc=2, seed=0, extractors=pool, hooks=hooks)
    state = DistillationState.load(tmp_path / "checkpoint")
    assert state.iteration == at
    resumed = distill(tiny_dataset, settings, ipc=2, seed=0, extractors=pool, resume=state)
    assert torch.equal(resumed.images, whole.images)
    assert resumed.curve.iteration == whole.curve.iteration
    assert resumed.curve.values.keys() == whole.curve.values.keys()
    for name, values in whole.curve.values.items():
        assert resumed.curve.values[name] == pytest.approx(values, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_set_whatever_the_global_generator(tiny_dataset, pool, method):
    torch.manual_seed(1)
    first = distill(tiny_dataset, METHODS[method], ipc=2, seed=0, extractors=pool)
    torch.manual_seed(2)
    torch.rand(5)
    again = distill(tiny_dataset, METHODS[method], ipc=2, seed=0, extractors=pool)
    other = distill(tiny_dataset, METHODS[method], ipc=2, seed=1, extractors=pool)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_chunks_of_classes_change_only_rounding(tiny_dataset, pool):
    one, all_ = (
        distill(tiny_dataset, DM_IID, ipc=2, seed=0, extractors=pool, class_chunk=k) for k in (1, 3)
    )
    torch.testing.assert_close(one.images, all_.images, rtol=1e-4, atol=1e-4)


def test_batch_norm_sees_all_classes_at_once(tiny_dataset):
    settings = replace(DM, network="ConvNetW8D2BN")
    one, all_ = (distill(tiny_dataset, settings, ipc=2, seed=0, class_chunk=k) for k in (1, 3))
    assert torch.equal(one.images, all_.images)


def test_weights_of_zero_are_the_base(tiny_dataset, pool):
    base = distill(tiny_dataset, DM, ipc=2, seed=0)
    assert torch.equal(
        base.images, distill(tiny_dataset, DM, ipc=2, seed=0, extractors=pool).images
    )
    assert not torch.equal(
        base.images, distill(tiny_dataset, DM_IID, ipc=2, seed=0, extractors=pool).images
    )


def test_one_image_a_class_makes_iid_the_base(tiny_dataset, pool):
    base = distill(tiny_dataset, DM, ipc=1, seed=0)
    iid = distill(tiny_dataset, DM_IID, ipc=1, seed=0, extractors=pool)
    torch.testing.assert_close(iid.images, base.images, rtol=1e-5, atol=1e-6)


def test_mean_matching_decreases(tiny_dataset):
    state = distill(tiny_dataset, replace(DM, iterations=60, init="noise"), ipc=2, seed=0)
    losses = state.curve.values["mean"]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_methods_start_from_the_same_images(tiny_dataset):
    plain = make_initial_images(tiny_dataset, DM, ipc=3, seed=4)
    canvases = make_initial_images(tiny_dataset, IDM_IID, ipc=3, seed=4)
    random = tiny_dataset.train.normalized(draw_initial_indices(tiny_dataset, 3, seed=4))
    assert torch.equal(plain, random)
    cells = decode_canvases(canvases, 2)
    assert cells.shape == (3, 12, 1, 16, 16)
    small = torch.nn.functional.interpolate(plain.flatten(0, 1), scale_factor=0.5, mode="bilinear")
    up = torch.nn.functional.interpolate(small, size=16, mode="bilinear").view(3, 3, 1, 16, 16)
    torch.testing.assert_close(cells[:, :3], up)


def test_progress_and_curve_have_every_loss(tiny_dataset, pool):
    seen = []
    hooks = Hooks(progress=lambda step, total, values: seen.append((step, total, set(values))))
    state = distill(tiny_dataset, IDM_IID, ipc=1, seed=0, extractors=pool, hooks=hooks)
    assert [step for step, _, _ in seen] == list(range(1, 7)) == state.curve.iteration
    assert {"total", "mean", "cc", "cm", "gradient_norm", "seconds_per_iteration"} <= seen[0][2]
    assert "ce" in seen[-1][2]
    assert all(len(values) == 6 for values in state.curve.values.values())


def test_idm_queue_keeps_its_length(tiny_dataset):
    states = []
    hooks = Hooks(
        checkpoint_due=lambda: True, checkpoint=lambda state: states.append(dict(state.source))
    )
    distill(tiny_dataset, replace(IDM_IID, lambda_cc=0.0, iterations=8), ipc=1, seed=0, hooks=hooks)
    lengths = [len({name.split(".")[0] for name in source}) for source in states]
    assert lengths == [2, 2, 3, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("settings", "ipc", "message"),
    [
        (DM_IID, 2, "lambda_cc"),
        (DM, 21, "smallest class of tiny has 20"),
        (replace(IDM_IID, lambda_cc=0.0, partition=3), 1, "partition 3"),
        (replace(DM, lr_img=1e30), 1, "iteration"),
    ],
)
def test_what_cannot_be_is_said(tiny_dataset, settings, ipc, message):
    with pytest.raises(DistillationError, match=message):
        distill(tiny_dataset, settings, ipc=ipc, seed=0)


def test_damaged_checkpoints_are_refused_by_name(tmp_path):
    (tmp_path / "broken").write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match="broken"):
        DistillationState.load(tmp_path / "broken")


def test_a_state_says_how_its_networks_were_run_also_after_a_resume(tmp_path, tiny_dataset, pool):
    def stop(state):
        state.save(tmp_path / "checkpoint")
        raise Killed

    begin = {"ipc": 2, "seed": 0, "extractors": pool}
    due = Hooks(checkpoint_due=lambda: True, checkpoint=stop)
    with pytest.raises(Killed):
        distill(tiny_dataset, DM_IID, **begin, class_chunk=2, hooks=due)
    for chunk, expected in ((2, [(0, 2)]), (1, [(0, 2), (1, 1)])):
        state = DistillationState.load(tmp_path / "checkpoint")
        ended = distill(tiny_dataset, DM_IID, **begin, class_chunk=chunk, resume=state)
        assert [(way.iteration, way.class_chunk) for way in ended.ways] == expected
        assert all(way.passes == "eager: too short to repay compilation" for way in ended.ways)


def test_batch_norm_is_recorded_with_all_classes_at_once(tiny_dataset):
    settings = replace(DM, network="ConvNetW8D2BN", iterations=1)
    state = distill(tiny_dataset, settings, ipc=2, seed=0, class_chunk=1)
    assert [way.class_chunk for way in state.ways] == [3]
