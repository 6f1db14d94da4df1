"""The commands that need neither Ray nor torch: spaces, plan, datasets."""

import json
import re
import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from orchestrator.cli.app import app
from orchestrator.planning.plan import make_plan
from orchestrator.store import tables
from orchestrator.units import KINDS
from search_spaces.load import load_space


@pytest.fixture
def iid(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def mark_done(store, units):
    for unit in units:
        folder = store / "units" / unit.kind / unit.key
        folder.mkdir(parents=True)
        (folder / "DONE").write_text("{}")


def row(result, kind):
    line = next(line for line in result.stdout.splitlines() if line.strip().startswith(kind))
    return re.split(r"\s{2,}", line.strip())


def test_spaces_are_listed_with_a_description(iid):
    result = iid("spaces")
    assert result.exit_code == 0
    assert "quickstart" in result.stdout and "cifar10-small" in result.stdout


def test_plan_counts_units_by_kind(iid):
    plan = make_plan(load_space("quickstart"))
    result = iid("plan", "quickstart", "--cpus", "2", "--gpus", "0")
    assert result.exit_code == 0
    for kind in ("train_extractors", "select", "distill", "evaluate"):
        ours = [unit for unit in plan.units.values() if unit.kind == kind]
        assert row(result, kind)[1] == str(len(ours))
        assert row(result, kind)[3:5] == ["0", str(len(ours))]
    assert f"{len(plan.units)} units" in result.stdout
    assert "on 2 CPU cores" in result.stdout
    assert "cost model (50 GFLOP/s per core)" in result.stdout


def test_plan_leaves_out_what_the_store_has(iid, tmp_path):
    plan = make_plan(load_space("quickstart"))
    sets = [unit for unit in plan.units.values() if unit.kind == "distill"]
    mark_done(tmp_path / "results", sets)
    result = iid("plan", "quickstart", "--store", "results")
    assert row(result, "distill")[3:5] == [str(len(sets)), "0"]
    assert row(result, "train_extractors")[3:5] == ["0", "0"]
    mark_done(
        tmp_path / "results", [unit for unit in plan.units.values() if unit.kind != "distill"]
    )
    assert (
        "Nothing to run: results has everything."
        in iid("plan", "quickstart", "--store", "results").stdout
    )


def test_plan_writes_nothing(iid, tmp_path):
    assert iid("plan", "quickstart").exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_plan_on_gpus_counts_gpu_hours(iid):
    result = iid("plan", "cifar10-small", "--gpus", "4")
    assert "GPU-hours" in result.stdout and "on 4 GPUs" in result.stdout


OWN = """
name: own
experiments:
  - {name: main, datasets: [{name: shapes, format: imagefolder, path: shapes}], methods: Random,
     ipc: 1, seeds: 1, architectures: ConvNetW8D2}
"""


def test_the_data_folder_gives_the_size_of_the_users_images(iid, tmp_path):
    for split, count in (("train", 6), ("test", 2)):
        for name in ("disc", "square"):
            folder = tmp_path / "mine" / "shapes" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.effect_noise((16, 16), 64).convert("RGB").save(folder / f"{number}.png")
    (tmp_path / "own.yaml").write_text(OWN)
    assumed = iid("plan", "own.yaml", "--json")
    read = iid("plan", "own.yaml", "--data", "mine", "--json")
    assert json.loads(read.stdout)["datasets"]["shapes"] == {
        "channels": 3,
        "image_size": 16,
        "classes": 2,
        "train_images": 12,
        "test_images": 4,
    }
    assert json.loads(read.stdout)["seconds"] < json.loads(assumed.stdout)["seconds"]
    shown = iid("plan", "own.yaml", "--data", "mine").stdout
    assert "shapes: 12 training and 4 test images of 2 classes" in shown
    assert "assumed" not in shown and "--data FOLDER" in iid("plan", "own.yaml").stdout
    missing = iid("plan", "own.yaml", "--data", "nowhere")
    assert missing.exit_code == 2 and "Traceback" not in missing.output


def test_a_search_has_a_price(iid):
    def price(*options):
        return json.loads(iid("plan", "lambda_search", "--json", *options).stdout)["search"]

    few, many = price("--trials", "4"), price("--trials", "40")
    assert many["trial_seconds"] == pytest.approx(10 * few["trial_seconds"])
    assert many["extractors"] == few["extractors"] > 0 and many["winners"] == few["winners"] > 0
    shown = iid("plan", "lambda_search", "--trials", "40", "--gpus", "2").stdout
    assert "iid search lambda_search --trials 40: " in shown and "GPU-hours, at best" in shown
    assert "iid search" not in iid("plan", "quickstart").stdout


def test_where_all_is_measured_there_are_no_others(iid, tmp_path):
    plan = make_plan(load_space("quickstart", ("methods=Random", "seeds=1")))
    for unit in plan.units.values():
        table = KINDS[unit.kind].table
        place = tmp_path / "results" / "tables" / table / f"{unit.key}.parquet"
        row = {"key": unit.key, "seconds": 2.0, "peak_memory": 1, "device": "Intel"}
        tables.write(place, table, [row])
    mark_done(tmp_path / "results", plan.units.values())
    arguments = ("quickstart", "--set", "methods=Random", "--set", "seeds=2", "--gpus", "0")
    shown = iid("plan", *arguments, "--store", "results").stdout
    assert "Basis: rows in results of such units." in shown and "others" not in shown


def test_overrides_reach_the_plan(iid):
    result = iid("plan", "quickstart", "--set", "seeds=1", "--set", "methods=[Random]")
    assert row(result, "select")[1] == "2"
    assert "distill" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["quickstrat"], ["'quickstrat'", "did you mean 'quickstart'?"]),
        (["absent.yaml"], ["absent.yaml", "no such file"]),
        (["."], ["not a file"]),
        (["broken.yaml"], ["broken.yaml:2", "not valid YAML"]),
        (
            ["wrong.yaml"],
            ["wrong.yaml:4: experiments[0].methds: unknown key 'methds'; did you mean 'methods'?"],
        ),
        (
            ["quickstart", "--set", "iteratons=3"],
            ["--set iteratons=3", "did you mean 'iterations'?"],
        ),
        (["quickstart", "--set", "lr_net=3"], ["ambiguous"]),
    ],
)
def test_wrong_input_ends_with_exit_code_2_and_one_message(iid, tmp_path, arguments, parts):
    (tmp_path / "broken.yaml").write_text("name: x\nexperiments: [")
    (tmp_path / "wrong.yaml").write_text(
        "name: x\nexperiments:\n  - name: y\n    methds: DM\n    ipc: 1\n"
    )
    result = iid("plan", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_a_damaged_table_is_an_error_that_names_the_file(iid, tmp_path):
    plan = make_plan(load_space("quickstart"))
    unit = next(unit for unit in plan.units.values() if unit.kind == "evaluate")
    mark_done(tmp_path / "store", [unit])
    table = tmp_path / "store" / "tables" / "evaluations"
    table.mkdir(parents=True)
    (table / f"{unit.key}.parquet").write_bytes(b"half a file")
    result = iid("plan", "quickstart")
    assert result.exit_code == 2
    assert f"{unit.key}.parquet cannot be read" in result.stderr


def test_datasets_says_which_are_there_and_how_to_get_the_others(iid, tmp_path):
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    for name in ("train", "test"):
        (tmp_path / "data" / "cifar10" / f"{name}.parquet").touch()
    result = iid("datasets")
    assert result.exit_code == 0
    assert row(result, "cifar10-jpeg")[-1] == "present"
    assert row(result, "digits")[-1] == "present"
    assert row(result, "cifar100")[-1] == "missing"
    assert "cifar100: " in result.stdout


def test_without_arguments_there_is_help(iid):
    assert "plan" in iid().output


PLANNING = """
import sys
from orchestrator.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {"torch", "ray", "torchvision", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["spaces"],
        ["datasets"],
        ["plan", "quickstart", "--set", "seeds=400"],
        ["plan", "paper"],
        ["plan", "paper", "--smoke"],
        ["plan", "lambda_search"],
    ],
)
def test_planning_is_light(arguments, tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PLANNING, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
