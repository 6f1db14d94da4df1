"""Power against simulation and against a published table."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from orchestrator.analysis.power import compute_power, count_sets, find_detectable_difference


@pytest.mark.parametrize(("difference", "sets"), [(1.0, 3), (1.0, 5), (0.5, 20), (0.0, 5)])
def test_power_agrees_with_simulation(difference, sets):
    draws = np.random.default_rng(4).normal(difference, 1.0, size=(40_000, sets))
    seen = stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05
    assert compute_power(difference, 1.0, sets) == pytest.approx(seen.mean(), abs=0.01)


def test_numbers_of_sets_are_those_of_the_textbook():
    # Cohen 1988: one-sample t test, 5 % two-sided, 80 % power: 34 for d = 0.5, 15 for d = 0.8.
    assert count_sets(0.5, 1.0) == 34
    assert count_sets(0.8, 1.0) == 15
    assert count_sets(0.005, 0.0) == 2
    assert count_sets(1e-9, 1.0) is None


@pytest.mark.parametrize("sets", [2, 3, 5, 10, 100, 1000])
def test_the_detectable_difference_has_the_wanted_power(sets):
    difference = find_detectable_difference(0.7, sets)
    assert compute_power(difference, 0.7, sets) == pytest.approx(0.8, abs=1e-4)
    assert count_sets(difference * (1 + 1e-4), 0.7) == sets


def test_one_set_sees_nothing_and_no_spread_sees_everything():
    assert find_detectable_difference(0.7, 1) is None
    assert find_detectable_difference(0.0, 5) == 0.0
    assert compute_power(1000.0, 1.0, 5) == 1.0


def test_plans_do_not_wait_for_the_optimizers_of_scipy():
    code = "import sys, orchestrator.planning.power; print('scipy.optimize' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
