"""Units that measure sets while classes arrive, or their features; and what a unit may see of the
test images.
"""

import dataclasses
from functools import partial

import numpy as np
import pytest
import torch

from distill_core.datasets.load import load_dataset
from distill_core.evaluation.class_order import split_class_order
from distill_core.evaluation.evaluate import evaluate_network
from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    FeatureSettings,
    QueueSettings,
)
from distill_core.synthetic_set import SyntheticSet
from orchestrator.execution import unit_functions
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.execution.unit_functions import SET_FILE, inputs
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.units import KINDS, Continual, Distill, Embed, Evaluate, Select, TrainExtractor

DIGITS = DatasetRef(name="digits")
EVALUATION = EvaluationSettings(num_eval=2, epoch_eval_train=1, batch_train=64)
POOL = ExtractorSettings(network="ConvNetW8", epochs=1)


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture
def run(store, tmp_path):
    """Compute units one after the other; return the rows of the last."""

    def run(*units):
        settings = TrialSettings(
            store=str(store.root), data_root=str(tmp_path), run="run", tensorboard=False
        )
        for unit in units:
            result = compute_unit(unit, settings, device="cpu")
            assert result.status == "done", result
        return tables.read(store.tables, KINDS[units[-1].kind].table, [units[-1].key]).to_pylist()

    return run


def step_sets(steps, seed, protocol="paper"):
    return [
        Select(
            dataset=dataclasses.replace(DIGITS, classes=classes),
            protocol=protocol,
            method="random",
            ipc=2,
            seed=seed,
        )
        for classes in split_class_order(10, steps, seed)
    ]


def continual(sets, seed, **changes):
    fields = {
        "dataset": DIGITS,
        "protocol": "paper",
        "split": "test",
        "network": "ConvNetW8",
        "settings": EVALUATION,
        "seed": seed,
        "parents": tuple(unit.key for unit in sets),
    }
    return Continual(**fields | changes)


def test_after_each_step_networks_are_tested_on_the_classes_seen(run, tmp_path):
    sets = step_sets(5, seed=1)
    rows = run(*sets, continual(sets, 1))
    assert [(row["step"], row["network_index"]) for row in rows] == [
        (s, i) for s in range(1, 6) for i in range(2)
    ]
    order = np.random.RandomState(1).permutation(10).tolist()
    counts = torch.bincount(load_dataset(DIGITS, tmp_path).test.labels).tolist()
    for row in rows:
        seen = order[: 2 * row["step"]]
        assert (
            row["classes"] == seen
            and row["steps"] == 5
            and row["ipc"] == 2
            and row["method"] == "Random"
        )
        weights = [counts[label] for label in seen]
        assert row["accuracy"] == pytest.approx(
            np.average(row["class_accuracies"], weights=weights)
        )
    assert len({row["network_seed"] for row in rows}) == len(rows)


