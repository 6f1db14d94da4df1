"""`iid export` on a store of real units of the digits: where it writes, what it says, and what its
check finds.
"""

import json
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from distill_core.settings import DatasetRef, DistillationSettings, EvaluationSettings
from orchestrator.cli.app import app
from orchestrator.cli.commands.evaluate import build_evaluation_request
from orchestrator.cli.commands.export_sets import format_dataset
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.units import Distill, Evaluate, Select

DIGITS = {"dataset": DatasetRef(name="digits"), "protocol": "paper"}
RANDOM = Select(**DIGITS, method="random", ipc=2, seed=0)
CANVASES = Distill(
    **DIGITS,
    ipc=1,
    seed=1,
    settings=DistillationSettings(
        network="ConvNetW4D2", iterations=3, batch_real=4, partition=2, lr_img=5.0
    ),
)
SPACE = """
name: tiny
settings: {datasets: digits, protocol: paper, architectures: ConvNetW4D2}
experiments:
  - {name: random, methods: Random, ipc: 2}
"""


def evaluation(unit, num_eval=4, epochs=8):
    settings = EvaluationSettings(
        num_eval=num_eval, epoch_eval_train=epochs, dsa_strategy="none", batch_train=8
    )
    return Evaluate(
        **DIGITS,
        split="test",
        network="ConvNetW4D2",
        settings=settings,
        seed=unit.seed,
        parents=(unit.key,),
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("store"))
    settings = TrialSettings(
        store=str(store.root), data_root=str(store.root), run="run", tensorboard=False
    )
    for unit in (RANDOM, CANVASES, evaluation(RANDOM), evaluation(CANVASES)):
        result = compute_unit(unit, settings, device="cpu")
        assert result.status == "done", result.traceback
    return store


@pytest.fixture
def iid(store):
    def call(*arguments):
        return CliRunner().invoke(app, ["export", *map(str, arguments), "--store", str(store.root)])

    return call


@pytest.mark.parametrize("kind", ["safetensors", "dc", "mtt"])
@pytest.mark.parametrize("unit", [RANDOM, CANVASES], ids=["random", "canvases"])
def test_what_keeps_order_and_pixels_gives_the_recorded_accuracy(kind, unit, iid, tmp_path):
    result = iid(unit.key[:8], "--format", kind, "--out", tmp_path / "out", "--check")
    assert result.exit_code == 0, result.output
    recorded, read_back = (
        result.output.split(word)[1].split()[0] for word in ("recorded ", "read back ")
    )
    assert recorded == read_back.rstrip(":")


@pytest.mark.parametrize("kind", ["imagefolder", "hf", "ddranking"])
def test_real_images_survive_every_format(kind, iid, tmp_path):
    result = iid(RANDOM.key, "--format", kind, "--out", tmp_path / "out", "--check")
    assert result.exit_code == 0 and "inside" in result.output, result.output


def test_the_loss_of_8_bits_is_printed(iid, tmp_path):
    result = iid(CANVASES.key, "--format", "imagefolder", "--out", tmp_path / "out")
    known = json.loads((tmp_path / "out" / "metadata.json").read_text())["pixel_loss"]
    assert known["clipped"] > 0.01 and known["largest"] > 0.5 / 255
    assert f"clipped {known['clipped']:.2%}" in result.output


def test_a_recorded_accuracy_that_does_not_come_back_ends_with_code_1(iid, store, tmp_path):
    path = store.tables / "evaluations" / f"{evaluation(RANDOM).key}.parquet"
    before, rows = (
        path.read_bytes(),
        tables.read(store.tables, "evaluations", [evaluation(RANDOM).key]).to_pylist(),
    )
    try:
        tables.write(
            path, "evaluations", [{**row, "accuracy": row["accuracy"] / 2} for row in rows]
        )
        result = iid(RANDOM.key, "--format", "dc", "--out", tmp_path / "out", "--check")
    finally:
        path.write_bytes(before)
    assert result.exit_code == 1 and "OUTSIDE" in result.output


def test_the_accuracy_with_its_interval_goes_with_the_set(iid, store, tmp_path):
    assert iid(CANVASES.key, "--format", "dc", "--out", tmp_path / "out").exit_code == 0
    known = json.loads((tmp_path / "out" / "metadata.json").read_text())
    rows = tables.read(store.tables, "evaluations", [evaluation(CANVASES).key]).to_pylist()
    (accuracy,) = known["accuracies"]
    assert accuracy["accuracies"] == [row["accuracy"] for row in rows] and len(rows) == 4
    low, high = accuracy["interval"]
    assert low <= accuracy["mean"] <= high
    assert (known["key"], known["factor"], known["images"]) == (CANVASES.key, 2, [40, 1, 32, 32])
    assert torch.load(tmp_path / "out" / "dc.pt", weights_only=True)["accs_all_exps"].keys() == {
        "ConvNetW4D2"
    }


def test_the_sets_of_a_space_lie_in_folders_of_their_names(iid, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SPACE)
    result = iid(tmp_path / "tiny.yaml", "--format", "mtt", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "Random" / "digits" / "ipc2" / "seed0" / "images_best.pt").exists()
    some = iid(
        tmp_path / "tiny.yaml",
        "--format",
        "mtt",
        "--out",
        tmp_path / "some",
        "--set",
        "seeds=[0, 7]",
    )
    assert (
        some.exit_code == 0
        and "more of" in some.output
        and "are not there yet: iid run" in some.output
    )
    nothing = iid(
        tmp_path / "tiny.yaml", "--format", "mtt", "--out", tmp_path / "out", "--set", "seeds=[7]"
    )
    assert (
        nothing.exit_code == 2 and "has no set of" in nothing.output and "iid run" in nothing.output
    )


