import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from distill_core.augmentation import draw_augmentation
from distill_core.networks import build_network
from distill_core.runtime.execution import captured_mode, compiled_mode, eager_mode
from distill_core.runtime.winograd import COMPILERS
from distill_core.settings import EvaluationSettings
from distill_core.training import trainer
from distill_core.training.trainer import Checkpoints, Schedule, TrainingError, augment_each, fit

PLAIN = Schedule(
    epochs=5,
    batch=256,
    lr=0.01,
    momentum=0.9,
    weight_decay=5e-4,
    dsa_strategy="none",
    precision="float32",
)


def test_golden_steps(image, golden, fill_parameters):
    """Five full-batch steps of a ConvNet on synthetic images, then logits of real ones."""
    images, labels = image(12, 3, 32, 32, 22), torch.arange(3).repeat_interleave(4)
    network = fill_parameters(build_network("ConvNet", channels=3, classes=3, image_size=32))
    losses = []
    fit(
        network,
        images.__getitem__,
        labels,
        PLAIN,
        torch.Generator().manual_seed(0),
        lambda epoch, epochs, values: losses.append(values["loss"]),
    )
    torch.testing.assert_close(
        torch.tensor(losses), golden["eval/losses"].float(), rtol=1e-4, atol=1e-5
    )
    logits = network(image(24, 3, 32, 32, 21)).detach()
    torch.testing.assert_close(logits, golden["eval/logits_after"].float(), rtol=1e-3, atol=1e-3)


def test_the_drop_also_clears_the_momentum():
    """Compare with a hand-written loop on a linear problem."""
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    reference = build_network("MLP", channels=1, classes=2, image_size=4)
    images, labels = (
        torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1] * 3),
    )
    schedule = Schedule(
        epochs=4,
        batch=6,
        lr=0.1,
        momentum=0.9,
        weight_decay=0.0,
        dsa_strategy="none",
        precision="float32",
        drop_after=1,
    )
    fit(network, images.__getitem__, labels, schedule, torch.Generator().manual_seed(0))
    for rate, steps in ((0.1, 2), (0.01, 2)):
        optimizer = torch.optim.SGD(reference.parameters(), lr=rate, momentum=0.9)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(reference(images), labels).backward()
            optimizer.step()
    for ours, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_every_image_is_seen_once_an_epoch():
    seen = []
    network = build_network("MLP", channels=1, classes=2, image_size=4)

    def images(index):
        seen.append(index)
        return torch.zeros(len(index), 1, 4, 4)

    schedule = Schedule(
        epochs=2,
        batch=4,
        lr=0.1,
        momentum=0.9,
        weight_decay=0.0,
        dsa_strategy="none",
        precision="float32",
    )
    fit(network, images, torch.tensor([0, 1] * 5), schedule, torch.Generator().manual_seed(0))
    assert [len(index) for index in seen] == [4, 4, 2] * 2
    first, second = torch.cat(seen[:3]), torch.cat(seen[3:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()


def test_each_image_is_augmented_by_itself(image):
    same = image(1, 3, 16, 16, 1).expand(8, -1, -1, -1)
    draw = draw_augmentation("rotate", 8, 16, torch.Generator().manual_seed(0), same_op=True)
    augmented = augment_each(same, draw)
    assert len(augmented.flatten(1).unique(dim=0)) == 8


def test_a_diverged_network_is_no_result():
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    images, labels = torch.full((4, 1, 4, 4), 1e30), torch.tensor([0, 1, 0, 1])
    with pytest.raises(TrainingError, match="lower lr_net"):
        fit(network, images.__getitem__, labels, PLAIN, torch.Generator().manual_seed(0))


def test_published_schedule():
    from distill_core.evaluation.evaluate import build_schedule

    schedule = build_schedule(EvaluationSettings(epoch_eval_train=1000))
    assert schedule.epochs == 1001 and schedule.drop_after == 501


def test_certain_soft_labels_train_as_classes_do():
    """One-hot probabilities equal classes in loss and accuracy; uniform ones differ."""
    images, classes = (
        torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)),
        torch.tensor([0, 1, 2] * 2),
    )
    fits = {}
    for name, labels in (
        ("classes", classes),
        ("certain", F.one_hot(classes, 3).float()),
        ("uniform", torch.full((6, 3), 1 / 3)),
    ):
        network = build_network("MLP", channels=1, classes=3, image_size=8)
        network.load_state_dict(
            {n: 0.1 * torch.ones_like(v).cumsum(0).sin() for n, v in network.state_dict().items()},
            strict=True,
        )
        fits[name] = fit(
            network, images.__getitem__, labels, PLAIN, torch.Generator().manual_seed(0)
        )
    assert fits["certain"].accuracy == fits["classes"].accuracy
    assert fits["certain"].loss == pytest.approx(fits["classes"].loss, rel=1e-5)
    assert fits["uniform"].loss != pytest.approx(fits["classes"].loss, rel=1e-2)


