"""Whatever happens to a file of a store, commands succeed or say what is wrong; after a repair all
is as before.
"""

import json
import re
import warnings
from dataclasses import replace

import pytest
from damage import Damage, copy_of, damages, files_of, fill, launch_here, told
from harm import Grid, results
from hypothesis import HealthCheck, Phase, given, settings

from orchestrator.cli.commands.report import show_report
from orchestrator.cli.commands.status import show_status
from orchestrator.cli.commands.verify import show_verification
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import RUNNER, TrialSettings
from orchestrator.planning.plan import make_plan
from orchestrator.planning.planned_work import find_pending
from orchestrator.planning.request import Request
from orchestrator.report.results import read_results
from orchestrator.store import tables
from orchestrator.store.open import open_store
from orchestrator.store.verification.verify import verify
from search_spaces.load import load_space

CHECKS = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)


def cases(few, many, *more):
    """Run a test with a few cases, in `make test-all` with more, and every night with many."""
    slow = [pytest.param(count, marks=pytest.mark.slow) for count in more]
    nightly = pytest.param(many, marks=pytest.mark.nightly)
    return pytest.mark.parametrize("count", [few, *slow, nightly])


@pytest.fixture(autouse=True)
def nothing_waits_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def small_store(tmp_path_factory, harness_modules):
    """A store of seven units with everything that may lie in one, and the same plan unharmed."""

    whole, store = (
        Grid(tmp_path_factory.mktemp(name), sets=2, evaluations=2) for name in ("whole", "store")
    )
    fill(whole)
    units = list(whole.plan.units)
    fill(store, failed=units[-1], checkpointed=units[-2])
    return store, whole


def repaired_and_run(store, grid, whole):
    """Repair a store, launch its plan, and see that everything is as it would be without harm."""

    _, error = told(lambda console: show_verification(store, console, mend=True))
    assert error is None, error
    with warnings.catch_warnings(action="ignore"):
        summary = launch_here(store, grid.plan, grid.data, "fake_runner:run_unit")
    assert summary.exit_code == 0, summary.failures
    assert find_pending(grid.plan, store.find_done_keys()).pending == ()
    for unit in map(
        grid.plan.units.get, store.find_done_keys()
    ):  # all but an extractor that nothing needs any more
        assert results(store, unit) == results(whole.store, unit)
    assert not [finding for finding in verify(store).findings if finding.action != "none"]


@cases(50, 6_000, 150)
def test_any_damage_is_told_and_mended(small_store, tmp_path, count):

    grid, whole = small_store

    @settings(CHECKS, max_examples=count)
    @given(damages)
    def check(damage):
        store = copy_of(grid.store.root, tmp_path / "store")
        damage.do(store.root)
        _, error = told(lambda console: show_status(store, console, tracebacks=True))
        assert error is None or str(store.root) in error, error
        for table in tables.SCHEMAS:
            told(lambda console, table=table: tables.read(store.tables, table).to_pylist())
        with warnings.catch_warnings(action="ignore"):
            _, error = told(
                lambda console: launch_here(store, grid.plan, grid.data, "fake_runner:run_unit")
            )
        assert error is None or str(store.root) in error, error
        repaired_and_run(store, grid, whole)

    check()


def test_half_a_file_of_every_kind(small_store, tmp_path):

    grid, whole = small_store
    for number, path in enumerate(files_of(grid.store.root)):
        store = copy_of(grid.store.root, tmp_path / "store")
        Damage(number, "truncate", path.stat().st_size // 2, b"").do(store.root)
        told(lambda console, store=store: show_status(store, console))
        repaired_and_run(store, grid, whole)


@pytest.fixture(scope="module")
def digits_store(tmp_path_factory, harness_modules):
    """A real search space on digits, computed in this process: its file and its store."""

    folder = tmp_path_factory.mktemp("digits")
    space = folder / "space.yaml"
    space.write_text(json.dumps(SPACE))
    store, plan = open_store(folder / "store"), make_plan(load_space(str(space)))
    assert launch_here(store, plan, folder, RUNNER).exit_code == 0
    return space, store, plan


SPACE = {
    "name": "tiny",
    "settings": {
        "datasets": "digits",
        "seeds": 1,
        "distillation": {"network": "ConvNetW8D1", "iterations": 2, "batch_real": 4},
        "extractors": {"count": 1, "network": "ConvNetW8D1", "epochs": 1},
        "evaluation": {"num_eval": 1, "epoch_eval_train": 1},
    },
    "experiments": [
        {"name": "all", "methods": ["Random", "DM+IID"], "ipc": 2, "architectures": "ConvNetW8D1"}
    ],
}


def read(store, table):
    """A table's rows, or the message of the error."""
    rows = []
    _, error = told(lambda console: rows.extend(tables.read(store.tables, table).to_pylist()))
    return rows, error


@cases(40, 4_000)
def test_a_report_of_damaged_results_is_right_or_refused(digits_store, tmp_path, count):

    _, whole, plan = digits_store
    right = {table: tables.read(whole.tables, table).to_pylist() for table in tables.SCHEMAS}
    known = {table: {json.dumps(row, default=str) for row in rows} for table, rows in right.items()}

    @settings(CHECKS, max_examples=count)
    @given(damages)
    def check(damage):
        store = copy_of(whole.root, tmp_path / "store")
        damage.do(store.root)
        told(lambda console: show_status(store, console))
        _, error = told(lambda console: read_results(plan, store.root))
        assert error is None or str(store.root) in error, error
        for table in tables.SCHEMAS:
            rows, error = read(store, table)
            assert error is None or str(store.root) in error, error
            if error is None and damage.kind != "replace":
                assert {json.dumps(row, default=str) for row in rows} <= known[table]

    check()


@cases(6, 200)
def test_a_report_is_written_or_refused_from_damaged_files(digits_store, tmp_path, count):

    space, whole, _ = digits_store

    @settings(CHECKS, max_examples=count)
    @given(damages)
    def check(damage):
        store = copy_of(whole.root, tmp_path / "store")
        damage.do(store.root)
        told(
            lambda console: show_report(
                Request(space=str(space)), store, tmp_path / "report", console
            )
        )

    check()


def test_a_unit_of_the_real_kernels_that_diverges_names_the_iteration_and_the_loss(
    digits_store, tmp_path
):

    _, store, plan = digits_store
    unit = next(unit for unit in plan.units.values() if unit.kind == "distill")
    wild = replace(unit, settings=replace(unit.settings, lr_img=1e30, iterations=20))
    options = TrialSettings(
        store=str(store.root), data_root=str(tmp_path), run="r", tensorboard=False
    )
    result = compute_unit(wild, options, device="cpu")
    assert result.status == "failed" and result.error == "DistillationError"
    assert re.search(
        r"(loss|total|mean|cc|cm|pixel|gradient).* is (nan|inf) at iteration \d+", result.reason
    )
    store.clear_failure(wild.key)