def test_a_readme_of_something_else_is_never_replaced(iid, tmp_path):
    (tmp_path / "tiny.yaml").write_text(SPACE)
    arguments = (tmp_path / "tiny.yaml", "--format", "hf", "--out", tmp_path / "out")
    card = tmp_path / "out" / "README.md"
    for _ in range(2):  # that of an earlier export is
        result = iid(*arguments)
        assert result.exit_code == 0, result.output
    (tmp_path / "out" / "mtt-set").mkdir()
    (tmp_path / "out" / "mtt-set" / "metadata.json").write_text('{"format": "mtt"}')
    assert iid(*arguments).exit_code == 0 and "mtt-set" not in card.read_text()
    card.write_text("# My project")
    result = iid(*arguments)
    assert result.exit_code == 2 and "is of something else" in result.output
    assert card.read_text() == "# My project"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RANDOM.key, "--format", "folder"], "unknown format 'folder'"),
        ([evaluation(RANDOM).key, "--format", "dc"], "which makes no set"),
        (["ffffffffffffffff", "--format", "dc"], "no unit of"),
        (["no-such-space", "--format", "dc"], "there is no search space"),
        (["zzzz", "--format", "dc"], "nor is it the key of a set, which is 4 to 16 hex digits"),
    ],
)
def test_what_cannot_be_exported_is_said(arguments, message, iid, tmp_path):
    result = iid(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "out").exists()


def test_without_an_interval_there_is_nothing_to_check(iid, store, tmp_path):
    unit = Select(**DIGITS, method="random", ipc=1, seed=5)
    settings = TrialSettings(
        store=str(store.root), data_root=str(store.root), run="run", tensorboard=False
    )
    compute_unit(unit, settings, device="cpu")
    none = iid(unit.key, "--format", "dc", "--out", tmp_path / "out", "--check")
    assert none.exit_code == 2 and "no evaluation" in none.output
    compute_unit(evaluation(unit, num_eval=1), settings, device="cpu")
    single = iid(unit.key, "--format", "dc", "--out", tmp_path / "out", "--check")
    assert single.exit_code == 2 and "a single network" in single.output
    assert not (tmp_path / "out").exists()
    command = (
        f"iid evaluate {unit.key} --dataset digits --architectures ConvNetW4D2 --store {store.root}"
        " --num-eval 2"
    )
    assert command in " ".join(single.output.split())


def test_an_evaluation_with_an_interval_is_taken_before_one_without(iid, store, tmp_path):
    """A single network that was trained longer comes first by rank, and has nothing to check
    against.
    """
    unit = Select(**DIGITS, method="random", ipc=1, seed=6)
    settings = TrialSettings(
        store=str(store.root), data_root=str(store.root), run="run", tensorboard=False
    )
    for each in (unit, evaluation(unit, num_eval=1, epochs=20), evaluation(unit, num_eval=2)):
        assert compute_unit(each, settings, device="cpu").status == "done"
    result = iid(unit.key, "--format", "dc", "--out", tmp_path / "out", "--check")
    assert result.exit_code == 0 and "2 networks: recorded" in result.output, result.output
    mine = DatasetRef(name="mine", format="imagefolder", path="a b")
    assert build_evaluation_request(format_dataset(mine), "", "paper", "", [], None).dataset == mine


CIFAR = """
name: small
settings:
  datasets: cifar10-jpeg
  distillation: {network: ConvNetW8, iterations: 20, batch_real: 16}
  evaluation: {num_eval: 5, epoch_eval_train: 20, dsa_strategy: none}
experiments:
  - {name: methods, methods: DM, ipc: 2}
"""


@pytest.mark.slow
def test_a_set_of_cifar10_exported_as_dc_and_imported_again_gives_the_recorded_accuracy(
    cifar10_parquet, tmp_path
):
    """The whole way by command line: run, export with a check, evaluate the file as if it were
    somebody else's.
    """
    (tmp_path / "small.yaml").write_text(CIFAR)

    def iid(*arguments):
        command = [sys.executable, "-m", "orchestrator", *map(str, arguments)]
        places = ["--store", str(tmp_path / "store"), "--data", str(cifar10_parquet.parent)]
        done = subprocess.run(
            [*command, *places], cwd=tmp_path, capture_output=True, text=True, timeout=800
        )
        assert done.returncode == 0, done.stdout + done.stderr

    iid("run", "small.yaml")
    iid("export", "small.yaml", "--format", "dc", "--out", "sets", "--check")
    file = tmp_path / "sets" / "DM" / "cifar10-jpeg" / "ipc2" / "seed0" / "dc.pt"
    question = [
        "--dataset",
        "cifar10-jpeg",
        "--name",
        "again",
        "--architectures",
        "ConvNetW8",
        "--num-eval",
        "5",
    ]
    settings = ["--set", "epoch_eval_train=20", "--set", "evaluation.dsa_strategy=none"]
    iid("evaluate", file, *question, *settings)
    rows = tables.read(open_store(tmp_path / "store").tables, "evaluations").to_pylist()
    accuracies = {
        method: [row["accuracy"] for row in rows if row["method"] == method]
        for method in ("DM", "again")
    }
    (recorded,) = json.loads((file.parent / "metadata.json").read_text())["accuracies"]
    assert accuracies["DM"] == recorded["accuracies"] and len(accuracies["again"]) == 5
    low, high = recorded["interval"]
    assert low <= sum(accuracies["again"]) / 5 <= high
