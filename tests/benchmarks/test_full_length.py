"""A small run at full length that is interrupted anywhere ends like an uninterrupted one."""

import json

import pytest

SMALL = (
    "--dataset digits --network ConvNetW4D2 --ipc 1 --iterations 4 --batch-real 8 --extractors 2 "
    "--extractor ConvNetW4D1 --extractor-epochs 1 --networks 2 --epoch-eval-train 3 --device cpu"
)


@pytest.fixture
def run(benchmark_script, monkeypatch, capsys):
    """Run the script once and return its result."""
    benchmark = benchmark_script("full_length")

    def once(work, options):
        monkeypatch.setattr(
            "sys.argv", ["full_length.py", *f"{SMALL} --work {work} {options}".split()]
        )
        benchmark.main()
        return json.loads((work / "result.json").read_text()), capsys.readouterr().out

    return once


@pytest.mark.parametrize(
    "method", ["DM", "DM+IID", pytest.param("IDM+IID", marks=pytest.mark.slow)]
)
def test_a_cell_that_is_cut_off_ends_as_if_it_had_not_been(
    run, benchmark_script, monkeypatch, tmp_path, method
):
    whole, printed = run(tmp_path / "whole", f"--method {method}")
    assert len(whole["accuracies"]) == 2 and "of 2 networks on one set" in printed
    assert ("extractors" in whole["seconds"]) == (method != "DM")
    benchmark, calls = benchmark_script("full_length"), 0
    steps = iter(range(10**6))
    monkeypatch.setattr(benchmark.Watch, "due", lambda self: True)
    monkeypatch.setattr(benchmark.Watch, "over", property(lambda self: next(steps) % 3 == 2))
    while True:
        calls += 1
        parts, printed = run(tmp_path / "parts", f"--method {method}")
        if "out of time" not in printed:
            break
    assert calls > 1 and parts["accuracies"] == whole["accuracies"]
    sets = [(tmp_path / name / "set.safetensors").read_bytes() for name in ("whole", "parts")]
    assert sets[0] == sets[1]


def test_other_options_do_not_mix_with_what_a_folder_has(run, tmp_path):
    run(tmp_path, "--method DM")
    with pytest.raises(SystemExit, match="give another --work"):
        run(tmp_path, "--method IDM")


def test_published_figures_are_those_of_the_table(benchmark_script):
    published = benchmark_script("published_cell").find_published
    assert published("cifar10-jpeg", 10, "IDM+IID")["accuracy"] == "59.9"
    assert published("cifar10-jpeg", 10, "DM+IID") is None


def test_settings_are_the_published_ones_of_the_cell(benchmark_script, monkeypatch):
    benchmark = benchmark_script("full_length")

    def settings(options):
        monkeypatch.setattr("sys.argv", ["full_length.py", "--work", "x", *options.split()])
        return benchmark.build_settings(benchmark.parse_arguments())[0]

    idm = settings("--method IDM+IID --ipc 10")
    assert (idm.lambda_cc, idm.lambda_cm, idm.partition, idm.queue.ce_weight) == (
        0.01,
        0.03,
        2,
        0.5,
    )
    one = settings("--method IDM --ipc 1")
    assert (one.method, one.batch_real, one.queue.interval) == ("IDM", 5000, 5)
    dm = settings("--method DM+IID --ipc 10 --batch-real 64")
    assert (dm.lambda_cc, dm.lambda_cm, dm.queue, dm.batch_real, dm.iterations) == (
        0.05,
        0.01,
        None,
        64,
        20_000,
    )
