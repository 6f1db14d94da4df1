"""Unit functions on the real digits, with networks and budgets as small as they get, without
Ray.
"""

import json
import shutil
import uuid
from dataclasses import replace

import duckdb
import pytest
import torch

from distill_core.datasets.load import load_dataset
from distill_core.networks import build_network
from distill_core.settings import (
    DatasetRef,
    DistillationSettings,
    EvaluationSettings,
    ExtractorSettings,
    QueueSettings,
    SettingsError,
)
from distill_core.synthetic_set import SyntheticSet
from orchestrator.execution.context import Stopped, UnitContext
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.execution.unit_functions import (
    SET_FILE,
    get_evaluation_images,
    get_training_data,
    run_unit,
)
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.units import Distill, Evaluate, ImportExtractor, Select, TrainExtractor

DIGITS = {"dataset": DatasetRef(name="digits"), "protocol": "paper"}
EXTRACTOR = TrainExtractor(
    **DIGITS, settings=ExtractorSettings(network="ConvNetW4D1", epochs=1, batch_train=128), index=0
)
DM_IID = DistillationSettings(
    network="ConvNetW4D2", iterations=4, batch_real=4, lambda_cc=0.05, lambda_cm=0.01
)
IDM = DistillationSettings(
    network="ConvNetW4D2",
    iterations=4,
    batch_real=4,
    partition=2,
    queue=QueueSettings(networks=2, interval=2, train_steps=1, batch_train=8),
)
EVALUATION = EvaluationSettings(num_eval=3, epoch_eval_train=2, dsa_strategy="color_crop")


@pytest.fixture
def store(tmp_path):
    return open_store(tmp_path / "store")


@pytest.fixture
def run(store, tmp_path):
    """Computes units through the trial that Tune would run; fails where a unit fails."""

    def run(*units):
        settings = TrialSettings(
            store=str(store.root), data_root=str(tmp_path), run="run", report_seconds=0.0
        )
        for unit in units:
            result = compute_unit(unit, settings, device="cpu")
            assert result.status == "done", result.traceback
        return store.fetch_folder(units[-1].key)

    return run


def distill(settings=DM_IID, **changes):
    parents = (EXTRACTOR.key,) if settings.lambda_cc else ()
    return Distill(
        **{**DIGITS, "ipc": 2, "settings": settings, "seed": 0, "parents": parents, **changes}
    )


def evaluate(*parents, **changes):
    fields = {
        "split": "test",
        "network": "ConvNetW4D2",
        "settings": EVALUATION,
        "seed": 0,
        "parents": parents,
    }
    return Evaluate(**{**DIGITS, **fields, **changes})


def rows(store, table):
    return tables.read(store.tables, table).to_pylist()


def test_pool_then_set_then_evaluation(store, run):
    unit = distill()
    folder = run(EXTRACTOR, unit, evaluate(unit.key))
    synthetic = SyntheticSet.load(store.fetch_folder(unit.key) / SET_FILE)
    assert synthetic.images.shape == (20, 1, 32, 32) and synthetic.labels.tolist() == [
        c for c in range(10) for _ in "ab"
    ]
    assert (synthetic.method, synthetic.ipc, synthetic.key) == ("DM+IID", 2, unit.key)
    assert synthetic.spec["settings"]["lambda_cc"] == 0.05
    (set_row,) = rows(store, "distillations")
    assert set_row["curve_iteration"] == [1, 2, 3, 4] and set_row["curve_loss_ce"] is None
    assert set_row["loss"] == pytest.approx(
        set_row["loss_mean"] + 0.05 * set_row["loss_cc"] + 0.01 * set_row["loss_cm"], rel=1e-4
    )
    assert (set_row["passes"], set_row["class_chunk"]) == (
        "eager: too short to repay compilation",
        10,
    )
    networks = rows(store, "evaluations")
    assert [row["network_index"] for row in networks] == [0, 1, 2]
    assert all(0 <= row["accuracy"] <= 1 and len(row["class_accuracies"]) == 10 for row in networks)
    assert {row["method"] for row in networks} == {"DM+IID"} and {
        row["ipc"] for row in networks
    } == {2}
    settings = ("matching_network", "lambda_cc", "lambda_cm", "iterations", "extractors")
    assert [networks[0][name] for name in settings] == ["ConvNetW4D2", 0.05, 0.01, 4, 1]
    assert networks[0]["num_eval"] == 3 and networks[0]["lambda_loss"] is None
    assert len({row["settings_hash"] for row in networks}) == 1
    assert networks[0]["tested_images"] == 359 and 0.1 < networks[0]["chance"] < 0.11
    assert (folder / "DONE").exists()
    assert list((store.root / "tensorboard" / "distill").glob(f"*{unit.key}/events*"))


