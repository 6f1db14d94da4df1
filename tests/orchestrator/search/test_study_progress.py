"""What people see of a study while its trials run."""

import pytest

from orchestrator.launch.display import format_line
from orchestrator.search.journal import RungResult, Trial
from orchestrator.search.study_progress import StudyProgress

PARAMETERS = {"distillation.lambda_cc": 0.1}


def trial(number, state, seconds):
    rung = RungResult(rung=0, iterations=4, state=state, seconds=seconds)
    return Trial(number=number, origin="tpe", parameters=PARAMETERS, rungs=(rung,))


@pytest.fixture
def progress():
    trials = [trial(0, "complete", 30.0), trial(1, "stopped", 10.0), trial(2, "running", None)]
    return StudyProgress(read_trials=lambda: trials, trials=lambda: 12, slots=2, rungs=3)


def test_the_trials_of_a_search_have_progress_rate_and_time_left(progress):
    progress.record_start(2, PARAMETERS)
    progress.record_step(2, "rung 1 of 3, distill", 10, 100, {"loss": 0.5})
    progress.running[2].first = (progress.running[2].first[0] - 2, 0)
    progress.record_step(2, "rung 1 of 3, distill", 20, 100, {"loss": 0.25})
    view = progress.view()
    assert [(kind.name, kind.done, kind.total) for kind in view.kinds] == [("trials", 2, 12)]
    (running,) = view.running
    assert running.name == "trial 2 (lambda_cc 0.1): rung 1 of 3, distill"
    assert (running.step, running.total) == (20, 100) and 9 < running.speed < 11
    assert view.seconds_left == 10 * 20.0 / 2
    assert "2/12 done" in format_line(progress) and "20/100" in format_line(progress)
    progress.record_end(2)
    assert progress.view().running == ()


def test_another_unit_of_a_trial_has_a_speed_of_its_own(progress):
    progress.record_start(2, PARAMETERS)
    progress.record_step(2, "rung 1 of 3, distill", 90, 100, {})
    progress.record_step(2, "rung 1 of 3, evaluate", 1, 50, {})
    assert progress.view().running[0].speed is None
    progress.record_step(9, "of a trial that has ended", 1, 2, {})
    assert len(progress.view().running) == 1


def test_nothing_is_estimated_before_a_trial_is_finished():
    none = StudyProgress(read_trials=list, trials=lambda: 3, slots=2, rungs=1)
    assert none.view().seconds_left is None and "not known yet" in format_line(none)
