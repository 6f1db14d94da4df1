import pytest

from orchestrator.search.journal import RungResult, Trial
from orchestrator.search.sampler import suggest

CC, CM = "distillation.lambda_cc", "distillation.lambda_cm"


def trial(number, cc, cm, value=None, state="complete"):
    rungs = (RungResult(rung=0, iterations=4, state=state, value=value, order=number),)
    return Trial(number=number, origin="tpe", parameters={CC: cc, CM: cm}, rungs=rungs)


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_the_published_settings_come_first(make_study, sampler):
    study = make_study(sampler=sampler)
    assert suggest(study, 0, []) == ("published", {CC: 0.05, CM: 0.01})


def test_a_random_suggestion_depends_on_its_number_alone(make_study):
    study = make_study(sampler="random")
    alone = [suggest(study, number, []) for number in range(1, 40)]
    known = [trial(number, 0.1, 0.0, 0.5) for number in range(9)]
    assert alone == [suggest(study, number, known) for number in range(1, 40)]
    values = [parameters[CC] for _, parameters in alone]
    assert len(set(values)) > 20 and 2 <= values.count(0.0) <= 16
    assert all(value == 0 or 0.001 <= value <= 10 for value in values)


def test_tpe_suggests_the_same_of_the_same_trials_in_any_order_and_learns(make_study):
    study = make_study()
    good = [trial(n, 0.1 + 0.01 * n, 0.001, 0.9 - 0.001 * n) for n in range(10)]
    poor = [trial(n, 0.002, 3.0 + 0.1 * n, 0.1 + 0.001 * n) for n in range(10, 30)]
    known = good + poor
    assert suggest(study, 30, known) == suggest(study, 30, reversed(known))
    suggested = [suggest(study, number, known)[1] for number in range(30, 60)]
    near = sum(0.02 <= parameters[CC] <= 1 and parameters[CM] < 0.1 for parameters in suggested)
    assert near > 20


def test_trials_that_diverged_are_avoided_and_failed_ones_do_not_count(make_study):
    study = make_study()
    fine = [trial(n, 0.01, 0.01 * (n + 1), 0.5) for n in range(10)]
    diverged = [trial(n, 5.0 + 0.1 * n, 0.05, None, "diverged") for n in range(10, 30)]
    failed = [trial(n, 0.01, 0.01, None, "failed") for n in range(10, 30)]
    suggested = [suggest(study, number, fine + diverged)[1][CC] for number in range(30, 60)]
    assert sum(value > 3 for value in suggested) < 5
    assert suggest(study, 30, fine + failed) == suggest(study, 30, fine)


def test_the_grid_ends(make_study):
    study = make_study(sampler="grid")
    points = [suggest(study, number, []) for number in range(1, 20)]
    assert points[:2] == [("grid", {CC: 0.0, CM: 0.0}), ("grid", {CC: 0.0, CM: 0.001})]
    assert sum(point is not None for point in points) == 6 * 3 and points[18] is None
