from dataclasses import replace

import pytest
import torch

from distill_core.datasets.load import load_dataset, restrict
from distill_core.distillation.loop import distill
from distill_core.evaluation.continual import build_memory, evaluate_step
from distill_core.evaluation.evaluate import TrainingSet, evaluate_network
from distill_core.seeds import derive_seed
from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
)
from distill_core.synthetic_set import SyntheticSet, to_pixels
from distill_core.training.extractors import ExtractorPool, train_extractor

SETTINGS = EvaluationSettings(num_eval=1, epoch_eval_train=30, dsa_strategy="color_crop")
ORDER = (2, 0, 1)


def part(data, classes):
    """All training images of some classes with the labels of a set of these classes."""
    train = restrict(data, classes).train
    return train.normalize(train.images), train.labels


def evaluate(data, steps, step, *, settings=SETTINGS, seed=0, index=0, of=None):
    joined = build_memory([part(data, classes) for classes in steps[:step]], steps[:step])
    return evaluate_step(
        *joined,
        data.test,
        data.info,
        settings,
        seen=sum(steps[:step], ()),
        network="ConvNetW8D2",
        seed=seed,
        index=index,
        step=step,
        steps=of or len(steps),
    )


def test_memory_has_the_labels_of_the_data_set():
    parts = [
        (torch.zeros(3, 1, 2, 2), torch.tensor([1, 0, 1])),
        (torch.ones(2, 1, 2, 2), torch.tensor([0, 1])),
    ]
    images, labels = build_memory(parts, [(7, 3), (5, 9)])
    assert labels.tolist() == [3, 7, 3, 5, 9]
    assert images[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1]
    assert build_memory(parts[:1], [(7, 3)])[1].tolist() == [3, 7, 3]


def test_memory_of_sets_and_steps_that_do_not_fit_is_refused():
    part = (torch.zeros(2, 1, 2, 2), torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="1 sets and 2 steps"):
        build_memory([part], [(0, 1), (2, 3)])
    with pytest.raises(ValueError, match="set of step 1 must be in 0 … 1"):
        build_memory([part], [(0, 1)])


def test_one_step_of_all_classes_is_an_ordinary_evaluation(tiny_dataset):
    """All test images count equally; only the seed and the order of classes differ."""
    data = replace(
        tiny_dataset, test=tiny_dataset.test.subset(torch.tensor([0, 10, 11, *range(20, 30)]))
    )
    result = evaluate(data, [ORDER], 1)
    weighted = sum(
        data.test.counts[c] * result.class_accuracies[place] for place, c in enumerate(ORDER)
    )
    assert result.accuracy == pytest.approx(weighted / 13)
    training = TrainingSet.from_tensors(*build_memory([part(data, ORDER)], [ORDER]), "cpu")
    seed = derive_seed("continual learning", "tiny", "ConvNetW8D2", 0, 1, 1)
    ordinary = evaluate_network(
        training, data.test, data.info, SETTINGS, network="ConvNetW8D2", seed=seed, index=0
    )
    assert result.accuracy == ordinary.accuracy
    assert result.class_accuracies == tuple(ordinary.class_accuracies[c] for c in ORDER)
    assert result.fit == ordinary.fit


def test_only_classes_seen_are_tested_and_named_in_their_order(tiny_dataset):
    steps = [(2,), (0,), (1,)]
    first, second = evaluate(tiny_dataset, steps, 1), evaluate(tiny_dataset, steps, 2)
    assert len(first.class_accuracies) == 1 and first.accuracy == first.class_accuracies[0] == 1
    assert len(second.class_accuracies) == 2
    assert second.accuracy == pytest.approx(sum(second.class_accuracies) / 2)
    # Nothing but class 2 is in the memory, so an untouched order would show class 0's failure here.
    dark = evaluate_step(
        *build_memory([part(tiny_dataset, (2,))], [(2,)]),
        tiny_dataset.test,
        tiny_dataset.info,
        SETTINGS,
        seen=(2, 0),
        network="ConvNetW8D2",
        seed=0,
        index=0,
        step=1,
        steps=3,
    )
    assert dark.class_accuracies == (1.0, 0.0)
    assert dark.accuracy == 0.5


