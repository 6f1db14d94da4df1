"""Kernels on a GPU compared with those on a CPU, in float32."""

from dataclasses import replace

import pytest
import torch

from distill_core.distillation.loop import distill, start_cohort
from distill_core.distillation.run import Hooks, SetRun
from distill_core.distillation.state import DistillationState
from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.networks import build_network
from distill_core.runtime.execution import captured_mode, eager_mode
from distill_core.runtime.precision import use_precision
from distill_core.settings import (
    DSA_ALL,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    QueueSettings,
)
from distill_core.training.extractors import ExtractorPool, train_extractor
from distill_core.training.trainer import Schedule, fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DM_IID = DistillationSettings(
    network="ConvNetW8D2",
    iterations=5,
    batch_real=10,
    lambda_cc=0.05,
    lambda_cm=0.01,
    precision="float32",
)
IDM_IID = replace(
    DM_IID,
    partition=2,
    lr_img=0.2,
    queue=QueueSettings(networks=2, interval=2, train_steps=2, batch_train=16),
)


@pytest.fixture(scope="module")
def on_gpu(tiny_dataset):
    def moved(images):
        return replace(images, images=images.images.cuda(), labels=images.labels.cuda())

    return replace(tiny_dataset, train=moved(tiny_dataset.train), test=moved(tiny_dataset.test))


def pool(device):
    networks = [
        build_network("ConvNetW8D1", channels=1, classes=3, image_size=16) for _ in range(2)
    ]
    return ExtractorPool([network.to(device).eval().requires_grad_(False) for network in networks])


@pytest.mark.parametrize("settings", [DM_IID, IDM_IID], ids=["DM+IID", "IDM+IID"])
def test_distillation(tiny_dataset, on_gpu, settings):
    cpu = distill(tiny_dataset, settings, ipc=2, seed=0, extractors=pool("cpu"))
    gpu = distill(on_gpu, settings, ipc=2, seed=0, extractors=pool("cuda"))
    assert gpu.images.is_cuda
    torch.testing.assert_close(gpu.images.cpu(), cpu.images, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_fast_arithmetic_is_close(tiny_dataset, on_gpu, precision):
    cpu = distill(tiny_dataset, DM_IID, ipc=2, seed=0, extractors=pool("cpu"))
    gpu = distill(
        on_gpu, replace(DM_IID, precision=precision), ipc=2, seed=0, extractors=pool("cuda")
    )
    torch.testing.assert_close(gpu.images.cpu(), cpu.images, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("settings", [DM_IID, IDM_IID], ids=["DM+IID", "IDM+IID"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_captured_iterations_agree_with_plain_iterations(on_gpu, settings, precision):
    """Graphs of gradients and of the queue's steps, while networks enter and leave the queue."""
    settings = replace(settings, iterations=12, precision=precision)
    images = []
    for way in (eager_mode("asked for"), captured_mode()):
        cohort = start_cohort(
            on_gpu, [SetRun(settings=settings)], ipc=2, seed=0, extractors=pool("cuda")
        )
        cohort.mode = way
        if settings.queue is not None:
            cohort.source.mode = way
        with use_precision(precision):
            while cohort.advance():
                pass
        images.append(cohort.runs[0].state.images)
    near = 1e-3 if precision == "float32" else 0.05
    torch.testing.assert_close(images[1], images[0], rtol=near, atol=near)


def test_a_checkpoint_moves_between_devices(tmp_path, tiny_dataset, on_gpu):
    class Killed(Exception):
        pass

    def save_and_die(state):
        state.save(tmp_path / "checkpoint")
        raise Killed

    hooks = Hooks(checkpoint_due=lambda: True, checkpoint=save_and_die)
    with pytest.raises(Killed):
        distill(on_gpu, IDM_IID, ipc=2, seed=0, extractors=pool("cuda"), hooks=hooks)
    cpu = distill(tiny_dataset, IDM_IID, ipc=2, seed=0, extractors=pool("cpu"))
    for dataset, device in ((on_gpu, "cuda"), (tiny_dataset, "cpu")):
        state = DistillationState.load(tmp_path / "checkpoint", device)
        resumed = distill(dataset, IDM_IID, ipc=2, seed=0, extractors=pool(device), resume=state)
        torch.testing.assert_close(resumed.images.cpu(), cpu.images, rtol=1e-3, atol=1e-3)


def test_training_and_evaluation(on_gpu):
    settings = EvaluationSettings(epoch_eval_train=20, precision="float32")
    result = evaluate_network(
        TrainingSet.from_images(on_gpu.train),
        on_gpu.test,
        on_gpu.info,
        settings,
        network="ConvNetW8D2",
        seed=0,
        index=0,
    )
    assert result.accuracy > 0.6
    network, fitted = train_extractor(
        on_gpu, ExtractorSettings(network="ConvNetW8D2", epochs=10, batch_train=16), index=0
    )
    assert next(network.parameters()).is_cuda and fitted.accuracy > 0.4


def test_captured_steps_agree_with_plain_steps(on_gpu):
    """Graphs of all kinds of steps, with a learning rate drop and a smaller last batch."""
    schedule = Schedule(
        epochs=30,
        batch=16,
        lr=0.01,
        momentum=0.9,
        weight_decay=5e-4,
        dsa_strategy=DSA_ALL,
        precision="float32",
        drop_after=15,
    )
    parameters = {}
    for way in (eager_mode("asked for"), captured_mode()):
        network = build_network(
            "ConvNetW8D2",
            channels=1,
            classes=3,
            image_size=16,
            generator=torch.Generator().manual_seed(0),
        ).cuda()
        draws = torch.Generator().manual_seed(1)
        fit(network, on_gpu.train.normalized, on_gpu.train.labels, schedule, draws, mode=way)
        parameters[way.reason] = [parameter.detach().cpu() for parameter in network.parameters()]
    for plain, replayed in zip(*parameters.values(), strict=True):
        torch.testing.assert_close(replayed, plain, rtol=1e-3, atol=1e-4)
