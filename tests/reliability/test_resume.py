"""Units of the real kernels that are stopped go on from their checkpoint, to the same result bit
for bit.
"""

import pytest

from distill_core.settings import DatasetRef, DistillationSettings, ExtractorSettings
from orchestrator.execution import context
from orchestrator.execution.run_units import compute_unit
from orchestrator.execution.trial import TrialSettings
from orchestrator.store.open import open_store
from orchestrator.units import Distill, TrainExtractor

DIGITS = {"dataset": DatasetRef(name="digits"), "protocol": "paper"}
EXTRACTOR = TrainExtractor(
    **DIGITS, settings=ExtractorSettings(network="ConvNetW8D1", epochs=4, batch_train=256), index=0
)
SET = Distill(
    **DIGITS,
    settings=DistillationSettings(network="ConvNetW8D1", iterations=8, batch_real=8),
    ipc=1,
    seed=0,
)


@pytest.mark.parametrize("unit", [EXTRACTOR, SET], ids=lambda unit: unit.kind)
def test_a_stopped_unit_goes_on(tmp_path, monkeypatch, unit):
    monkeypatch.setattr(context, "STOP_CHECK_SECONDS", 0.0)
    harmed, whole = open_store(tmp_path / "harmed"), open_store(tmp_path / "whole")

    def attempt(store, run, stop_at=None):
        steps = []

        def report(progress):
            steps.append(progress.step)
            if progress.step == stop_at:
                store.stop_signal(run).set()

        settings = TrialSettings(
            store=str(store.root),
            data_root=str(tmp_path),
            run=run,
            tensorboard=False,
            checkpoint_seconds=0.0,
            report_seconds=0.0,
        )
        return compute_unit(unit, settings, device="cpu", report=report).status, steps

    assert attempt(harmed, "a", 2) == ("stopped", [1, 2])
    assert attempt(harmed, "b", 3) == ("stopped", [3])
    status, steps = attempt(harmed, "c")
    assert status == "done" and steps[0] == 4
    assert attempt(whole, "a")[0] == "done"
    names = {path.name for path in harmed.fetch_folder(unit.key).glob("*.safetensors")}
    assert names
    for name in names:
        assert (harmed.fetch_folder(unit.key) / name).read_bytes() == (
            whole.fetch_folder(unit.key) / name
        ).read_bytes()
