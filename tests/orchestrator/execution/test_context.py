import pytest

from orchestrator.errors import StoreError
from orchestrator.execution.context import Stopped, UnitContext
from orchestrator.store.open import open_store


class Recorder:
    """Stands in for a TensorBoard log."""

    def __init__(self):
        self.steps = []

    def write_scalars(self, step, values):
        self.steps.append(step)


def test_reports_are_throttled_and_the_log_has_every_value(tmp_path, units, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("orchestrator.execution.context.time.monotonic", lambda: clock[0])
    reports, log = [], Recorder()
    context = UnitContext(
        store=open_store(tmp_path),
        unit=units[0],
        workdir=tmp_path,
        data_root=tmp_path,
        report=reports.append,
        report_seconds=0.05,
        log=log,
    )
    context.report_progress(1, 100, {"loss": 1.0})
    clock[0] = 0.06
    for step in range(2, 101):
        context.report_progress(step, 100, {"loss": 1.0} if step % 10 == 0 else {})
    assert [report.step for report in reports] == [2]
    assert reports[0].values == {"loss": 1.0}
    assert log.steps == [1, *range(10, 101, 10)]


def test_saving_a_checkpoint_ends_a_unit_that_is_to_stop(tmp_path, units):
    context = UnitContext(
        store=open_store(tmp_path),
        unit=units[0],
        workdir=tmp_path,
        data_root=tmp_path,
        is_stopping=lambda: True,
    )
    assert context.is_checkpoint_due() and context.should_stop()
    with pytest.raises(Stopped):
        context.save_checkpoint(lambda path: path.write_text("kept"))
    assert context.load_checkpoint().read_text() == "kept"
    with pytest.raises(StoreError, match=units[0].key):
        context.parent_folder(units[0].key)