def test_accuracies_can_be_recomputed_from_the_artifact(store, run, tmp_path):
    """What a table says of a set is what the stored file gives, not what was in memory."""
    from distill_core.evaluation.evaluate import TrainingSet, evaluate_network

    unit = distill(IDM)
    run(unit, evaluate(unit.key))
    digits = load_dataset(DatasetRef(name="digits"), tmp_path)
    training = TrainingSet.from_tensors(
        *SyntheticSet.load(store.fetch_folder(unit.key) / SET_FILE).training_images(), "cpu"
    )
    again = evaluate_network(
        training, digits.test, digits.info, EVALUATION, network="ConvNetW4D2", seed=0, index=1
    )
    assert again.accuracy == rows(store, "evaluations")[1]["accuracy"]


@pytest.fixture
def attempt(store, tmp_path, monkeypatch):
    """Runs a unit function without committing; returns its outcome and where its artifacts are."""
    monkeypatch.setattr("orchestrator.execution.context.STOP_CHECK_SECONDS", 0.0)

    def attempt(unit, is_stopping=lambda: False):
        workdir = tmp_path / uuid.uuid4().hex
        workdir.mkdir()
        context = UnitContext(
            store=store,
            unit=unit,
            workdir=workdir,
            data_root=tmp_path,
            checkpoint_seconds=0.0,
            is_stopping=is_stopping,
        )
        return run_unit(unit, context), workdir

    return attempt


@pytest.mark.parametrize("settings", [DM_IID, IDM], ids=["DM+IID", "IDM"])
def test_a_stopped_distillation_goes_on_and_ends_the_same(store, run, attempt, settings):
    unit = distill(settings)
    run(EXTRACTOR)
    with pytest.raises(Stopped):
        attempt(unit, is_stopping=lambda: True)
    assert store.locate_checkpoints(unit).exists()
    resumed, at = attempt(unit)
    shutil.rmtree(store.locate_checkpoints(unit))
    whole, there = attempt(unit)
    assert torch.equal(
        SyntheticSet.load(at / SET_FILE).images, SyntheticSet.load(there / SET_FILE).images
    )
    assert resumed.rows[0]["curve_loss"] == whole.rows[0]["curve_loss"]


def test_a_stopped_evaluation_keeps_its_finished_networks(store, run, attempt):
    unit = evaluate()
    folder = store.locate_checkpoints(unit)
    with pytest.raises(Stopped):
        attempt(unit, is_stopping=lambda: folder.exists())
    (checkpoint,) = folder.iterdir()
    kept = json.loads(checkpoint.read_text())
    assert len(kept) == 1
    resumed, _ = attempt(unit)
    assert resumed.rows[0]["seconds"] == kept[0]["seconds"]
    shutil.rmtree(folder)
    run(unit)
    assert [row["accuracy"] for row in resumed.rows] == [
        row["accuracy"] for row in rows(store, "evaluations")
    ]


@pytest.mark.parametrize("method", ["random", "herding", "k-center"])
def test_coresets_are_real_images_of_their_class(store, run, tmp_path, method):
    unit = Select(
        **DIGITS,
        method=method,
        ipc=3,
        seed=1,
        parents=() if method == "random" else (EXTRACTOR.key,),
    )
    run(EXTRACTOR, unit)
    synthetic = SyntheticSet.load(store.fetch_folder(unit.key) / SET_FILE)
    train = load_dataset(DatasetRef(name="digits"), tmp_path).train
    pixels = (synthetic.images * 255).round().to(torch.uint8)
    for image, label in zip(pixels, synthetic.labels, strict=True):
        assert (train.images_of_class(int(label)) == image).flatten(1).all(1).any()


def test_the_whole_training_set_needs_no_set(store, run):
    run(evaluate(settings=replace(EVALUATION, num_eval=1, epoch_eval_train=0)))
    (row,) = rows(store, "evaluations")
    assert (row["method"], row["ipc"], row["set_key"]) == ("Whole", None, None)