class Stop(Exception):
    pass


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
@pytest.mark.parametrize("network", ["ConvNetW8BN", "MLP"])
def test_a_resumed_training_equals_an_uninterrupted_one(network, epochs):
    images = torch.randn(12, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1] * 6)
    schedule = replace(PLAIN, batch=5, dsa_strategy="color_crop_flip", drop_after=2)

    def train(checkpoints=None):
        made = build_network(
            network,
            channels=1,
            classes=2,
            image_size=32,
            generator=torch.Generator().manual_seed(2),
        )
        fitted = fit(
            made,
            images.__getitem__,
            labels,
            schedule,
            torch.Generator().manual_seed(0),
            checkpoints=checkpoints,
        )
        return fitted, made.state_dict()

    saved = []

    def save(state):
        saved.append({name: value.clone() for name, value in state.items()})
        if len(saved) == epochs:
            raise Stop

    with pytest.raises(Stop):
        train(Checkpoints(due=lambda: True, save=save))
    (whole, expected), (resumed, parameters) = train(), train(Checkpoints(resume=saved[-1]))
    assert resumed == whole
    for name, value in expected.items():
        assert torch.equal(parameters[name], value), name


def test_the_state_of_another_network_is_refused():
    images, labels = torch.zeros(4, 1, 4, 4), torch.tensor([0, 1] * 2)
    saved = []

    def train(classes, **checkpoints):
        made = build_network("MLP", channels=1, classes=classes, image_size=4)
        fit(
            made,
            images.__getitem__,
            labels,
            PLAIN,
            torch.Generator(),
            checkpoints=Checkpoints(**checkpoints),
        )

    train(2, due=lambda: True, save=saved.append)
    assert [int(state["epochs"]) for state in saved] == [
        1,
        2,
        3,
        4,
    ]  # no epoch follows the last one
    with pytest.raises(TrainingError, match="belongs to another training"):
        train(3, resume=saved[0])
    with pytest.raises(TrainingError, match="belongs to another training"):
        train(2, resume={"epochs": torch.tensor(1)})


def trained(network, mode, epochs=4, drop_after=1):
    images = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    schedule = replace(
        PLAIN, epochs=epochs, batch=5, dsa_strategy="color_crop_flip", drop_after=drop_after
    )
    made = build_network(
        network, channels=3, classes=3, image_size=32, generator=torch.Generator().manual_seed(2)
    )
    fitted = fit(
        made,
        images.__getitem__,
        torch.arange(12) % 3,
        schedule,
        torch.Generator().manual_seed(0),
        mode=mode,
    )
    return fitted, made.state_dict()


def test_replayed_steps_equal_plain_steps():
    """The capture simply calls the work again: this tests buffers, kinds of steps and the drop."""
    calls = {"recorded": 0, "replayed": 0}

    def capture(work):
        def replay():
            calls["replayed"] += 1
            work()

        calls["recorded"] += 1
        return replay

    (plain, expected), (replayed, parameters) = (
        trained("ConvNetW8", mode, epochs=12, drop_after=5)
        for mode in (eager_mode("asked for"), replace(captured_mode(), capture=lambda: capture))
    )
    assert (replayed.accuracy, replayed.loss) == (plain.accuracy, plain.loss)
    assert all(torch.equal(parameters[name], value) for name, value in expected.items())
    assert 0 < calls["recorded"] < calls["replayed"]


@pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="needs a C++ compiler")
@pytest.mark.parametrize(
    "network", ["ConvNetW8D1", pytest.param("ConvNetW8D2", marks=pytest.mark.slow)]
)
def test_compiled_steps_agree_with_eager_ones(network):
    (plain, expected), (fast, parameters) = (
        trained(network, mode) for mode in (eager_mode("asked for"), compiled_mode(winograd=False))
    )
    assert fast.mode == "compiled"
    assert fast.accuracy == plain.accuracy
    assert fast.loss == pytest.approx(plain.loss, rel=1e-3)
    for name, value in expected.items():
        torch.testing.assert_close(parameters[name], value, rtol=1e-3, atol=1e-4)


def fit_steps(epochs, monkeypatch, progress=None):
    """Train on one batch an epoch; return the fit and the number of its readings."""
    read = []
    original = trainer._Steps.read_fit
    monkeypatch.setattr(
        trainer._Steps, "read_fit", lambda self: read.append(self) or original(self)
    )
    network = build_network("MLP", channels=1, classes=2, image_size=4)
    images = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    schedule = replace(PLAIN, epochs=epochs, lr=0.001)
    labels, draws = torch.tensor([0, 1] * 3), torch.Generator().manual_seed(0)
    return fit(network, images.__getitem__, labels, schedule, draws, progress), len(read)


def test_a_long_training_reads_its_loss_every_so_often_and_at_the_end(monkeypatch):
    reported = []

    def progress(epoch, epochs, values):
        reported.append((epoch, set(values)))

    monkeypatch.setattr(trainer, "READINGS", 4)
    result, readings = fit_steps(21, monkeypatch, progress)
    with_values = [epoch for epoch, values in reported if values == {"loss", "accuracy"}]
    assert [epoch for epoch, _ in reported] == list(range(1, 22))
    assert with_values == [5, 10, 15, 20, 21] and readings == len(with_values)
    assert result == fit_steps(21, monkeypatch)[0]


def test_without_listener_only_the_end_is_read(monkeypatch):
    assert fit_steps(7, monkeypatch)[1] == 1


def test_a_failed_capture_is_recorded_and_changes_nothing():
    def refuse(work):
        raise RuntimeError("no capture")

    results = []
    for capture in (None, lambda: refuse):
        network = build_network("MLP", channels=1, classes=2, image_size=4)
        images = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
        mode = replace(captured_mode(), capture=capture)
        labels, draws = torch.tensor([0, 1] * 3), torch.Generator().manual_seed(0)
        results.append(fit(network, images.__getitem__, labels, PLAIN, draws, mode=mode))
    assert replace(results[1], mode="captured") == results[0]
    assert results[1].mode == "eager: no CUDA graph (RuntimeError: no capture)"
