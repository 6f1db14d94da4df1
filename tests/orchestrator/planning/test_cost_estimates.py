import dataclasses
from datetime import UTC, datetime

import pytest
import torch
from torch import nn

from distill_core.networks import build_network
from distill_core.settings import DatasetRef, DistillationSettings, ExtractorSettings, QueueSettings
from orchestrator.planning import cohorts
from orchestrator.planning.cost_estimates import estimate_costs, estimate_wall_seconds
from orchestrator.planning.cost_model import (
    CPU_FLOPS,
    STEP_SECONDS,
    UNIT_SECONDS,
    Estimate,
    model_cost,
)
from orchestrator.planning.dataset_shape import ASSUMED_SHAPE, find_shape
from orchestrator.planning.network_costs import count_network_work, count_parameters
from orchestrator.planning.plan import make_plan
from orchestrator.store import tables
from orchestrator.units import KINDS, Distill, Evaluate, TrainExtractor
from search_spaces.load import load_space


def counted_macs(network):
    """Count the multiply-adds of one image's forward pass with hooks."""
    macs = []

    def count(module, inputs, output):
        positions = output[0].numel() // (
            output.shape[1] if isinstance(module, nn.Conv2d) else output.shape[-1]
        )
        macs.append(module.weight.numel() * positions)

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    return macs


@pytest.mark.parametrize(
    ("name", "channels", "size", "tolerance"),
    [
        ("ConvNet", 3, 32, 0.01),
        ("ConvNet", 1, 28, 0.01),
        ("ConvNetW32", 3, 32, 0.01),
        ("ConvNetD4", 3, 64, 0.01),
        ("ConvNetW16D2NP", 1, 32, 0.02),
        ("AlexNet", 3, 32, 0.01),
        ("VGG11", 3, 32, 0.01),
        ("VGG16BN", 3, 32, 0.01),
        ("ResNet18", 3, 32, 0.01),
        ("ResNet18W16", 3, 32, 0.05),
        ("ResNet50", 3, 32, 0.01),
        ("MLP", 3, 32, 0.01),
        ("LeNet", 3, 32, 0.01),
        ("ViT", 3, 32, 0.01),
        ("ResNet18", 3, 64, 0.01),
    ],
)
def test_the_work_of_a_network_is_what_its_layers_do(name, channels, size, tolerance):
    network = build_network(name, channels=channels, classes=2, image_size=size).eval()
    macs = counted_macs(network)
    with torch.no_grad():
        network(torch.zeros(1, channels, size, size))
    assert count_network_work(name, channels, size).macs == pytest.approx(sum(macs), rel=tolerance)


@pytest.fixture
def plan():
    return make_plan(
        load_space(
            "cifar10-small", ["methods=[Random,DM,IDM,DM+CC,Whole]", "seeds=3", "batch_real=64"]
        )
    )


def one(plan, cls, **fields):
    return next(
        unit
        for unit in plan.units.values()
        if isinstance(unit, cls)
        and all(getattr(unit, name) == value for name, value in fields.items())
    )


def test_the_model_by_hand(plan):
    """DM, 10 classes, 64 real and 10 synthetic images each: forward on 640, forward and backward on
    100.
    """
    unit = one(plan, Distill, parents=())
    macs = count_network_work("ConvNet", 3, 32).macs
    expected = (
        unit.settings.iterations * ((640 * 2 + 100 * 6) * macs / CPU_FLOPS + STEP_SECONDS)
        + UNIT_SECONDS
    )
    assert model_cost(unit, None, gpu=False).seconds == pytest.approx(expected)
    assert model_cost(unit, None, gpu=True).seconds < expected / 5


def test_more_work_costs_more(plan):
    seconds = {key: found.seconds for key, found in estimate_costs(plan, gpu=False).items()}
    by_method = {cell.method: cell for cell in plan.cells}
    assert seconds[by_method["DM"].set_key] < seconds[by_method["DM+CC"].set_key]
    assert seconds[by_method["DM"].set_key] < seconds[by_method["IDM"].set_key]
    cost = {method: seconds[cell.evaluation_key] for method, cell in by_method.items()}
    assert cost["Random"] == cost["DM"] < cost["IDM"] < cost["Whole"]