def test_networks_have_an_output_for_classes_that_have_not_come(tiny_dataset):
    """An untrained network over three classes recognizes one of two seen classes only by chance."""
    untrained = replace(SETTINGS, epoch_eval_train=0, lr_net=0.0, weight_decay=0.0)
    accuracies = [
        evaluate(tiny_dataset, [(2,), (0,), (1,)], 1, settings=untrained, index=index).accuracy
        for index in range(8)
    ]
    assert min(accuracies) < 1


def test_results_do_not_depend_on_the_order_of_evaluation(tiny_dataset):
    steps = [(2,), (0,), (1,)]
    forwards = [evaluate(tiny_dataset, steps, step) for step in (1, 2, 3)]
    backwards = [evaluate(tiny_dataset, steps, step) for step in (3, 2, 1)]
    assert forwards == backwards[::-1]


def test_networks_differ_by_step_steps_order_and_index_and_by_nothing_else(tiny_dataset):
    quick, steps = replace(SETTINGS, epoch_eval_train=0), [(2,), (0,), (1,)]
    seeds = [
        evaluate(tiny_dataset, steps, 1, settings=quick).seed,
        evaluate(tiny_dataset, steps, 2, settings=quick).seed,
        evaluate(tiny_dataset, steps, 1, settings=quick, of=1).seed,
        evaluate(tiny_dataset, steps, 1, settings=quick, seed=1).seed,
        evaluate(tiny_dataset, steps, 1, settings=quick, index=1).seed,
    ]
    assert len(set(seeds)) == len(seeds)
    assert evaluate(tiny_dataset, [(1,), (0,), (2,)], 1, settings=quick).seed == seeds[0]


def test_a_data_set_restricted_to_two_classes_is_distilled_and_joins_the_memory(tmp_path):
    classes = (7, 3)
    whole = load_dataset(DatasetRef(name="digits"), tmp_path)
    digits = load_dataset(DatasetRef(name="digits", classes=classes), tmp_path)
    extractor, _ = train_extractor(
        digits, ExtractorSettings(network="ConvNetW8", epochs=1), index=0
    )
    pool = ExtractorPool([extractor.eval().requires_grad_(False)])
    assert extractor.head.out_features == 2
    settings = DistillationSettings(
        network="ConvNetW8",
        iterations=2,
        batch_real=16,
        lambda_cc=0.05,
        lambda_cm=0.01,
        covariance="global",
    )
    state = distill(digits, settings, ipc=2, seed=0, extractors=pool)
    assert state.images.shape == (2, 2, 1, 32, 32)
    synthetic = SyntheticSet(
        images=to_pixels(state.images.flatten(0, 1), digits.info.mean, digits.info.std),
        labels=torch.tensor([0, 0, 1, 1]),
        dataset="digits",
        class_names=digits.info.classes,
        mean=digits.info.mean,
        std=digits.info.std,
        ipc=2,
        method="DM+IID",
    )
    images, labels = build_memory([synthetic.training_images()], [classes])
    assert labels.tolist() == [7, 7, 3, 3]
    result = evaluate_step(
        images,
        labels,
        whole.test,
        whole.info,
        SETTINGS,
        seen=classes,
        network="ConvNetW8",
        seed=0,
        index=0,
        step=1,
        steps=5,
    )
    right = sum(
        whole.test.counts[c] * a for c, a in zip(classes, result.class_accuracies, strict=True)
    )
    assert result.accuracy == pytest.approx(right / (whole.test.counts[7] + whole.test.counts[3]))
    assert result.accuracy > 0.5
