"""All sides of the benchmarks compute the same thing, and every case is timed and written."""

import json

import pytest
import torch

from distill_core.augmentation import draw_augmentation
from distill_core.distillation.objective import Objective, compute_gradients
from distill_core.networks import build_network
from distill_core.settings import DSA_ALL, DistillationSettings


def test_batched_and_looped_gradients_agree(benchmark_script, image):
    benchmark = benchmark_script("plain_loop")
    network, extractor = (
        build_network(name, channels=3, classes=3, image_size=32).requires_grad_(False)
        for name in ("ConvNetW16", "ResNet18W8")
    )
    settings = DistillationSettings(lambda_cc=0.05, lambda_cm=0.01)
    objective = Objective(
        network=network, extractor=extractor.eval(), settings=settings, forward_images=7
    )
    real, images = (
        image(30, 3, 32, 32, 1).unflatten(0, (3, 10)),
        image(12, 3, 32, 32, 2).unflatten(0, (3, 4)),
    )
    draw = draw_augmentation(DSA_ALL, 3, 32, torch.Generator().manual_seed(0))
    (batched,) = compute_gradients([objective], [images], real.__getitem__, draw, class_chunk=3)
    looped = benchmark.looped_gradient(objective, images, real, draw)
    assert (batched.gradient - looped).abs().max() <= 1e-4 * looped.abs().max()


@pytest.fixture
def small(benchmark_script, monkeypatch):
    """Cases with few images and small networks."""
    cases = benchmark_script("cases")
    build_noise = cases.build_noise
    monkeypatch.setattr(
        cases,
        "build_noise",
        lambda name, device, images_per_class=None: build_noise(name, device, 16),
    )
    monkeypatch.setitem(cases.NETWORKS, "cifar10", "ConvNetW4D2")
    extractor = (
        build_network("ConvNetW4D1", channels=3, classes=10, image_size=32)
        .eval()
        .requires_grad_(False)
    )
    monkeypatch.setattr(cases, "build_pool", lambda data: cases.ExtractorPool([extractor]))


@pytest.mark.slow
def test_both_methods_are_timed_on_every_side_and_in_parts(
    small, benchmark_script, monkeypatch, tmp_path, capsys
):
    benchmark, out = benchmark_script("distillation"), tmp_path / "out.json"
    threads = torch.get_num_threads()
    monkeypatch.setattr(
        "sys.argv",
        ["distillation.py", *f"--ipc 2 --rounds 1 --threads 1 --bf16 --out {out}".split()],
    )
    benchmark.main()
    torch.set_num_threads(threads)
    result = json.loads(out.read_text())
    dm, idm = result["cases"]
    ours = {"ours", "ours in bf16"}
    assert dm["sides"].keys() == ours | {"whole batches", "loop"} and idm[
        "sides"
    ].keys() == ours | {"whole batches"}
    assert dm["ratios"].keys() >= {"loop / ours", "loop / ours in bf16", "ours / ours in bf16"}
    assert dm["parts"].keys() == idm["parts"].keys() == ours
    assert (
        "queue's networks trained" in idm["parts"]["ours"]
        and "matching network" in dm["parts"]["ours in bf16"]
    )
    assert max(result["relative difference of the gradients"].values()) < 1e-3
    shares = dm["share of the matrix ceiling in the real forward"]
    assert shares.keys() == ours and all(found["share"] > 0 for found in shares.values())
    assert "IDM+IID IPC 2" in capsys.readouterr().out


@pytest.fixture
def run_case(small, benchmark_script, monkeypatch, tmp_path):
    """Time one case; return what was written."""
    benchmark, out = benchmark_script("distillation"), tmp_path / "out.json"
    monkeypatch.setattr(benchmark, "compare_gradients", dict)
    for module in (benchmark, benchmark_script("iteration_parts")):
        monkeypatch.setattr(module, "ITERATIONS", 10)  # too few to gain from compilation

    def run(options):
        arguments = f"--ipc 2 --rounds 1 --out {out} {options}"
        monkeypatch.setattr("sys.argv", ["distillation.py", *arguments.split()])
        benchmark.main()
        (case,) = json.loads(out.read_text())["cases"]
        return case

    return run


def test_a_method_is_timed_on_every_side_and_in_parts(run_case):
    case = run_case("--methods IDM+IID --bf16")
    ours = {"ours", "ours in bf16"}
    assert case["sides"].keys() == ours | {"whole batches"} and case["parts"].keys() == ours
    assert case["how they ran"]["ours"]["φ"] == "eager: too short to repay compilation"
    assert case["ratios"].keys() >= {"whole batches / ours", "ours / ours in bf16"}
    assert "queue's networks trained" in case["parts"]["ours"]
    shares = case["share of the matrix ceiling in the real forward"]
    assert shares.keys() == ours and all(found["share"] > 0 for found in shares.values())


def test_without_bf16_nothing_is_timed_in_it(run_case):
    case = run_case("--methods DM+IID")
    assert case["sides"].keys() == {"ours", "whole batches", "loop"}
    assert case["how they ran"]["whole batches"] == {
        "φ": "eager: the readable path",
        "ψ": "eager: the readable path",
        "failed": [],
    }


@pytest.mark.parametrize("apart", [False, True])
def test_a_grid_is_timed_as_a_cohort_and_singly(small, benchmark_script, apart):
    result = benchmark_script("cohort").measure(2, 1, torch.device("cpu"), apart=apart)
    assert sum(result["single runs in the grid"].values()) == 25
    assert (
        {"cohort of 25"}
        if not apart
        else {"cohort of 5", "cohort of 20"} <= result["seconds an iteration"].keys()
    )


def test_floors_are_the_operations_of_the_passes(benchmark_script):
    floors, cases = benchmark_script("floors_distillation"), benchmark_script("cases")
    least = floors.compute_floor("cifar10", 10, cases.METHODS["DM+IID"])
    assert least.real == pytest.approx(2560 * 2 * 50.7e6, rel=0.01)
    assert least.extractor == pytest.approx(2 * 100 * 2 * 555e6, rel=0.01)
    assert floors.compute_floor("cifar10", 1, cases.METHODS["DM+IID"]).extractor == 0
    assert floors.compute_floor("cifar10", 1, cases.METHODS["IDM+IID"]).queue > 1e12
