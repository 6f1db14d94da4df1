"""The custom loss, base, network and data set of docs/extending.md work as they stand there."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from distill_core.extensions import import_object, require_importable
from distill_core.settings import DatasetRef, DistillationSettings, SettingsError
from orchestrator.cli.app import app
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.planning.plan import make_plan
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.units import Distill, from_json, to_json
from search_spaces.load import load_space

ROOT = Path(__file__).parents[1]


PAGE = (ROOT / "docs" / "extending.md").read_text()


def find_blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def custom(tmp_path, monkeypatch):
    """A folder with the files of the page, importable here and in processes started here."""
    for text in (*find_blocks("python"), *find_blocks("yaml")):
        if name := re.match(r"# (my_\w+\.\w+)\n", text):
            (tmp_path / name[1]).write_text(text)
    (make,) = re.findall("^mkdir .*$", PAGE, re.MULTILINE)
    subprocess.run(make, shell=True, check=True, cwd=tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("my_")]:
        del sys.modules[name]


def test_a_loss_a_base_a_network_and_a_data_set_from_outside_are_planned_and_computed(custom):
    plan = make_plan(load_space("my_space.yaml"))
    assert not [name for name in sys.modules if name.startswith("my_")], (
        "planning imports nothing custom"
    )
    store = open_store(custom / "store")
    settings = TrialSettings(
        store=str(store.root), data_root=str(custom), run="run", tensorboard=False
    )
    for unit in plan.units.values():
        result = compute_unit(from_json(to_json(unit)), settings, device="cpu")
        assert result.status == "done", result.traceback
    sets = tables.read(store.tables, "distillations").to_pylist()
    assert {row["method"] for row in sets} == {
        "Random",
        "DM",
        "DM+my_loss:spread",
        "my_base:FewNetworks",
    }
    assert all((row["loss_own"] is not None) == ("my_loss" in row["method"]) for row in sets)
    assert {row["dataset"] for row in sets} == {"stripes"}
    evaluations = tables.read(store.tables, "evaluations").to_pylist()
    assert {row["network"] for row in evaluations} == {"my_network:Strided", "ConvNetW8D2"}
    assert max(row["accuracy"] for row in evaluations) > 0.8


def test_each_changes_what_is_computed(custom):
    """The loss, the base and the network decide the images; the weight of the loss does, too."""
    import distill_core as dc

    stripes = dc.load_dataset(
        DatasetRef(name="stripes", format="my_data:stripes", path="stripes"), custom
    )
    common = {"network": "my_network:Strided", "iterations": 2, "batch_real": 4}
    changes = [
        {},
        {"loss": "my_loss:spread"},
        {"loss": "my_loss:spread", "lambda_loss": 100.0},
        {"base": "my_base:FewNetworks"},
        {"network": "ConvNetW8D2"},
    ]
    sets = [
        dc.distill_set(stripes, DistillationSettings(**{**common, **change}), ipc=2).images
        for change in changes
    ]
    assert all(not torch.equal(a, b) for i, a in enumerate(sets) for b in sets[:i])


def test_the_losses_of_a_view_work(custom):
    """Options, draws, blocks, state and several losses, in the library."""
    import distill_core as dc

    stripes = dc.load_dataset(
        DatasetRef(name="stripes", format="my_data:stripes", path="stripes"), custom
    )
    common = {"network": "ConvNetW8D2", "iterations": 3, "batch_real": 4, "lr_img": 0.01}
    changes = [
        {"loss": "my_view:sliced"},
        {"loss": "my_view:sliced", "loss_options": (("directions", 2),)},
        {"loss": "my_view:Attention", "lambda_mean": 0.0, "optimizer_img": "adam"},
        {"loss": "my_view:Attention", "more_losses": ("my_loss:spread",)},
    ]
    sets = []
    for change in changes * 2:
        settings = DistillationSettings(**{**common, **change})
        sets.append(dc.distill_set(stripes, settings, ipc=2).images)
    assert all(torch.equal(a, b) for a, b in zip(sets[:4], sets[4:], strict=True))
    assert all(not torch.equal(a, b) for i, a in enumerate(sets[:4]) for b in sets[:i])


def test_the_library_block_of_the_page_runs(custom, capsys):
    (text,) = [text for text in find_blocks("python") if "import distill_core as dc" in text]
    exec(text, {})
    assert "my_base:FewNetworks+my_loss:spread" in capsys.readouterr().out


def test_names_and_versions_are_part_of_the_key():
    def key(**changes):
        settings = DistillationSettings(network="ConvNetW4D1", iterations=1, **changes)
        return Distill(
            dataset=DatasetRef(name="digits"), protocol="paper", ipc=1, settings=settings, seed=0
        ).key

    keys = [
        key(),
        key(loss="m:a"),
        key(loss="m:a@2"),
        key(loss="m:a", lambda_loss=2.0),
        key(base="m:a"),
    ]
    assert len(set(keys)) == len(keys)
    assert key(lambda_loss=1.0) == key()


def test_ray_workers_find_them(custom, tmp_path_factory):
    away = tmp_path_factory.mktemp("away")
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "run",
        str(custom / "my_space.yaml"),
        "--data",
        str(custom),
    ]
    budget = ["--set", "num_eval=1", "--set", "epoch_eval_train=1", "--set", "iterations=2"]
    done = subprocess.run(
        [*command, *budget],
        cwd=away,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (written,) = (away / "reports").glob("mine*/report.md")
    report = written.read_text().replace("\\_", "_")
    assert "my_base:FewNetworks" in report and "DM+my_loss:spread" in report


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('methods=["DM+my_los:spread"]', "no module my_los"),
        (
            'methods=["Random+my_loss:spread"]',
            "a loss can be added to DM, IDM or a custom base, not to Random",
        ),
        ('methods=["DM+my_loss:spread+my_loss:spread@2"]', "two of its losses are called spread"),
        ('methods=["DM+IDD+my_loss:spread"]', "did you mean 'DM+IID'"),
        ("distillation.network=my_net:Strided", "no module my_net"),
        ("distillation.network=my_network:Strided:x", "is not a name of the form module:object"),
        ("datasets={name: s, format: my_dat:stripes, path: stripes}", "no module my_dat"),
    ],
)
def test_wrong_names_are_said_before_anything_runs(change, message, custom):
    result = CliRunner().invoke(app, ["plan", "my_space.yaml", "--set", change])
    assert result.exit_code == 2 and message in result.output, result.output
    assert "Traceback" not in result.output


def test_what_a_module_does_wrong_is_said(custom):
    with pytest.raises(
        SettingsError, match=r"module my_loss has no sprad; did you mean my_loss:spread\?"
    ):
        import_object("my_loss:sprad")
    (custom / "my_broken.py").write_text("import no_such_package\n")
    with pytest.raises(
        SettingsError, match="importing my_broken failed: No module named 'no_such_package'"
    ):
        import_object("my_broken:x")
    (custom / "my_crash.py").write_text("1 / 0\n")
    with pytest.raises(SettingsError, match="importing my_crash failed: ZeroDivisionError"):
        import_object("my_crash:x")
    assert require_importable("my_crash:x@3") == "my_crash:x@3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("return 1", "returned a int, not a RawData"),
        ("return data(images=images.astype(float))", "of type float64"),
        ("return data(images=images[:, :, :8])", "16 × 16|8 × 16|16 × 8|uint8"),
        ("return data(labels=labels + 1)", "label 2 is not one of 0 … 1"),
        ("return data(labels=labels.astype(np.int32))", "labels of type int32"),
        ("return data(labels=labels * 0)", "class 'b' has no training images"),
    ],
)
def test_what_a_reader_gives_is_checked(text, message, custom):
    import distill_core as dc
    from distill_core.datasets.info import DatasetError

    (custom / "my_reader.py").write_text(
        "import numpy as np\nfrom distill_core.datasets.raw import RawData, RawSplit\nimages,"
        " labels = np.arange(4 * 256, dtype=np.int64).reshape(4, 1, 16, 16).astype(np.uint8),"
        " np.arange(4) % 2\ndef data(images=images, labels=labels):\n    return"
        " RawData(RawSplit(images, labels), RawSplit(images, labels), ('a', 'b'))\ndef"
        f" read(folder):\n    {text}\n"
    )
    with pytest.raises(DatasetError, match=message):
        dc.load_dataset(DatasetRef(name="own", format="my_reader:read", path="."), custom)


def test_what_is_no_loss_is_said(custom):
    import distill_core as dc

    (custom / "my_vector.py").write_text(
        "def loss(real, synthetic):\n    return synthetic.flatten(1).sum(1)\n"
    )
    stripes = dc.load_dataset(
        DatasetRef(name="stripes", format="my_data:stripes", path="stripes"), custom
    )
    settings = DistillationSettings(
        network="my_network:Strided", loss="my_vector:loss", iterations=1, batch_real=4
    )
    with pytest.raises(SettingsError, match=r"'my_vector:loss' returned something of shape \(2,\)"):
        dc.distill_set(stripes, settings, ipc=1)


def test_what_makes_no_network_is_said(custom):
    from distill_core.networks import build_network

    with pytest.raises(SettingsError, match="not a distill_core"):
        build_network("torch.nn:Identity", channels=1, classes=2, image_size=16)
    with pytest.raises(SettingsError, match="TypeError"):
        build_network("my_loss:spread", channels=1, classes=2, image_size=16)
