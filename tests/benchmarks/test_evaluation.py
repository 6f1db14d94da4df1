import json
from functools import partial

import pytest
import torch

from distill_core.runtime.precision import use_precision


def test_every_case_is_timed_on_every_side_and_written(
    benchmark_script, monkeypatch, tmp_path, capsys
):
    benchmark = benchmark_script("evaluation")
    out = tmp_path / "out.json"
    tiny = (
        "--networks ConvNetW4D1 --ipc 1 --epochs 2 --rounds 2 --test-images 20 --threads 1 --bf16"
        f" --out {out}"
    )
    threads = torch.get_num_threads()
    monkeypatch.setattr("sys.argv", ["evaluation.py", *tiny.split()])
    benchmark.main()
    torch.set_num_threads(threads)
    (case,) = json.loads(out.read_text())["cases"]
    assert case["sides"].keys() == {"ours", "plain loop", "ours in bf16"}
    describe = case["how they ran"]
    assert describe["ours"] == describe["ours in bf16"] == "eager: too short to repay compilation"
    assert describe["plain loop"] == "eager: asked for"
    assert case["ratios"]["plain loop / ours"]["evaluation"]["n"] == 2
    assert "plain loop / ours in bf16" in case["ratios"]
    assert "ConvNetW4D1 IPC  1" in capsys.readouterr().out


def test_a_whole_evaluation_is_1001_epochs_and_one_test(benchmark_script):
    scale = benchmark_script("evaluation_scale").Scale(epochs=3, test_images=2000)
    assert scale.whole({"train": 6.0, "test": 5.0}) == pytest.approx(2 * 1001 + 5 * 5)


def test_a_folder_that_is_not_the_release_ends_without_a_traceback(
    benchmark_script, monkeypatch, tmp_path
):
    benchmark = benchmark_script("evaluation")
    monkeypatch.setattr(
        "sys.argv", ["evaluation.py", "--official", str(tmp_path), "--networks", "ConvNetW4D1"]
    )
    with pytest.raises(SystemExit, match="does not look like the authors' release"):
        benchmark.main()


def several(stacking, device):
    """Three networks, five images for each of them, and labels."""
    networks = [
        stacking.build_network(
            "ConvNetW8",
            channels=3,
            classes=10,
            image_size=32,
            generator=torch.Generator().manual_seed(index),
        ).to(device)
        for index in range(3)
    ]
    images = torch.randn(3, 5, 3, 32, 32, generator=torch.Generator().manual_seed(9))
    return networks, images.to(device), torch.arange(5, device=device)


def test_three_ways_of_several_networks_agree(benchmark_script):
    stacking = benchmark_script("stacking")
    expected, *others = (way(*several(stacking, "cpu")) for way in stacking.FUNCTIONS.values())
    for other in others:
        assert other.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-5)


def test_every_way_of_several_networks_is_also_captured(benchmark_script):
    stacking = benchmark_script("stacking")
    recorded = []

    def capture(work):
        recorded.append(work)
        return work

    sides = stacking.build_steps(2, 3, torch.device("cpu"), capture)
    for side in sides.values():
        side()
    assert sides.keys() == {
        *stacking.FUNCTIONS,
        *(f"{name}, one graph" for name in stacking.FUNCTIONS),
    }
    assert len(recorded) == len(stacking.FUNCTIONS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_ways_agree_on_streams_and_captured(benchmark_script):
    stacking = benchmark_script("stacking")
    networks, images, labels = several(stacking, "cuda")
    made: dict[str, torch.Tensor] = {}
    with use_precision("float32"):
        expected = stacking.compute_looped(networks, images, labels)
        for way in stacking.GPU_FUNCTIONS.values():
            work = partial(lambda way: made.update(way(networks, images, labels)), way)
            replay = stacking.capture_step(work, stacking.capture_on_gpu())
            for value in made.values():
                value.zero_()
            replay()
            for name, value in expected.items():
                torch.testing.assert_close(made[name], value, rtol=1e-3, atol=1e-5)


def test_floors_of_a_network_counted_by_hand(benchmark_script):
    """ConvNetW4D1 on 8 × 8 images: one convolution 3 → 4, norm, pooling to 4 × 4, a head 64 → 2."""
    least = benchmark_script("floors_evaluation").compute_floor(
        "ConvNetW4D1", 2, 8, ipc=5, test_images=7
    )
    convolution, head, images = 2 * 64 * 4 * 27, 2 * 64 * 2, 1001 * 10
    assert least.test_operations == 7 * (convolution + head)
    assert least.training_operations == images * (2 * convolution + 3 * head)
    assert least.augmentation_bytes == images * 4 * 2 * 192
    # Forward 2 reads of 256 values and 64 written; backward 2 reads each of 256 and 64, and 256
    # written.
    assert least.training_bytes == images * 4 * (2 * 256 + 64 + 2 * 256 + 2 * 64 + 256)