def test_a_stopped_run_keeps_its_networks_and_gives_the_same_result(
    run, store, tmp_path, monkeypatch
):
    sets = step_sets(2, seed=0)
    whole = run(*sets, continual(sets, 0))
    other = open_store(tmp_path / "other")
    settings = TrialSettings(
        store=str(other.root),
        data_root=str(tmp_path),
        run="run",
        tensorboard=False,
        report_seconds=0,
    )
    for unit in sets:
        compute_unit(unit, settings, device="cpu")
    trained = []
    original = evaluate_network

    def counted(*args, **kwargs):
        if len(trained) == 3:
            trained.append("stop")
            raise KeyboardInterrupt
        trained.append(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr("distill_core.evaluation.continual.evaluate_network", counted)
    with pytest.raises(KeyboardInterrupt):
        compute_unit(continual(sets, 0), settings, device="cpu")
    assert compute_unit(continual(sets, 0), settings, device="cpu").status == "done"
    assert len(trained) == 3 + 1 + 1, "three before the stop, the stop, and the one that was left"
    rows = tables.read(other.tables, "continual").to_pylist()
    compared = (
        "step",
        "network_index",
        "network_seed",
        "accuracy",
        "class_accuracies",
        "train_loss",
    )
    assert [[row[name] for name in compared] for row in rows] == [
        [row[name] for name in compared] for row in whole
    ]


def test_features_of_a_distilled_set_and_of_its_start(run, store):
    extractor = TrainExtractor(dataset=DIGITS, protocol="paper", settings=POOL, index=0)
    settings = DistillationSettings(
        network="ConvNetW8",
        iterations=2,
        batch_real=4,
        partition=2,
        queue=QueueSettings(train_steps=1, batch_train=8),
    )
    distilled = Distill(dataset=DIGITS, protocol="paper", ipc=1, settings=settings, seed=0)
    features = FeatureSettings(images=5, perplexity=5)
    parents = (distilled.key, extractor.key)
    rows = run(
        extractor,
        distilled,
        Embed(dataset=DIGITS, protocol="paper", settings=features, seed=0, parents=parents),
    )
    assert len(rows) == 10 * 3
    for row in rows:
        images = 5 if row["origin"] == "real" else 4
        assert row["images"] == images == len(row["pca_x"]) == len(row["tsne_y"])
        assert (row["covariance_distance"] is None) == (row["origin"] == "real")
        assert (row["method"], row["ipc"], row["set_key"], row["network"]) == (
            "IDM",
            1,
            distilled.key,
            "ConvNetW8",
        )
    synthetic = SyntheticSet.load(store.fetch_folder(distilled.key) / SET_FILE)
    assert {row["class_name"] for row in rows} == set(synthetic.class_names)


def test_the_start_of_chosen_images_are_random_ones(run):
    extractor = TrainExtractor(dataset=DIGITS, protocol="paper", settings=POOL, index=0)
    random = Select(dataset=DIGITS, protocol="paper", method="random", ipc=2, seed=0)
    embed = partial(
        Embed, dataset=DIGITS, protocol="paper", settings=FeatureSettings(images=5), seed=0
    )
    rows = run(extractor, random, embed(parents=(random.key, extractor.key)))
    by_origin = {
        origin: [r["pca_x"] for r in rows if r["origin"] == origin]
        for origin in ("initial", "synthetic")
    }
    np.testing.assert_allclose(by_origin["initial"], by_origin["synthetic"], atol=1e-5)


def poisoned(ref, root, device):
    """The data set with test labels that are all wrong, and test images that are noise."""
    digits = load_dataset(ref, root, device=device)
    draws = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, digits.test.images.shape, generator=draws, dtype=torch.uint8)
    test = dataclasses.replace(digits.test, images=images, labels=digits.test.labels.flip(0))
    return dataclasses.replace(digits, test=test)


def search_units():
    """What a search for settings runs: extractors, sets, and their validation accuracy."""
    shared = {"dataset": DIGITS, "protocol": "strict"}
    extractor = TrainExtractor(**shared, settings=POOL, index=0)
    settings = DistillationSettings(
        network="ConvNetW8", iterations=2, batch_real=4, lambda_cc=0.1, lambda_cm=0.1
    )
    distilled = Distill(**shared, ipc=2, settings=settings, seed=0, parents=(extractor.key,))
    herding = Select(**shared, method="herding", ipc=2, seed=0, parents=(extractor.key,))
    evaluate = partial(
        Evaluate, **shared, split="validation", network="ConvNetW8", settings=EVALUATION, seed=0
    )
    step = continual(step_sets(2, 0, "strict"), 0, protocol="strict", split="validation")
    return [
        extractor,
        distilled,
        herding,
        evaluate(parents=(distilled.key,)),
        evaluate(parents=(herding.key,)),
        step,
    ]


def test_a_search_for_settings_never_gets_test_labels(run, store, tmp_path, monkeypatch):
    units = [*step_sets(2, 0, "strict"), *search_units()]
    honest = {unit.key: run(unit) for unit in units}
    given = []
    original = unit_functions.compute_rows

    def spy(unit, dataset, context):
        given.append(len(dataset.test))
        return original(unit, dataset, context)

    monkeypatch.setattr(unit_functions, "compute_rows", spy)
    monkeypatch.setattr(unit_functions, "load_cached_dataset", poisoned)
    poisoned_store = open_store(tmp_path / "poisoned")
    settings = TrialSettings(
        store=str(poisoned_store.root), data_root=str(tmp_path), run="run", tensorboard=False
    )
    for unit in units:
        assert compute_unit(unit, settings, device="cpu").status == "done"
    assert given == [0] * len(units), "not one of them was handed a test image"
    for unit in units:
        rows = tables.read(poisoned_store.tables, KINDS[unit.kind].table, [unit.key]).to_pylist()
        for row, expected in zip(rows, honest[unit.key], strict=True):
            for column in ("accuracy", "class_accuracies", "loss", "train_loss"):
                assert row.get(column) == expected.get(column)


def test_only_what_measures_on_the_test_set_sees_it(tmp_path):
    digits = load_dataset(DIGITS, tmp_path)
    evaluate = search_units()[3]
    assert len(inputs.hide_test_split(digits, evaluate).test) == 0
    assert inputs.hide_test_split(digits, dataclasses.replace(evaluate, split="test")) is digits
