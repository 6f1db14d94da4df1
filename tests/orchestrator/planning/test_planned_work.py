import pytest

from orchestrator.planning.planned_work import find_pending


@pytest.fixture
def plan(small_plan):
    return small_plan(sets=2, evaluations=1)


def test_work_knows_what_is_there_and_what_has_to_run(plan):
    extractor, first, first_evaluation, second, second_evaluation = plan.units
    work = find_pending(plan, {extractor, first, first_evaluation, "0123456789abcdef"})
    assert work.plan is plan and work.pending == (second, second_evaluation)
    assert list(work.pending_units) == list(work.pending)
    assert [unit.key for unit in work.present_units] == [extractor, first, first_evaluation]
    assert "0123456789abcdef" in work.done, "units of other plans are kept"


def test_what_nobody_needs_does_not_run(plan):
    extractor, first, _, second, _ = plan.units
    evaluations = [cell.evaluation_key for cell in plan.cells]
    assert find_pending(plan, {first, second}).pending == tuple(evaluations)
    assert extractor in find_pending(plan, {second, *evaluations}).pending