def test_a_data_set_of_unknown_size_gets_a_stated_one(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\nexperiments: [{name: e, methods: [DM, Whole], ipc: 1,"
        " datasets: {name: own, format: imagefolder, path: p, image_size: 64}}]"
    )
    plan = make_plan(load_space(path))
    dataset = one(plan, Evaluate).dataset
    assert find_shape(dataset) == dataclasses.replace(ASSUMED_SHAPE, image_size=64)
    assert all(0 < found.seconds < 1e9 for found in estimate_costs(plan, gpu=False).values())


def test_what_is_said_of_a_users_own_data_set_counts():
    own = DatasetRef(name="own", format="imagefolder", path="p", num_classes=40)
    assert find_shape(own) == dataclasses.replace(ASSUMED_SHAPE, classes=40)
    part = find_shape(dataclasses.replace(own, classes=(3, 1)))
    assert (part.classes, part.train_images) == (2, ASSUMED_SHAPE.train_images // 20)


def write_rows(folder, unit, seconds, device="Intel Xeon", count=1):
    table = KINDS[unit.kind].table
    row = {
        "key": unit.key,
        "kind": unit.kind,
        "seconds": seconds,
        "peak_memory": 123,
        "device": device,
    }
    rows = [row | {"finished": datetime(2025, 1, 1, tzinfo=UTC)} for _ in range(count)]
    tables.write(folder / table / f"{unit.key}.parquet", table, rows)


def test_measured_units_cost_what_they_cost(plan, tmp_path):
    cell = next(cell for cell in plan.cells if cell.method == "DM" and cell.seed == 0)
    other = next(cell for cell in plan.cells if cell.method == "IDM" and cell.seed == 2)
    distilled, evaluated = plan.units[cell.set_key], plan.units[cell.evaluation_key]
    write_rows(tmp_path, distilled, 40.0)
    write_rows(tmp_path, evaluated, 3.0, count=2)
    done = {distilled.key, evaluated.key}
    modeled = estimate_costs(plan, gpu=False)
    found = estimate_costs(plan, gpu=False, store_tables=tmp_path, done=done)
    for same in (c for c in plan.cells if c.method == "DM"):  # other seeds, same work
        assert found[same.set_key] == Estimate(seconds=40.0, memory=123, basis="measured")
        assert found[same.evaluation_key].seconds == 6.0
    # other work of that kind is corrected by how far the model was off
    correction = 40.0 / modeled[distilled.key].seconds
    assert found[other.set_key].basis == "model"
    assert found[other.set_key].seconds == pytest.approx(
        modeled[other.set_key].seconds * correction
    )
    # rows of a processor say nothing about a GPU, and units that are not done were not measured
    assert estimate_costs(plan, gpu=True, store_tables=tmp_path, done=done) == estimate_costs(
        plan, gpu=True
    )
    assert estimate_costs(plan, gpu=False, store_tables=tmp_path) == modeled


def test_rows_of_a_gpu_count_for_gpus(plan, tmp_path):
    unit = one(plan, Evaluate)
    write_rows(tmp_path, unit, 5.0, device="NVIDIA H200")
    assert (
        estimate_costs(plan, gpu=True, store_tables=tmp_path, done={unit.key})[unit.key].seconds
        == 5.0
    )
    assert (
        estimate_costs(plan, gpu=False, store_tables=tmp_path, done={unit.key})[unit.key].basis
        == "model"
    )


def test_wall_time_is_shared_but_no_shorter_than_the_longest_chain(plan):
    unit_second = {key: Estimate(seconds=1.0, memory=0, basis="model") for key in plan.units}
    everything = list(plan.units)
    assert estimate_wall_seconds(plan, everything, unit_second, 1) == len(everything)
    assert estimate_wall_seconds(plan, everything, unit_second, 2) == len(everything) / 2
    assert estimate_wall_seconds(plan, everything, unit_second, 10_000) == 3
    assert estimate_wall_seconds(plan, [], unit_second, 2) == 0


SMALL_GPU = 24e9
IDM = {"partition": 2, "lr_img": 0.2, "queue": QueueSettings()}


@pytest.mark.parametrize("changes", [{}, IDM], ids=["DM+IID", "IDM+IID"])
@pytest.mark.parametrize(
    ("name", "network"), [("tinyimagenet", "ConvNetD4"), ("cifar100", "ConvNet")]
)
def test_the_largest_published_sets_fit_on_a_gpu_of_24_gb(name, network, changes):
    """With a pool of a hundred ResNet18 on the device, alone and as a cohort."""
    dataset = DatasetRef(name=name)
    extractor = TrainExtractor(
        dataset=dataset, protocol="paper", settings=ExtractorSettings(), index=0
    )
    settings = DistillationSettings(network=network, lambda_cc=0.1, lambda_cm=0.1, **changes)
    unit = Distill(
        dataset=dataset, protocol="paper", ipc=50, settings=settings, seed=0, parents=("k",) * 100
    )
    memory = model_cost(unit, extractor, gpu=True).memory
    assert 8e9 < memory < SMALL_GPU
    assert memory + cohorts.count_added_bytes([unit] * 25)[cohorts.cohort_key(unit)] < SMALL_GPU
    assert (
        model_cost(dataclasses.replace(unit, parents=("k",)), extractor, gpu=True).memory
        < memory - 99 * 4 * 11e6
    )


@pytest.mark.parametrize("name", ["ResNet18", "ResNet34", "ResNet50", "ResNet18W16", "VGG11"])
def test_parameters_of_a_pool_are_counted(name):
    network = build_network(name, channels=3, classes=10, image_size=32)
    assert count_parameters(name) == pytest.approx(
        sum(p.numel() for p in network.parameters()), rel=0.05
    )
