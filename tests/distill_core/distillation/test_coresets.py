import itertools

import pytest
import torch

from distill_core.distillation.coresets import choose_by_herding, choose_k_center, select_coreset
from distill_core.distillation.initial_images import draw_initial_indices
from distill_core.distillation.state import DistillationError
from distill_core.networks import build_network


def features(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_herding_by_hand():
    """The mean is 2, so 2 is chosen first; then 1 and 3 tie, and the first in order wins."""
    assert choose_by_herding(torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0]]), 2).tolist() == [
        2,
        1,
    ]


def test_each_step_of_herding_is_the_best_there_is():
    x = features(12, 3)
    chosen = choose_by_herding(x, 5).tolist()
    for step in range(5):
        errors = {
            i: (x[[*chosen[:step], i]].mean(0) - x.mean(0)).norm()
            for i in range(12)
            if i not in chosen[:step]
        }
        assert chosen[step] == min(errors, key=errors.__getitem__)


def test_k_center_by_hand():
    assert choose_k_center(torch.tensor([[0.0], [4.0], [5.0], [11.0]]), 3).tolist() == [2, 3, 0]


def test_k_center_covers_within_twice_the_optimum():
    x = features(10, 2, seed=3)

    def radius(chosen):
        return torch.cdist(x, x[list(chosen)]).min(1).values.max()

    best = min(radius(c) for c in itertools.combinations(range(10), 3))
    assert radius(choose_k_center(x, 3).tolist()) <= 2 * best + 1e-5


@pytest.mark.parametrize("choose", [choose_by_herding, choose_k_center])
def test_choices_are_distinct_even_among_equal_images(choose):
    assert sorted(choose(torch.ones(4, 2), 4).tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("method", ["random", "herding", "k-center"])
def test_chosen_images_belong_to_their_class(tiny_dataset, method):
    network = build_network("ConvNetW8D2", channels=1, classes=3, image_size=16)
    indices = select_coreset(tiny_dataset, method, ipc=4, seed=0, extractor=network)
    assert indices.shape == (3, 4)
    assert (tiny_dataset.train.labels[indices] == torch.arange(3)[:, None]).all()
    assert all(len(row.unique()) == 4 for row in indices)


def test_random_is_what_distillation_starts_from(tiny_dataset):
    assert torch.equal(
        select_coreset(tiny_dataset, "random", ipc=2, seed=5),
        draw_initial_indices(tiny_dataset, 2, seed=5),
    )


def test_what_is_missing_is_said(tiny_dataset):
    with pytest.raises(ValueError, match="extractor"):
        select_coreset(tiny_dataset, "herding", ipc=1, seed=0)
    with pytest.raises(DistillationError, match="lower ipc"):
        select_coreset(tiny_dataset, "random", ipc=21, seed=0)
