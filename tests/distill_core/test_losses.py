import pytest
import torch

from distill_core.losses import class_centralization, covariance_matching, local_covariance, mean_matching


def features(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_matching_by_hand():
    real = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    synthetic = torch.tensor([[[0.0, 0.0]]])
    assert mean_matching(real, synthetic) == pytest.approx(2**2 + 3**2)


def test_class_centralization_by_hand():
    synthetic = torch.tensor([[[0.0], [2.0]], [[1.0], [5.0]]])
    assert class_centralization(synthetic) == pytest.approx(1 + 1 + 4 + 4)


def test_exponential_form_is_cut_off_at_zero():
    synthetic = torch.tensor([[[0.0], [2.0]], [[1.0], [5.0]]], dtype=torch.float64)
    e = torch.tensor([0.5, 2.0], dtype=torch.float64).exp()
    assert class_centralization(synthetic, alpha=0.5, beta=1.0).item() == pytest.approx(2 * float((e - 1).sum()))
    assert class_centralization(synthetic, alpha=0.5, beta=2.0).item() == pytest.approx(2 * float(e[1] - 2))


def test_local_covariance_is_a_sum_over_positions_divided_by_images_only():
    maps = features(1, 6, 3, 5)
    centred = maps[0] - maps[0].mean(0)
    expected = sum(f @ f.T for f in centred) / 6
    torch.testing.assert_close(local_covariance(maps)[0], expected)


@pytest.mark.parametrize("loss", ["mean", "cc", "cm"])
def test_batched_equals_looped_over_classes(loss):
    real, synthetic = features(4, 7, 3, 5), features(4, 2, 3, 5, seed=1)
    functions = {
        "mean": lambda r, s: mean_matching(r.flatten(2), s.flatten(2)),
        "cc": lambda r, s: class_centralization(s.flatten(2)),
        "cm": covariance_matching,
    }
    batched = functions[loss](real, synthetic)
    looped = sum(functions[loss](real[c : c + 1], synthetic[c : c + 1]) for c in range(4))
    torch.testing.assert_close(batched, looped)


@pytest.mark.parametrize(
    "loss", [class_centralization, lambda s: covariance_matching(features(2, 5, 3, 4), s.view(2, 1, 3, 4))]
)
def test_one_image_a_class_has_no_gradient(loss):
    synthetic = features(2, 1, 12).requires_grad_()
    loss(synthetic).backward()
    assert synthetic.grad.abs().max() == 0


def test_losses_do_not_depend_on_the_order_of_images():
    real, synthetic = features(2, 7, 3, 5), features(2, 4, 3, 5, seed=1)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(covariance_matching(real, synthetic), covariance_matching(real, synthetic[:, order]))
    torch.testing.assert_close(
        class_centralization(synthetic.flatten(2)), class_centralization(synthetic[:, order].flatten(2))
    )


def test_gradient_of_class_centralization_flows_through_the_mean():
    synthetic = features(1, 3, 4).requires_grad_()
    class_centralization(synthetic).backward()
    # d/ds Σ‖s_j − s̄‖² = 2(s − s̄) exactly because the gradient through the mean cancels.
    torch.testing.assert_close(synthetic.grad, 2 * (synthetic - synthetic.mean(1, keepdim=True)).detach())


@pytest.mark.parametrize(
    ("real", "synthetic"), [((2, 3, 4), (3, 3, 4)), ((2, 3, 4), (2, 3, 5)), ((2, 3), (2, 3)), ((2, 3, 4), (2, 3, 4, 1))]
)
def test_shapes_that_do_not_fit_are_named(real, synthetic):
    with pytest.raises(ValueError, match="mean_matching"):
        mean_matching(torch.zeros(real), torch.zeros(synthetic))