def test_a_users_pool_is_used(store, run, tmp_path):
    folder = tmp_path / "pool"
    folder.mkdir()
    for name in ("a", "b"):
        network = build_network("ConvNetW4D1", channels=1, classes=10, image_size=32)
        torch.save(network.state_dict(), folder / f"{name}.pt")
    digits = DatasetRef(name="digits")
    pool = [
        ImportExtractor(
            dataset=digits, network="ConvNetW4D1", pool="mine", index=i, folder=str(folder)
        )
        for i in (0, 1)
    ]
    run(*pool, distill(parents=tuple(unit.key for unit in pool)))
    assert rows(store, "distillations")[0]["extractors"] == 2


def test_a_pool_is_known_by_the_content_of_its_files(store, tmp_path):
    """A file that sorts before the others must not give a network two numbers in silence."""
    folder = tmp_path / "pool"
    folder.mkdir()
    for name in ("b", "c"):
        network = build_network("ConvNetW4D1", channels=1, classes=10, image_size=32)
        torch.save({"state_dict": network.state_dict()}, folder / f"{name}.pt")
    settings = TrialSettings(store=str(store.root), data_root=str(tmp_path), run="run")

    def take(index, pool="mine"):
        unit = ImportExtractor(
            dataset=DatasetRef(name="digits"),
            network="ConvNetW4D1",
            pool=pool,
            index=index,
            folder=str(folder),
        )
        return compute_unit(unit, settings, device="cpu")

    assert take(0).status == take(1).status == "done"
    (folder / "a.pt").write_bytes((folder / "b.pt").read_bytes() + b" ")
    moved = take(2)
    assert moved.status == "failed"
    # A space may give the pool of each data set a folder of its own.
    store.claim_extractor(("svhn", "1", "ConvNetW4D1", "mine"), 0, "b.pt", "0" * 64)
    assert "'c.pt' is the same network as 'c.pt', number 1" in moved.reason
    assert "another name (extractors.pool)" in moved.reason
    assert [take(index, pool="new").status for index in range(3)] == ["done"] * 3
    (folder / "d.pt").write_bytes((folder / "c.pt").read_bytes())
    copied = take(3, pool="new")
    assert copied.status == "failed" and "'d.pt' is the same network as 'c.pt'" in copied.reason


def test_a_pool_with_too_few_files_says_so(store, tmp_path):
    unit = ImportExtractor(
        dataset=DatasetRef(name="digits"),
        network="ConvNetW4D1",
        pool="mine",
        index=5,
        folder=str(tmp_path / "none"),
    )
    settings = TrialSettings(store=str(store.root), data_root=str(tmp_path), run="run")
    result = compute_unit(unit, settings, device="cpu")
    assert result.status == "failed" and "lower extractors.count" in result.reason


def random(*, strict, classes=()):
    protocol = "strict" if strict else "paper"
    return Select(
        dataset=DatasetRef(name="digits", classes=classes),
        protocol=protocol,
        method="random",
        ipc=1,
        seed=0,
    )


def test_the_strict_protocol_trains_and_chooses_on_disjoint_images(tmp_path):
    digits = load_dataset(DatasetRef(name="digits"), tmp_path)
    kept, held_out = (
        get_training_data(digits, random(strict=True)).train,
        get_evaluation_images(digits, "strict", "validation"),
    )
    assert len(kept) + len(held_out) == len(digits.train)
    assert get_training_data(digits, random(strict=False)).train is digits.train
    assert get_evaluation_images(digits, "strict", "test") is digits.test
    seen = {image.numpy().tobytes() for image in kept.images}
    both = [image for image in held_out.images if image.numpy().tobytes() in seen]
    duplicates = len(digits.train) - len({image.numpy().tobytes() for image in digits.train.images})
    assert len(both) <= duplicates
    with pytest.raises(SettingsError, match="protocol strict"):
        get_evaluation_images(digits, "paper", "validation")


def test_rows_carry_where_they_come_from(store, run):
    run(EXTRACTOR)
    (row,) = rows(store, "extractors")
    assert (row["run"], row["protocol"], row["dtype"], row["dataset_version"]) == (
        "run",
        "paper",
        "float32",
        1,
    )
    assert json.loads(row["spec"])["settings"]["network"] == "ConvNetW4D1"
    assert "torch" in json.loads(row["versions"]) and len(row["fingerprint"]) == 16
    file = store.tables / "extractors" / f"{EXTRACTOR.key}.parquet"
    assert duckdb.sql(f"select train_accuracy from '{file}'").fetchall() == [
        (row["train_accuracy"],)
    ]
