import numpy as np

from orchestrator.report.figures.heat_map import find_best


def test_the_best_is_one_square_and_none_where_all_print_alike():
    values = np.array([[0.5001, 0.5004, np.nan], [0.4996, 0.49, 0.1]])
    assert find_best(values).tolist() == [[False, True, False], [False, False, False]]
    assert find_best(values, axis=0).tolist() == [
        [False, True, False],
        [False, False, False],
    ]  # 50.0 twice; 0.1 alone
    assert find_best(np.full((2, 2), 0.5)).sum() == 0
    assert find_best(np.array([[0.5, 0.5, 0.4]])).tolist() == [[True, False, False]]


def test_nothing_is_best_where_there_is_nothing():
    assert not find_best(np.full((2, 2), np.nan)).any()
    assert not find_best(np.full((2, 2), np.nan), axis=0).any()
